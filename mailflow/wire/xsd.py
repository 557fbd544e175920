"""The XML schemas, generated from the shapes of the models: what the codec reads, and nothing else.

Elements are qualified, attributes of the interface are not. Elements stand in any order (`xs:all`). Presence, counts
and code lists are rules, not schema: a rule can name every fault at once. Each declaration says what it means.
"""

from functools import cache
from typing import Any

from lxml import etree

from mailflow.core.elements import meaning
from mailflow.core.lexical import Written
from mailflow.core.shapes import FieldShape, WireModel, shape_of
from mailflow.wire.acknowledgement import ACKNOWLEDGEMENT, RECEPTION, Acknowledgement, Reception
from mailflow.wire.codec import EXTENSION, NUU
from mailflow.wire.envelope import ROOT, InterfaceFile
from mailflow.wire.management import MANAGEMENT, ManagementFile

XS = "http://www.w3.org/2001/XMLSchema"
EXTENSION_FILE = "mailflow-1.xsd"
INTERFACE_FILE = "nuu.xsd"


def interface_schema() -> bytes:
    """The schema of `interfaceNuu`; it imports `EXTENSION_FILE` for our attributes."""
    schema = _Schema(NUU)
    schema.add("import", namespace=EXTENSION, schemaLocation=EXTENSION_FILE)
    schema.add_root(ROOT, InterfaceFile)
    return schema.to_bytes()


def extension_schema() -> bytes:
    """The schema of our namespace: the attributes that `interfaceNuu` may carry, the receipt parts, and `gestion`."""
    schema = _Schema(EXTENSION)
    for name, (model, shape) in sorted(_extensions(InterfaceFile, set()).items()):
        schema.explain(schema.add_attribute(schema.root, name, shape), meaning(model, name))
    schema.add_root(ACKNOWLEDGEMENT, Acknowledgement)
    schema.add_root(RECEPTION, Reception)
    schema.add_root(MANAGEMENT, ManagementFile)
    return schema.to_bytes()


@cache
def validator() -> etree.XMLSchema:
    """The interface schema, ready to validate. Built once in a process; reads no file and no network."""

    class Extension(etree.Resolver):
        # The stubs leave out the context that lxml passes and wants back, and make a base URL mandatory.
        def resolve(self, _url: str, _id: str, context: object) -> Any:  # type: ignore[override]
            return self.resolve_string(extension_schema(), context)  # type: ignore[call-arg]  # as above

    parser = etree.XMLParser(no_network=True, resolve_entities=False)
    parser.resolvers.add(Extension())
    return etree.XMLSchema(etree.fromstring(interface_schema(), parser))


@cache
def extension_validator() -> etree.XMLSchema:
    """The schema of our namespace, likewise."""
    return etree.XMLSchema(etree.fromstring(extension_schema()))


def _extensions(model: type[WireModel], seen: set[type[WireModel]]) -> dict[str, tuple[type[WireModel], FieldShape]]:
    """Every attribute of our namespace in a model and those below it, by name, with the model that has it."""
    seen.add(model)
    found: dict[str, tuple[type[WireModel], FieldShape]] = {}
    for shape in shape_of(model):
        if shape.attribute is not None and shape.attribute.extension:
            found[shape.wire_name] = (model, shape)
        if shape.model is not None and shape.model not in seen:
            found |= _extensions(shape.model, seen)
    return found


