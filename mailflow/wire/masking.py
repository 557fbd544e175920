"""A file shown without what it says: our own words stay, every other value is replaced by a text of the same shape.

By an allow-list, never by a list of what is personal: names of elements and attributes that the models know, where they
know them; values of code lists, file types and versions, truth values. All else keeps only its shape: `9` for a digit,
`x` and `X` for letters, `é` and `É` for letters beyond ASCII, and the punctuation that numbers, dates and addresses
are written with.
"""

import re
from collections.abc import Iterator
from functools import cache

from lxml import etree

from mailflow.core.codes import code_lists
from mailflow.core.model import Operation
from mailflow.core.numbers import is_desk_code
from mailflow.core.shapes import FieldShape, WireModel, models_below, shape_of
from mailflow.wire.codec import EXTENSION, NUU
from mailflow.wire.envelope import ROOT, VERSIONS, InterfaceFile
from mailflow.wire.management import MANAGEMENT, ManagementFile, ManagementType
from mailflow.wire.xml import XmlLimits, XmlRefused, parse

PUNCTUATION = " \t\n-./:@+,"
"""Which stays: it makes the shape of numbers, dates and addresses."""
UNKNOWN = "inconnu"
"""Stands for a name that is none of ours."""
UNREAD_CHARACTERS_MAX = 64 * 1024
"""Of a file that cannot be read as XML: the beginning is enough to see why."""

_TOPS: dict[str, type[WireModel]] = {f"{{{NUU}}}{ROOT}": InterfaceFile, f"{{{EXTENSION}}}{MANAGEMENT}": ManagementFile}
_PREFIXES = {NUU: "tns", EXTENSION: "mf"}
_WORD = re.compile(r"\w+|\W")
_MARKUP = "<>/=\"'?!;&"


def shape(text: str) -> str:
    """What `text` looks like, and nothing of what it says."""
    return "".join(map(_masked, text))


def _masked(character: str) -> str:
    if character in PUNCTUATION:
        return character
    if character in "0123456789":
        return "9"
    if character.isascii() and character.isalpha():
        return "X" if character.isupper() else "x"
    if character.isalpha():
        return "É" if character.isupper() else "é"
    return "?"


def masked_file(content: bytes, limits: XmlLimits) -> list[str]:
    """The lines of a `DEM` or `GES` file, of whatever is sent as one, without what it says. Never raises."""
    try:
        root = parse(content, limits)
    except XmlRefused:
        return _unread(content)
    return list(_element(root, _TOPS.get(root.tag), None, 0))


# What can be read: element by element, beside the model


def _element(
    element: etree._Element, model: type[WireModel] | None, leaf: FieldShape | None, depth: int
) -> Iterator[str]:
    known = model is not None or leaf is not None
    name = _name(element, known=known)
    indent = "  " * depth
    opening = f"{indent}<{name}{''.join(_attributes(element, model, leaf))}"
    children = list(element)
    text = element.text or ""
    if not children:
        said = _value(text, leaf) if leaf is not None and leaf.coded is None else shape(text)
        yield f"{opening}>{said}</{name}>" if text else f"{opening}/>"
        return
    yield f"{opening}>{shape(text.strip())}"
    for child in children:
        yield from _element(child, *_below(child, model, leaf), depth + 1)
        if child.tail and child.tail.strip():
            yield f"{indent}  {shape(child.tail.strip())}"
    yield f"{indent}</{name}>"


def _name(element: etree._Element, *, known: bool) -> str:
    qualified = etree.QName(element)
    prefix = _PREFIXES.get(qualified.namespace or "", "")
    name = qualified.localname if known else UNKNOWN
    return f"{prefix}:{name}" if prefix else name


def _below(
    child: etree._Element, model: type[WireModel] | None, wrapper: FieldShape | None
) -> tuple[type[WireModel] | None, FieldShape | None]:
    """What the models know of a child: its model, or its shape as a plain value or as the wrapper of a list."""
    name = etree.QName(child).localname
    if wrapper is not None:
        fits = wrapper.items is not None and wrapper.items.name == name
        return (wrapper.model, None if wrapper.model else _item(wrapper)) if fits else (None, None)
    for shape_ in shape_of(model) if model is not None else ():
        if shape_.wire_name == name and shape_.attribute is None:
            return (shape_.model, None) if shape_.model is not None and shape_.items is None else (None, shape_)
    return None, None


@cache
def _item(wrapper: FieldShape) -> FieldShape:
    """A plain value in a list."""
    return FieldShape(
        attribute_name=wrapper.attribute_name,
        wire_name=wrapper.items.name if wrapper.items else wrapper.wire_name,
        model=None,
        plain=wrapper.plain,
        text=wrapper.text,
        written=wrapper.written,
        coded=wrapper.coded,
        repeated=False,
        items=None,
        attribute=None,
    )


def _attributes(element: etree._Element, model: type[WireModel] | None, leaf: FieldShape | None) -> Iterator[str]:
    for key, value in element.attrib.items():
        qualified = etree.QName(str(key))
        if leaf is not None and leaf.coded is not None and str(key) == "code":
            yield f' code="{_coded(str(value), leaf)}"'
            continue
        found = _attribute(qualified, model)
        prefix = _PREFIXES.get(qualified.namespace or "", "")
        name = (f"{prefix}:" if prefix else "") + (found.wire_name if found else UNKNOWN)
        yield f' {name}="{_value(str(value), found) if found else shape(str(value))}"'


def _attribute(name: etree.QName, model: type[WireModel] | None) -> FieldShape | None:
    for shape_ in shape_of(model) if model is not None else ():
        if shape_.attribute is not None and shape_.wire_name == name.localname:
            namespace = EXTENSION if shape_.attribute.extension else None
            return shape_ if name.namespace == namespace else None
    return None


def _coded(value: str, leaf: FieldShape) -> str:
    assert leaf.coded is not None
    listed = leaf.coded.code_list is not None and value in code_lists().lists[leaf.coded.code_list]
    return value if listed else shape(value)


_KEPT = {
    "versionInterface": frozenset(VERSIONS),
    "typeFichier": frozenset({*Operation, *ManagementType}),
    "versionFormulaire": frozenset(code_lists().versions),
}
"""Values that are words of the interface itself, by the name of what holds them."""


def _value(value: str, leaf: FieldShape) -> str:
    text = value.strip()
    kept = text in _KEPT.get(leaf.wire_name, ()) or (leaf.plain is bool and text in ("true", "false"))
    kept = kept or (leaf.wire_name == "numGuichet" and is_desk_code(text))
    return value if kept else shape(value)


# What cannot be read: word by word


@cache
def _words() -> frozenset[str]:
    """Every name of the interface."""
    names = {ROOT, MANAGEMENT, "demande", "code", "xml", "version", "encoding", "xmlns", *_PREFIXES.values()}
    for top in _TOPS.values():
        for model in models_below(top):
            names |= {s.wire_name for s in shape_of(model)} | {s.items.name for s in shape_of(model) if s.items}
    return frozenset(names)


def _unread(content: bytes) -> list[str]:
    text = content[:UNREAD_CHARACTERS_MAX].decode("utf-8", "replace")
    return "".join(map(_unread_word, _WORD.findall(text))).splitlines()


def _unread_word(word: str) -> str:
    """A name of ours, or markup; of everything else the shape."""
    return word if word in _words() or word in _MARKUP or word in "\r\n" else shape(word)
