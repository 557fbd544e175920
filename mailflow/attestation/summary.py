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
from mailflow.core.shapes import FieldShape, WireModel, shape_of

HIDDEN = frozenset({"nir"})
"""Never written on paper (the NIR is not in the form that is attested either)."""
DEEPEST_HEADING = 3


def summary(form: WireModel) -> list[Block]:
    """Headings and rows for all that was filled in, in the order of the form."""
    return list(_blocks(form, level=2))


def _blocks(model: WireModel, level: int) -> Iterator[Block]:
    """First what is said of the thing itself, then its parts, each under its heading."""
    plain: list[tuple[str, str]] = []
    parts: list[tuple[str, WireModel]] = []
    for shape in shape_of(type(model)):
        value = getattr(model, shape.attribute_name)
        if value is None or value == () or shape.wire_name in HIDDEN:
            continue
        label = label_of(shape.wire_name)
        if shape.model is None:
            values = value if shape.repeated else (value,)
            plain.append((label, ", ".join(_shown(one, shape) for one in values)))
        elif not shape.repeated:
            parts.append((label, value))
        elif all(_single(item) for item in value):
            plain.append((label, ", ".join(text for item in value for _, text in _plain_of(item))))
        else:
            one = label_of(shape.items.name if shape.items else shape.wire_name)
            parts += [(french(wording.ITEM, label=one, n=n), item) for n, item in enumerate(value, 1)]
    if plain:
        yield rows(plain)
    for label, part in parts:
        inner = list(_blocks(part, min(level + 1, DEEPEST_HEADING)))
        if inner:
            yield heading(level, label)
            yield from inner


def _single(item: WireModel) -> bool:
    """Whether an item of a list is one value only, as a place sought is its municipality."""
    return len(shape_of(type(item))) == 1 and shape_of(type(item))[0].model is None


def _plain_of(item: WireModel) -> Iterator[tuple[str, str]]:
    for shape in shape_of(type(item)):
        value = getattr(item, shape.attribute_name)
        if value is not None:
            yield shape.wire_name, _shown(value, shape)


def _shown(value: Any, shape: FieldShape) -> str:
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
        case int() | Decimal():
            return number(value)
        case _:
            return displayable(str(value))


def number(value: int | Decimal) -> str:
    """`1 234,50`, with narrow spaces that no line end may part."""
    return f"{value:,}".replace(",", NARROW).replace(".", ",")


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