class _Schema:
    """A schema under construction: named types, one for each model and each kind of text, in the order of need."""

    def __init__(self, namespace: str) -> None:
        self.root = etree.Element(
            f"{{{XS}}}schema",
            nsmap={"xs": XS, "tns": namespace, "mf": EXTENSION},
            targetNamespace=namespace,
            elementFormDefault="qualified",
            attributeFormDefault="unqualified",
        )
        self._types: set[type[WireModel]] = set()
        self._simple: set[str] = set()

    def add(self, tag: str, parent: etree._Element | None = None, /, **attributes: str) -> etree._Element:
        """A schema element under `parent`, or at the top."""
        return etree.SubElement(self.root if parent is None else parent, f"{{{XS}}}{tag}", attributes)

    def add_root(self, name: str, model: type[WireModel]) -> None:
        """A global element of the model's type."""
        self.add("element", name=name, type=f"tns:{model.__name__}")
        self._add_type(model)

    def add_attribute(self, parent: etree._Element, name: str, shape: FieldShape) -> etree._Element:
        """The declaration of a plain attribute."""
        return self.add("attribute", parent, name=name, type=self._simple_type(shape))

    def explain(self, declaration: etree._Element, sentence: str) -> None:
        """Say in French what an element or attribute means."""
        note = self.add("documentation", self.add("annotation", declaration))
        note.set("{http://www.w3.org/XML/1998/namespace}lang", "fr")
        note.text = sentence

    def to_bytes(self) -> bytes:
        """The schema as a document."""
        etree.indent(self.root, space="  ")
        return etree.tostring(self.root, encoding="UTF-8", xml_declaration=True) + b"\n"

    def _add_type(self, model: type[WireModel]) -> None:
        if model in self._types:
            return
        self._types.add(model)
        shapes = shape_of(model)
        bare = any(shape.repeated and shape.items is None for shape in shapes)
        definition = self.add("complexType", name=model.__name__)
        # xs:all cannot repeat an element, so where one is (the root), the schema leaves counting to the codec.
        group = self.add("choice" if bare else "all", definition)
        if bare:
            group.set("minOccurs", "0")
            group.set("maxOccurs", "unbounded")
        for shape in shapes:
            if shape.attribute is None:
                self._add_element(group, shape, meaning(model, shape.wire_name))
        for shape in shapes:
            if shape.attribute is not None and shape.attribute.extension:
                self.add("attribute", definition, ref=f"mf:{shape.wire_name}")
            elif shape.attribute is not None:
                attribute = self.add_attribute(definition, shape.wire_name, shape)
                self.explain(attribute, meaning(model, shape.wire_name))
        for shape in shapes:
            if shape.model is not None:
                self._add_type(shape.model)

    def _add_element(self, group: etree._Element, shape: FieldShape, sentence: str) -> None:
        element = self.add("element", group, name=shape.wire_name)
        if shape.coded is not None and shape.coded.code_list:
            sentence += f" Liste de codes : {shape.coded.code_list}."
        self.explain(element, sentence)
        if group.tag.endswith("all"):
            element.set("minOccurs", "0")
        if shape.items is not None:
            sequence = self.add("sequence", self.add("complexType", element))
            element = self.add("element", sequence, name=shape.items.name)
            element.set("minOccurs", "0")
            element.set("maxOccurs", "unbounded")
        if shape.model is not None:
            element.set("type", f"tns:{shape.model.__name__}")
        elif shape.coded is not None:
            self.add_attribute(self.add("complexType", element), "code", shape)
        else:
            element.set("type", self._simple_type(shape))

    def _simple_type(self, shape: FieldShape) -> str:
        """The name of the simple type of a plain value, which is defined when it is first needed."""
        written = shape.written
        if written is None:
            assert shape.text is not None
            length = shape.text.max_length
            written = Written(f"Text{length}", ("token",), r"\P{Cc}*", length)
        if written.name not in self._simple:
            self._simple.add(written.name)
            self._define(written)
        return f"tns:{written.name}"

    def _define(self, written: Written) -> None:
        restriction = self.add("restriction", self.add("simpleType", name=written.name))
        if len(written.bases) == 1:
            restriction.set("base", f"xs:{written.bases[0]}")
        else:
            union = self.add("union", self.add("simpleType", restriction))
            union.set("memberTypes", " ".join(f"xs:{base}" for base in written.bases))
        if written.length_max is not None:
            self.add("maxLength", restriction, value=str(written.length_max))
        self.add("pattern", restriction, value=written.pattern)
