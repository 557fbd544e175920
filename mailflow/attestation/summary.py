"""Annex: the request as it was registered, read off the form's own shape, so that no field can be forgotten."""

import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from mailflow.attestation import wording
from mailflow.attestation.blocks import Block, heading, rows
from mailflow.attestation.typography import NARROW, displayable, french, written
from mailflow.core import places
from mailflow.core.codes import code_lists
from mailflow.core.form import Address
from mailflow.core.lexical import AMOUNT
from mailflow.core.shapes import FieldShape, WireModel, shape_of

HIDDEN = frozenset({"nir", "versionFormulaire"})
"""Never written on paper (the NIR is not in the form that is attested either)."""
DEEPEST_HEADING = 3
SHORT_FIELDS_MAX = 2


def summary(form: WireModel) -> list[Block]:
    """Headings and rows for all that was filled in, in the order of the form."""
    return list(_blocks(form, level=2))


def _blocks(model: WireModel, level: int) -> Iterator[Block]:
    """First what is said of the thing itself, then its parts, each under its heading."""
    plain: list[tuple[str, str]] = []
    parts: list[tuple[str, WireModel]] = []
    for shape, value in _filled_in(model):
        items = value if shape.repeated else (value,)
        if shape.model is None or fits_a_row(shape.model):
            between = ", " if shape.model is None else f"{NARROW}; "
            plain.append((label_of(shape.wire_name), between.join(_shown(item, shape) for item in items)))
        elif shape.repeated:
            one = label_of(shape.items.name if shape.items else shape.wire_name)
            parts += [(french(wording.ITEM, label=one, n=n), item) for n, item in enumerate(items, 1)]
        else:
            parts.append((label_of(shape.wire_name), value))
    if plain:
        yield rows(plain)
    for label, part in parts:
        inner = list(_blocks(part, min(level + 1, DEEPEST_HEADING)))
        if inner:
            yield heading(level, label)
            yield from inner


def _filled_in(model: WireModel) -> Iterator[tuple[FieldShape, Any]]:
    for shape in shape_of(type(model)):
        value = getattr(model, shape.attribute_name)
        if value is not None and value != () and shape.wire_name not in HIDDEN:
            yield shape, value


@cache
def fits_a_row(model: type[WireModel]) -> bool:
    """An address, and what has one or two values: a resource and its amount, a place and its quarter."""
    shapes = shape_of(model)
    return model is Address or (len(shapes) <= SHORT_FIELDS_MAX and all(shape.model is None for shape in shapes))


def _shown(value: Any, shape: FieldShape) -> str:
    if isinstance(value, Address):
        return ", ".join(address_lines(value))
    if isinstance(value, WireModel):
        return " – ".join(_shown(inner, inner_shape) for inner_shape, inner in _filled_in(value))
    if shape.coded is not None:
        if shape.coded.code_list is None:
            return municipality_name(value)
        known = code_lists().lists.get(shape.coded.code_list, {}).get(value)
        return french(known.label) if known else displayable(value)
    match value:
        case bool():
            return wording.YES if value else wording.NO
        case date():
            return written(value)
        case Decimal():
            unit = wording.EURO if shape.written is AMOUNT else wording.SQUARE_METRE
            return french(unit, amount=number(value))
        case _:
            return displayable(str(value))


def number(value: Decimal) -> str:
    """`1 234,50`, with narrow spaces that no line end may part."""
    return f"{value:,}".replace(",", NARROW).replace(".", ",")


def address_lines(address: Address) -> list[str]:
    """As on an envelope."""
    town = " ".join(word for word in (address.postcode, address.town) if word)
    lines = (address.complement, address.street, address.locality, town, address.country)
    return [displayable(line) for line in lines if line]


def municipality_name(code: str) -> str:
    """`Lille (59350)`; the code alone for one that is not known."""
    known = places.municipality(code)
    return f"{known.name} ({code})" if known and known.name else displayable(code)


def label_of(wire_name: str) -> str:
    """What a form calls an element; of one without a label, the words of its name."""
    label = labels().get(wire_name)
    if label is None:
        words = "".join(f" {sign.lower()}" if sign.isupper() else sign for sign in wire_name)
        label = words[:1].upper() + words[1:]
    return french(label)


@cache
def labels() -> dict[str, str]:
    """French labels, by the names on the wire."""
    text = files("mailflow.attestation").joinpath("data/labels.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
