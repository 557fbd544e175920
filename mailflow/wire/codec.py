"""Wire models to XML and back, generically, from their shape.

Reading never stops at the first fault: whatever the model cannot hold is left out and named by its path, and the rest
is still read. Paths name only what the schema knows; what it does not know is given by position (`*[3]`, `@*`), so
that nothing a sender wrote is ever repeated.
"""

from datetime import date
from functools import cache
from typing import Any, TypeVar

from lxml import etree
from pydantic import ValidationError

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.lexical import SPACES
from mailflow.core.shapes import FieldShape, WireModel, item_path, shape_of

NUU = "http://nuu.application.i2/"
EXTENSION = "urn:mailflow:interface:1"

FAULTS_MAX = 10_000
"""How many faults of structure are told of one document."""

M = TypeVar("M", bound=WireModel)
Data = dict[str, Any]


def read(element: etree._Element, model: type[M], path: str) -> tuple[M, tuple[Anomaly, ...]]:
    """The element as a model, and every fault, each with its path under `path` (the element's own)."""
    faults = _Faults()
    namespace = etree.QName(element).namespace or ""
    data = _model_data(element, model, namespace, path, faults)
    built, more = build(model, data, path)
    unsaid = (Anomaly(code=Code.XML_LIMITS_EXCEEDED, path=path),) if faults.more else ()
    return built, (*faults.told, *more, *unsaid)


def build(model: type[M], data: Data, path: str) -> tuple[M, tuple[Anomaly, ...]]:
    """`data`, keyed by wire names, as a model without the values that it cannot hold, and the faults of those.

    Every field of `model` must be optional. `data` is changed: the values are taken out of it.
    """
    try:
        return model.model_validate(data, by_alias=True, by_name=False), ()
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False, include_context=False)
    faults: list[Anomaly] = []
    for detail in details:
        code = Code.TEXT_TOO_LONG if detail["type"] == "string_too_long" else Code.XML_NOT_VALID
        place, shape = _locate(model, detail["loc"], path)
        faults.append(Anomaly(code=code, path=place))
        _take_out(data, detail["loc"], {} if shape and shape.model else "")
    # What is left fits: one pass names every fault, and nothing is ever missing.
    return model.model_validate(data, by_alias=True, by_name=False), tuple(faults)


def write(model: WireModel, name: str, namespace: str) -> etree._Element:
    """The model as an element `name`. What is None, or an empty list, is left out."""
    prefix = "tns" if namespace == NUU else "mf"
    root = etree.Element(f"{{{namespace}}}{name}", nsmap={prefix: namespace, "mf": EXTENSION})
    _fill(root, model, namespace)
    return root


def to_bytes(root: etree._Element) -> bytes:
    """The document, the same bytes for the same tree."""
    etree.indent(root, space="  ")
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


# Reading


class _Faults:
    """The faults of an element's structure, up to `FAULTS_MAX`: a document of nothing but faults costs no memory."""

    def __init__(self) -> None:
        self.told: list[Anomaly] = []
        self.more = False

    def add(self, path: str) -> None:
        if len(self.told) < FAULTS_MAX:
            self.told.append(Anomaly(code=Code.XML_NOT_VALID, path=path))
        else:
            self.more = True


@cache
def _tables(model: type[WireModel], namespace: str) -> tuple[dict[str, FieldShape], dict[str, FieldShape]]:
    """The fields of a model by element tag, and by attribute name."""
    elements: dict[str, FieldShape] = {}
    attributes: dict[str, FieldShape] = {}
    for shape in shape_of(model):
        if shape.attribute is None:
            elements[f"{{{namespace}}}{shape.wire_name}"] = shape
        elif shape.attribute.extension:
            attributes[f"{{{EXTENSION}}}{shape.wire_name}"] = shape
        else:
            attributes[shape.wire_name] = shape
    return elements, attributes


