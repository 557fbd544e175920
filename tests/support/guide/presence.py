"""What must be there, found out by taking it away: each element of each sample file in its turn."""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

from lxml import etree

from mailflow.core.anomalies import Code
from mailflow.core.model import Operation, Request
from mailflow.core.order import Deregistration, Holder
from mailflow.core.rules import Facts, check_request
from mailflow.wire.reader import read_file
from mailflow.wire.samples import EXCHANGES, Exchange, FileSample
from mailflow.wire.samples.forms import SAMPLE_DEPOSIT, SAMPLE_DESK, family_form
from tests.support.requests import LIMITS

MANDATORY, EXPECTED, OPTIONAL, DEPENDS = "obligatoire", "attendu", "facultatif", "selon le cas"
REFUSED = "refusé"
BESIDE = {
    "numUnique": "number",
    "titulaire": "holder",
    "demandeLogement": "form",
    "radiation": "deregistration",
}
"""What a request may carry, which depends on the operation, with its field in the model."""
_MISSING = {
    Code.VALUE_MISSING,
    Code.VERSION_REFUSED,
    Code.FILE_TYPE_UNKNOWN,
    Code.FILE_DATE_WRONG,
    Code.FILE_WITHOUT_REQUEST,
}
_NOT_CARRIED = {Code.NUMBER_GIVEN, Code.NOT_OF_THE_OPERATION}


@cache
def presence() -> dict[str, str]:
    """Of each element or attribute that a sample of a request file has, by path without indexes and root.

    What no sample can do without depends on something else if another one has its parent, but not itself.
    """
    told: dict[str, set[str]] = defaultdict(set)
    done_without: set[str] = set()
    elements: dict[str, set[str]] = defaultdict(set)
    for exchange, sample, root in _good_samples():
        for element in root.iter():
            elements[_path(element)] |= {etree.QName(child).localname for child in element}
        for path, without in _each_taken_away(root):
            codes = _codes(exchange, sample, etree.tostring(without))
            told[path].add(MANDATORY if codes & _MISSING else EXPECTED if Code.VALUE_EXPECTED in codes else OPTIONAL)
    for _, _, root in _good_samples():
        for element in root.iter():
            path, there = _path(element), {etree.QName(child).localname for child in element}
            done_without |= {f"{path}/{name}".lstrip("/") for name in elements[path] - there}
    return {
        path: said.pop() if len(said) == 1 and not (MANDATORY in said and path in done_without) else DEPENDS
        for path, said in told.items()
    }


def of_operation(operation: Operation) -> dict[str, str]:
    """What a request of that operation carries: by what is missed without it, or refused with it."""
    empty = Request(form=None)
    whole = Request(
        form=family_form(),
        number="0590126000001Z0001",
        holder=Holder(surname="Exemple-Martin", born_on=date(1990, 2, 28)),
        deregistration=Deregistration(motive="RADABA"),
    )
    facts = Facts(received_on=SAMPLE_DEPOSIT, desk=SAMPLE_DESK, operation=operation, at_root="/demande/demandeLogement")
    said = {}
    for element, field in BESIDE.items():
        given: dict[str, Any] = {field: getattr(whole, field)}
        none: dict[str, Any] = {field: None}
        alone, without = replace(empty, **given), replace(whole, **none)
        if _codes_below(f"/demande/{element}", alone, facts) & _NOT_CARRIED:
            said[element] = REFUSED
        else:
            missed = _codes_below(f"/demande/{element}", without, facts) & _MISSING
            said[element] = MANDATORY if missed else OPTIONAL
    return said


def _codes_below(path: str, request: Request, facts: Facts) -> set[Code]:
    return {anomaly.code for anomaly in check_request(request, facts) if anomaly.path.startswith(path)}


def _good_samples() -> Iterator[tuple[Exchange, FileSample, etree._Element]]:
    """The request files in which nothing is missing."""
    for exchange in EXCHANGES:
        for sample in exchange.files:
            content = sample.content(exchange.made_at)
            if isinstance(sample, FileSample) and not _codes(exchange, sample, content) & _MISSING:
                yield exchange, sample, etree.fromstring(content)


def _codes(exchange: Exchange, sample: FileSample, content: bytes) -> set[Code]:
    file = read_file(exchange.name(sample), content, limits=LIMITS, received_at=exchange.received_at)
    found = [*file.anomalies, *(anomaly for request in file.requests for anomaly in request.anomalies)]
    return {anomaly.code for anomaly in found}


def _each_taken_away(root: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    """Every path of the document, with the document in which nothing stands there, where it stood first."""
    done = set()
    for position, element in enumerate(root.iter()):
        path = _path(element)
        for attribute in element.attrib:
            at = f"{path}/@{etree.QName(attribute).localname}".lstrip("/")
            if attribute != "code" and at not in done:
                done.add(at)
                without = deepcopy(root)
                del _nth(without, position).attrib[attribute]
                yield at, without
        if element is not root and path not in done:
            done.add(path)
            without = deepcopy(root)
            holder = next(_nth(without, position).iterancestors())
            for child in holder.findall(str(element.tag)):
                holder.remove(child)
            yield path, without


def _nth(root: etree._Element, position: int) -> etree._Element:
    return list(root.iter())[position]


def _path(element: etree._Element) -> str:
    steps = [etree.QName(one).localname for one in (element, *element.iterancestors())]
    return "/".join(reversed(steps[:-1]))
