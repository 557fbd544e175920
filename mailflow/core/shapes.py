"""The shape of a wire model: what its annotations say beyond pydantic, worked out once for each class.

The XML codec, the XSD and the rule on code lists all read this, so that they cannot tell different stories.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StringConstraints

from mailflow.core.lexical import Written


@dataclass(frozen=True, slots=True)
class Coded:
    """Marks a value that XML carries in the attribute `code`, taken from the list `code_list`."""

    code_list: str | None
    """None for codes whose list is not ours (municipalities: INSEE)."""


@dataclass(frozen=True, slots=True)
class Items:
    """Marks a tuple: XML wraps it in the field's element, and each item in an element of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """Marks a value that XML carries as an attribute; `extension` puts it into our own namespace."""

    extension: bool


class WireModel(BaseModel):
    """Base of what travels: frozen, unknown names refused, aliases are the names on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    """One field of a wire model."""

    attribute_name: str
    """Its name in Python."""
    wire_name: str
    model: type[WireModel] | None
    """The class of the value, or of each item, when it is a model; None for a plain value."""
    plain: type | None
    """The Python type of a plain value, or of each item."""
    text: StringConstraints | None
    """Length and pattern of a plain text."""
    written: Written | None
    """How a plain value that is not text is written."""
    coded: Coded | None
    repeated: bool
    items: Items | None
    """None with `repeated`: the field's own element is repeated, without a wrapper."""
    attribute: Attribute | None


def _unwrap(annotation: Any, found: list[Any]) -> Any:
    """The bare type behind Annotated and Optional; the markers on the way are added to `found`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *markers = get_args(annotation)
            found += markers
        elif origin in (Union, UnionType):
            (annotation,) = (t for t in get_args(annotation) if t is not NoneType)
        else:
            return annotation


@cache
def shape_of(model: type[WireModel]) -> tuple[FieldShape, ...]:
    """The fields of `model`, in the order in which they are written."""
    shapes = []
    for name, field in model.model_fields.items():
        found: list[Any] = list(field.metadata)
        inner = _unwrap(field.annotation, found)
        repeated = get_origin(inner) is tuple
        if repeated:
            inner = _unwrap(get_args(inner)[0], found)
        is_model = issubclass(inner, WireModel)

        shapes.append(
            FieldShape(
                attribute_name=name,
                wire_name=field.alias or name,
                model=inner if is_model else None,
                plain=None if is_model else inner,
                text=next((m for m in found if isinstance(m, StringConstraints)), None),
                written=next((m for m in found if isinstance(m, Written)), None),
                coded=next((m for m in found if isinstance(m, Coded)), None),
                repeated=repeated,
                items=next((m for m in found if isinstance(m, Items)), None),
                attribute=next((m for m in found if isinstance(m, Attribute)), None),
            )
        )
    return tuple(shapes)


def models_below(model: type[WireModel]) -> tuple[type[WireModel], ...]:
    """`model` and every model that it holds, to any depth, each once, in the order in which they are met."""
    met: dict[type[WireModel], None] = {model: None}
    for shape in shape_of(model):
        if shape.model is not None:
            met |= dict.fromkeys(models_below(shape.model))
    return tuple(met)


def item_path(shape: FieldShape, parent: str, index: int) -> str:
    """Path of the item at `index` (from 0) of a repeated field, under its parent's path."""
    wrapped = f"/{shape.items.name}" if shape.items else ""
    return f"{parent}/{shape.wire_name}{wrapped}[{index + 1}]"


def coded_values(model: WireModel, path: str) -> Iterator[tuple[str, Coded, str]]:
    """Every coded value in `model`, with its path under `path`: (path, marker, value)."""
    for shape in shape_of(type(model)):
        value = getattr(model, shape.attribute_name)
        if value is None or (shape.model is None and shape.coded is None):
            continue
        places: Sequence[tuple[str, Any]] = (
            [(item_path(shape, path, index), item) for index, item in enumerate(value)]
            if shape.repeated
            else [(f"{path}/{shape.wire_name}", value)]
        )
        for place, item in places:
            if shape.coded is not None:
                yield place, shape.coded, item
            else:
                yield from coded_values(item, place)