def _model_data(element: etree._Element, model: type[WireModel], namespace: str, path: str, faults: _Faults) -> Data:
    elements, attributes = _tables(model, namespace)
    data: Data = {}
    for key, value in element.attrib.items():
        known = attributes.get(str(key))
        if known is None:
            faults.add(f"{path}/@*")
        else:
            data[known.wire_name] = value
    if _has_text(element):
        faults.add(path)
    for position, child in enumerate(element, start=1):
        shape = elements.get(child.tag)
        if shape is None:
            faults.add(f"{path}/*[{position}]")
        elif shape.repeated and shape.items is None:
            items = data.setdefault(shape.wire_name, [])
            items.append(_value(child, shape, namespace, item_path(shape, path, len(items)), faults))
        elif shape.wire_name in data:
            faults.add(f"{path}/{shape.wire_name}[2]")
        elif shape.repeated:
            data[shape.wire_name] = _items(child, shape, namespace, path, faults)
        else:
            data[shape.wire_name] = _value(child, shape, namespace, f"{path}/{shape.wire_name}", faults)
    return data


def _items(wrapper: etree._Element, shape: FieldShape, namespace: str, path: str, faults: _Faults) -> list[Any]:
    assert shape.items is not None
    here = f"{path}/{shape.wire_name}"
    if wrapper.attrib:
        faults.add(f"{here}/@*")
    if _has_text(wrapper):
        faults.add(here)
    tag = f"{{{namespace}}}{shape.items.name}"
    items: list[Any] = []
    for position, child in enumerate(wrapper, start=1):
        if child.tag == tag:
            items.append(_value(child, shape, namespace, item_path(shape, path, len(items)), faults))
        else:
            faults.add(f"{here}/*[{position}]")
    return items


def _value(element: etree._Element, shape: FieldShape, namespace: str, path: str, faults: _Faults) -> Any:
    if shape.model is not None:
        return _model_data(element, shape.model, namespace, path, faults)
    if len(element):
        faults.add(path)
    if shape.coded is None:
        if element.attrib:
            faults.add(f"{path}/@*")
        return element.text or ""
    if any(key != "code" for key in element.attrib):
        faults.add(f"{path}/@*")
    if element.text:
        faults.add(path)  # not even white space, as XML Schema has it for an element without content
    return element.get("code", "")


def _has_text(element: etree._Element) -> bool:
    """Whether there is text, beside white space, between the children of an element."""
    texts = (element.text, *(child.tail for child in element))
    return any(text.strip(SPACES) for text in texts if text)


def _locate(model: type[WireModel], location: tuple[int | str, ...], path: str) -> tuple[str, FieldShape | None]:
    """The path of what pydantic names by wire names and indexes, and its field; None when there is no such."""
    here: type[WireModel] | None = model
    last: FieldShape | None = None
    for step in location:
        if isinstance(step, int):
            assert last is not None
            path = item_path(last, path.rpartition("/")[0], step)
            continue
        shape = next((s for s in shape_of(here) if s.wire_name == step), None) if here else None
        if shape is None:
            return f"{path}/*", None
        path += f"/@{step}" if shape.attribute else f"/{step}"
        here, last = shape.model, shape
    return path, last


def _take_out(data: Data, location: tuple[int | str, ...], empty: Data | str) -> None:
    """Remove a value. An item leaves an empty one behind, so that the paths of the others stay true."""
    holder: Any = data
    *steps, last = location
    for step in steps:
        holder = holder[step]
    if isinstance(last, int):
        holder[last] = empty
    else:
        holder.pop(last, None)


# Writing


def _fill(element: etree._Element, model: WireModel, namespace: str) -> None:
    for shape in shape_of(type(model)):
        value = getattr(model, shape.attribute_name)
        if value is None or (shape.repeated and not value):
            continue
        if shape.attribute is not None:
            name = f"{{{EXTENSION}}}{shape.wire_name}" if shape.attribute.extension else shape.wire_name
            element.set(name, _text(value))
        elif not shape.repeated:
            _add(element, shape.wire_name, value, shape, namespace)
        elif shape.items is None:
            for item in value:
                _add(element, shape.wire_name, item, shape, namespace)
        else:
            wrapper = etree.SubElement(element, f"{{{namespace}}}{shape.wire_name}")
            for item in value:
                _add(wrapper, shape.items.name, item, shape, namespace)


def _add(parent: etree._Element, name: str, value: Any, shape: FieldShape, namespace: str) -> None:
    element = etree.SubElement(parent, f"{{{namespace}}}{name}")
    if shape.model is not None:
        _fill(element, value, namespace)
    elif shape.coded is not None:
        element.set("code", _text(value))
    else:
        element.text = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
