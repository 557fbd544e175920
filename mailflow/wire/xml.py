"""Bytes to an XML tree, hardened: bounded, without DOCTYPE, entities, inclusions or any access to elsewhere."""

import re
from dataclasses import dataclass

from lxml import etree

from mailflow.core.anomalies import Anomaly, Code
from mailflow.errors import MailflowError

ENCODINGS = {
    "utf-8": "utf-8",
    "us-ascii": "utf-8",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "windows-1252",
}
"""What is accepted: the declared name, in lower case, and the codec that reads it."""

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_UTF8_MARK = b"\xef\xbb\xbf"
_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*["']1\.[0-9]["']"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z0-9._-]{1,40})["'])?[^?<>]{0,60}\?>"""
)


class XmlRefused(MailflowError):
    """The bytes are not read as XML, or not as the document they should be; `anomaly` says why."""

    def __init__(self, code: Code, path: str = "") -> None:
        super().__init__(code.value)
        self.code = code
        self.anomaly = Anomaly(code=code, path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlLimits:
    """What a tree may cost."""

    bytes_max: int
    nodes_max: int
    """Bound on `<` and `=` signs: every element and attribute needs one, so it bounds the memory of the tree."""


def parse(content: bytes, limits: XmlLimits) -> etree._Element:
    """The root element. Raises XmlRefused for anything that is not wholly acceptable.

    1. size, before anything is looked at;
    2. encoding: only the listed ones, decoded here and strictly, so that libxml2 never chooses a decoder;
    3. DOCTYPE and XInclude refused by name, before the parser sees them: no entity is ever declared;
    4. number of nodes;
    5. parsed without network, DTD, entities or huge trees (depth 256, text nodes of 10 MB).
    """
    if len(content) > limits.bytes_max:
        raise XmlRefused(Code.FILE_TOO_LARGE)
    text = _decoded(content)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise XmlRefused(Code.XML_DOCTYPE)
    if "http://www.w3.org/2001/XInclude" in text:
        raise XmlRefused(Code.XML_INCLUSION)
    if text.count("<") + text.count("=") > limits.nodes_max:
        raise XmlRefused(Code.XML_LIMITS_EXCEEDED)
    # A parser of its own for each document: it keeps state (the log of errors, a dictionary of names).
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        # The stubs do not know the attribute.
        exceeded = getattr(error, "code", None) == etree.ErrorTypes.ERR_RESOURCE_LIMIT
        raise XmlRefused(Code.XML_LIMITS_EXCEEDED if exceeded else Code.XML_NOT_WELL_FORMED) from None


def parse_document(content: bytes, limits: XmlLimits, tag: str) -> etree._Element:
    """As `parse`, for a document whose root has that tag (in Clark notation). Raises XmlRefused.

    Where a schema may lie is no business of ours: such hints are taken away, and nothing is ever fetched for them.
    """
    root = parse(content, limits)
    if root.tag != tag:
        raise XmlRefused(Code.XML_NOT_VALID, "/*")
    for hint in ("schemaLocation", "noNamespaceSchemaLocation"):
        root.attrib.pop(f"{_XSI}{hint}", "")
    return root


def _decoded(content: bytes) -> str:
    """The text, in the encoding that it declares; UTF-8 when it declares none (XML 1.0, 4.3.3)."""
    marked = content.startswith(_UTF8_MARK)
    if marked:
        content = content[len(_UTF8_MARK) :]
    if content.startswith((b"\xfe\xff", b"\xff\xfe", b"\x00", b"<\x00")):
        raise XmlRefused(Code.XML_ENCODING)
    declaration = _DECLARATION.match(content)
    declared = (declaration[1] or b"utf-8").decode("ascii").lower() if declaration else "utf-8"
    if declared not in ENCODINGS or (marked and ENCODINGS[declared] != "utf-8"):
        raise XmlRefused(Code.XML_ENCODING)
    try:
        return content.decode(ENCODINGS[declared])
    except UnicodeDecodeError:
        raise XmlRefused(Code.XML_ENCODING) from None
