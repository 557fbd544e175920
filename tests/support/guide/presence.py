"""What must be there, found out by taking it away: each element of each sample file in its turn."""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from functools import cache

from lxml import etree

from mailflow.core.anomalies import Code
from mailflow.wire.catalogue import published
from mailflow.wire.reader import read_file
from tests.support.requests import LIMITS, RECEIVED_AT

MANDATORY, EXPECTED, OPTIONAL, DEPENDS = "obligatoire", "attendu", "facultatif", "selon le cas"
_MISSING = {
    Code.VALUE_MISSING,
    Code.VERSION_REFUSED,
    Code.FILE_TYPE_UNKNOWN,
    Code.FILE_DATE_WRONG,
    Code.FILE_WITHOUT_REQUEST,
}


@cache
def presence() -> dict[str, str]:
    """Of each element or attribute that a sample of a request file has, by path without indexes and root."""
    told: dict[str, set[str]] = defaultdict(set)
    for name, content in published().items():
        file_name = name.rpartition("/")[2]
        root = etree.fromstring(content) if file_name.startswith("DEM") else None
        if root is None or _codes(file_name, content) & _MISSING:
            continue
        for path, without in _each_taken_away(root):
            codes = _codes(file_name, without)
            said = MANDATORY if codes & _MISSING else EXPECTED if Code.VALUE_EXPECTED in codes else OPTIONAL
            told[path].add(said)
    return {path: said.pop() if len(said) == 1 else DEPENDS for path, said in told.items()}


def _codes(name: str, content: bytes) -> set[Code]:
    file = read_file(name, content, limits=LIMITS, received_at=RECEIVED_AT)
    found = [*file.anomalies, *(anomaly for request in file.requests for anomaly in request.anomalies)]
    return {anomaly.code for anomaly in found}


def _each_taken_away(root: etree._Element) -> Iterator[tuple[str, bytes]]:
    """Every path of the document, with the document that lacks the first that stands there."""
    done = set()
    for position, element in enumerate(root.iter()):
        path = _path(element)
        for attribute in element.attrib:
            at = f"{path}/@{etree.QName(attribute).localname}".lstrip("/")
            if attribute != "code" and at not in done:
                done.add(at)
                without = deepcopy(root)
                del _nth(without, position).attrib[attribute]
                yield at, etree.tostring(without)
        if element is not root and path not in done:
            done.add(path)
            without = deepcopy(root)
            gone = _nth(without, position)
            next(gone.iterancestors()).remove(gone)
            yield path, etree.tostring(without)


def _nth(root: etree._Element, position: int) -> etree._Element:
    return list(root.iter())[position]


def _path(element: etree._Element) -> str:
    steps = [etree.QName(one).localname for one in (element, *element.iterancestors())]
    return "/".join(reversed(steps[:-1]))
