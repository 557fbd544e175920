"""One mail as a case for whoever writes the software that sent it: all that explains its outcome, and nobody in it.

What is told of the mail comes from `review.structure` (headers, MIME, signatures) and `wire.masking` (XML); what was
decided, as codes with their sentences and paths; what happened, from the journal, of which only identifiers are taken.
Unique numbers, addresses and Message-IDs are left out: the mail's own digest says which one is meant.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailflow import __version__
from mailflow.core.anomalies import Anomaly, Code, catalogue
from mailflow.log import IDENTIFIER
from mailflow.mail.cms import facts
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.kinds import ANSWER
from mailflow.mail.model import Accepted, Rejected, Step, Undetermined, Verdict
from mailflow.mail.pem import CERTIFICATE, read_der
from mailflow.register import Transaction, cases, decided, journal, queues
from mailflow.register.cases import MAIL, Filter
from mailflow.review import comparison, structure
from mailflow.review.comparison import Outcomes
from mailflow.wire.masking import masked_file
from mailflow.wire.xml import XmlLimits

Facts = dict[str, Any]

DETAILS = frozenset(("reason", "codes", "position", "digest", "questions", "unknown", "state_before", "outbox"))
"""Of an entry of the journal; what else may stand there was written by people."""
STATEMENT = "Written without personal data: values are replaced by their shape (9 digit, x letter, é accented letter)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the register has of a mail."""

    intake: queues.IntakeRow
    raw: bytes | None
    """None when it was too large to be read, or was erased."""
    recorded: Outcomes
    timeline: tuple[Facts, ...]
    outgoing: tuple[Facts, ...]


async def read(tx: Transaction, intake_id: int) -> Kept | None:
    """Everything that goes into a case; None when there is no such mail."""
    intake = await queues.find_intake(tx, intake_id)
    if intake is None:
        return None
    entries = await journal.of_intake(tx, intake_id)
    found = await cases.find(tx, Filter(intakes=(intake_id,)))
    return Kept(
        intake=intake,
        raw=await queues.raw(tx, intake_id),
        recorded=comparison.on_record(intake.reason, await decided.answer(tx, intake_id, ANSWER)),
        timeline=tuple(_entry(kept) for kept in entries),
        outgoing=tuple(
            {"kind": one.kind, "part": one.part, "state": one.state.value, "sent_at": one.sent_at}
            for one in found
            if one.kind != MAIL
        ),
    )


def _entry(kept: journal.KeptEntry) -> Facts:
    entry = kept.entry
    told = {name: _identifiers(value) for name, value in entry.detail.items() if name in DETAILS and value is not None}
    return {"at": kept.at, "kind": entry.kind, "desk": entry.desk, **told}


def _identifiers(value: object) -> object:
    """Numbers, and words that have the form of an identifier."""
    if isinstance(value, int):
        return value
    return " ".join(word if IDENTIFIER.fullmatch(word) else "?" for word in str(value).split())


def tell(kept: Kept, judge: Judge, at: datetime) -> Facts:
    """The case, to be written as JSON."""
    row = kept.intake
    told: Facts = {
        "case": STATEMENT,
        "software": f"mailflow {__version__}",
        "made_at": at,
        "mail": {
            "intake": row.id,
            "sha256": row.digest,
            "octets": row.size_bytes,
            "received_at": row.received_at,
            "state": row.state.value,
            "reason": row.reason,
            "sender": row.sender,
            "attempts": row.attempts,
        },
        "timeline": [*kept.timeline],
        "outgoing": [*kept.outgoing],
        "on_record": list(_outcomes(kept.recorded)) if row.settled_at else [],
    }
    if kept.raw is not None:
        told |= _of_mail(Unjudged(intake=row.id, raw=kept.raw, received_at=row.received_at), judge, at)
    told["sentences"] = _sentences(told)
    return told


def _of_mail(mail: Unjudged, judge: Judge, at: datetime) -> Facts:
    verdict, steps = judge.explain(mail, at)
    apart = structure.take_apart(mail, judge)
    contents = apart.contents
    limits = judge.limits.file
    xml = XmlLimits(bytes_max=limits.file_bytes_max, nodes_max=limits.nodes_max)
    read_files = _read(verdict)
    files = [
        {
            "file": place,
            "name": structure.file_name(file.name),
            "octets": len(file.content),
            "sha256": (digest := hashlib.sha256(file.content).hexdigest()),
            **structure.line_ends(file.content),
            "anomalies": read_files.get(digest, []),
            "xml": masked_file(file.content, xml),
        }
        for place, file in enumerate(contents.files if contents else (), 1)
    ]
    return {
        "layers": list(apart.layers),
        "answer_certificate": _certificate(contents.certificate) if contents and contents.certificate else None,
        "judged_now": {"verdict": _word(verdict), "steps": [_step(step) for step in steps]},
        "files": files,
    }


def _certificate(octets: bytes) -> Facts:
    try:
        (der,) = read_der(octets, CERTIFICATE)
    except ValueError:
        return {"octets": len(octets), "unreadable": "not one certificate in PEM"}
    return facts.certificate(der)


def _read(verdict: Verdict) -> Mapping[str, list[Facts]]:
    """What reading and the pure rules find in each file now, by its digest."""
    if not isinstance(verdict, Accepted):
        return {}
    found = {
        file.digest: [*file.anomalies, *(anomaly for request in file.requests for anomaly in request.anomalies)]
        for file in verdict.submission.files
    }
    for asked in verdict.inquiry.files:
        found[asked.digest] = [*asked.anomalies, *(anomaly for one in asked.questions for anomaly in one.anomalies)]
    return {digest: list(_anomalies(anomalies)) for digest, anomalies in found.items()}


def _anomalies(anomalies: Iterable[Anomaly]) -> Iterator[Facts]:
    return ({"code": anomaly.code.value, "path": anomaly.path} for anomaly in anomalies)


def _outcomes(outcomes: Outcomes) -> Iterator[Facts]:
    for unit, seen in outcomes.items():
        yield {
            "file": unit.place or None,
            "request": unit.position or None,
            "name": unit.file or None,
            "accepted": seen.accepted,
            "anomalies": [{"code": code, "path": path} for code, path in sorted(seen.findings) if code],
        }


def _step(step: Step) -> Facts:
    """A path that is refused is told in the words of a library, which may name a certificate's holder."""
    foreign = Code.PATH_REFUSED in step.detail or Code.PATH_REFUSED.name in step.detail
    detail = Code.PATH_REFUSED.value if foreign else step.detail
    return {"step": step.name, "passed": step.passed, "detail": detail}


def _word(verdict: Verdict) -> str:
    match verdict:
        case Accepted():
            return "accepted"
        case Rejected(reply=reply):
            return "refused and answered" if reply else "set aside, never answered"
        case Undetermined():
            return "undetermined"


def _sentences(told: Facts) -> Facts:
    """What each code means that is in the case."""
    found = {str(told["mail"]["reason"] or "")}
    for holder in (*told["on_record"], *told.get("files", ())):
        found |= {anomaly["code"] for anomaly in holder["anomalies"]}
    entries = {code.value: entry for code, entry in catalogue().items()}
    return {
        code: {"fr": entries[code].french, "remede": entries[code].remedy_french, "en": entries[code].english}
        for code in sorted(found & entries.keys())
    }
