"""A `DEM` file from its bytes: every fault found at once, none raised, no value repeated."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from lxml import etree

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.calendar import legal_day
from mailflow.core.form import digest_of
from mailflow.core.model import Operation, Request, RequestFile
from mailflow.core.numbers import DeskCode, is_desk_code
from mailflow.core.rules import Facts, check_request
from mailflow.wire.codec import NUU, read
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.names import FileNameError, parse_request_name
from mailflow.wire.xml import XmlLimits, XmlRefused, parse_document
from mailflow.wire.xsd import validator

ANOMALIES_MAX = 100
"""How many anomalies of one request are told, and how many faults of structure of a file."""
MAIL_ANOMALIES_MAX = 5_000
"""How many anomalies of all files of one mail are told: beyond, each file and request tells an equal share."""
CLOCK_AHEAD_MAX = timedelta(minutes=5)
"""How far a desk's clock may run ahead of ours; the same as for signing times."""

_REFUSED = {
    Operation.RETURN: Code.FILE_TYPE_NOT_INBOUND,
    Operation.DISPATCH: Code.FILE_TYPE_NOT_INBOUND,
    Operation.COPY: Code.COPY_NOT_BY_MAIL,
}
_ABSENT = (Code.VALUE_MISSING, Code.VALUE_EXPECTED)
_AT_ROOT = f"/{ROOT}"
_IN_REQUEST = re.compile(rf"{_AT_ROOT}/demande\[([0-9]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """What one file may cost. Published; a file over a limit is answered by name."""

    file_bytes_max: int
    request_bytes_max: int
    requests_max: int
    nodes_max: int
    """Bound on the markup of a file, see `wire.xml.XmlLimits`."""


def read_file(
    name: str, content: bytes, *, limits: FileLimits, received_at: datetime, now: datetime | None = None
) -> RequestFile:
    """What the file asks for, with all that reading and the rules found. Never raises, whatever the bytes.

    `name` is the one inside the signed part; both instants are aware ones. `now` tells what is dated in the future:
    `received_at` is by a mail server's clock, which may be behind.
    """
    digest = sha256(content).hexdigest()
    received_on = legal_day(received_at)
    faults: list[Anomaly] = []
    desk = _desk_of(name)
    if desk is None:
        faults.append(Anomaly(code=Code.FILE_NAME_WRONG))
    xml_limits = XmlLimits(bytes_max=limits.file_bytes_max, nodes_max=limits.nodes_max)
    try:
        root = parse_document(content, xml_limits, f"{{{NUU}}}{ROOT}")
    except XmlRefused as refused:
        faults.append(refused.anomaly)
        return RequestFile(name=name, desk=desk or DeskCode(""), digest=digest, anomalies=tuple(faults))
    oversized = _emptied(root, limits.request_bytes_max) if len(content) > limits.request_bytes_max else frozenset()
    document, found = read(root, InterfaceFile, _AT_ROOT)
    by_request = _grouped(found)
    faults += bounded(by_request.pop(0, []), _AT_ROOT)
    operation = _check_header(document, max(received_at, now or received_at), faults)
    if not document.requests:
        faults.append(Anomaly(code=Code.FILE_WITHOUT_REQUEST, path=_AT_ROOT))
    elif len(document.requests) > limits.requests_max:
        faults.append(Anomaly(code=Code.XML_LIMITS_EXCEEDED, path=_AT_ROOT))

    requests: list[Request] = []
    # What is no operation of a desk follows no rules: what we would say of it would be wrong.
    if operation not in _REFUSED and len(document.requests) <= limits.requests_max:
        desk, filed_for = desk or _desk_in(document), operation or Operation.CREATION
        for number, element in enumerate(document.requests, start=1):
            path = f"{_AT_ROOT}/demande[{number}]"
            if number in oversized:
                requests.append(Request(form=None, anomalies=(Anomaly(code=Code.FILE_TOO_LARGE, path=path),)))
                continue
            facts = Facts(received_on=received_on, desk=desk, operation=filed_for, at_root=f"{path}/demandeLogement")
            requests.append(_request(element, path, facts, by_request.get(number, [])))
    if not found and not validator().validate(root):
        # Codec and schema come from one shape, so this is a second lock on the same door.
        faults.append(Anomaly(code=Code.XML_NOT_VALID, path=_AT_ROOT))
    return RequestFile(
        name=name,
        desk=desk or DeskCode(""),
        digest=digest,
        version=document.version if document.version in VERSIONS else "",
        operation=operation,
        dated_at=document.header.dated_at if document.header else None,
        requests=tuple(requests),
        anomalies=tuple(faults),
    )


def bounded_together(files: tuple[RequestFile, ...], anomalies_max: int) -> tuple[RequestFile, ...]:
    """`files` of one mail with `anomalies_max` anomalies or little more: each makes some 1,400 octets of the answer.

    What was refused stays refused: that there are more blocks as well.
    """
    found = [anomalies for file in files for anomalies in (file.anomalies, *(r.anomalies for r in file.requests))]
    if sum(map(len, found)) <= anomalies_max:
        return files
    share = max(1, anomalies_max // len(found))
    return tuple(
        replace(
            file,
            anomalies=bounded(file.anomalies, _AT_ROOT, share),
            requests=tuple(
                replace(request, anomalies=bounded(request.anomalies, f"{_AT_ROOT}/demande[{number}]", share))
                for number, request in enumerate(file.requests, start=1)
            ),
        )
        for file in files
    )


def _request(element: RequestElement, path: str, facts: Facts, faults: list[Anomaly]) -> Request:
    request = Request(
        form=element.form,
        number=element.number or None,
        holder=element.holder,
        deregistration=element.deregistration,
        reference=element.reference or None,
        digest=digest_of(element.form) if element.form else "",
    )
    # A value that reading left out is missing only for that reason, which is told already.
    left_out = {fault.path for fault in faults}
    told = [a for a in check_request(request, facts) if a.code not in _ABSENT or a.path not in left_out]
    return replace(request, anomalies=bounded([*faults, *told], path))


def bounded(anomalies: Sequence[Anomaly], path: str, most: int = ANOMALIES_MAX) -> tuple[Anomaly, ...]:
    """The first `most`, and that there are more if so: one request or file must not fill the answer.

    That there are more blocks, unless all of them are warnings.
    """
    if len(anomalies) <= most:
        return tuple(anomalies)
    more = Code.MORE_ANOMALIES if any(anomaly.blocks for anomaly in anomalies) else Code.MORE_WARNINGS
    return (*anomalies[:most], Anomaly(code=more, path=path))


def _grouped(faults: Iterable[Anomaly]) -> dict[int, list[Anomaly]]:
    """The faults by the number of the request that they lie in; 0 for the file as a whole."""
    groups: dict[int, list[Anomaly]] = {}
    for fault in faults:
        found = _IN_REQUEST.match(fault.path)
        groups.setdefault(int(found[1]) if found else 0, []).append(fault)
    return groups


def _emptied(root: etree._Element, bytes_max: int) -> frozenset[int]:
    """The numbers of the requests that are too large, as they would be written alone; they are emptied unread."""
    numbers = set()
    for number, element in enumerate(root.findall(f"{{{NUU}}}demande"), start=1):
        if len(etree.tostring(element, with_tail=False)) > bytes_max:
            element.clear()
            numbers.add(number)
    return frozenset(numbers)


def _check_header(document: InterfaceFile, now: datetime, faults: list[Anomaly]) -> Operation | None:
    """What the file is, and what is wrong with its version, type and date."""
    if document.version not in VERSIONS:
        faults.append(Anomaly(code=Code.VERSION_REFUSED, path=f"{_AT_ROOT}/@versionInterface"))
    header = document.header or Header()
    if header.dated_at is None or header.dated_at > now + CLOCK_AHEAD_MAX:
        faults.append(Anomaly(code=Code.FILE_DATE_WRONG, path=f"{_AT_ROOT}/entete/dateFichier"))
    try:
        operation = Operation(header.file_type or "")
    except ValueError:
        faults.append(Anomaly(code=Code.FILE_TYPE_UNKNOWN, path=f"{_AT_ROOT}/entete/typeFichier"))
        return None
    if operation in _REFUSED:
        faults.append(Anomaly(code=_REFUSED[operation], path=f"{_AT_ROOT}/entete/typeFichier"))
    return operation


def _desk_of(name: str) -> DeskCode | None:
    try:
        return parse_request_name(name).desk
    except FileNameError:
        return None


def _desk_in(document: InterfaceFile) -> DeskCode:
    """The desk that a file with a wrong name is probably of: the first that its requests name; else empty."""
    named = (element.form.desk for element in document.requests if element.form and element.form.desk)
    return DeskCode(next((desk for desk in named if is_desk_code(desk)), ""))
