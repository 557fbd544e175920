"""Step 5: receipts, and the records that make them true: requests, file receipts, journal."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.attested import Attested
from mailflow.core.form import without_nir
from mailflow.core.model import FileReceipt, Outcome, Refused, Registered, RequestFile, RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.register import Transaction, files, history, journal, requests
from mailflow.registrar import uniqueness
from mailflow.registrar.work import FILE_RECEIPT, Candidate, FileWork, Follower, Known


def _receipt_of(work: FileWork) -> FileReceipt:
    """The receipt of a file, from what became of each request in it."""
    if work.same_as is None:
        outcomes = tuple(_outcome(work.outcomes[position]) for position in sorted(work.outcomes))
        return FileReceipt(
            file=_bare(work.file),
            record=work.record if _decided(outcomes) else None,
            decided_at=work.decided_at,
            anomalies=tuple(work.anomalies),
            outcomes=outcomes,
        )
    if work.record is None:
        return replace(work.same_as, repeated=True)
    return replace(
        work.same_as,
        file=_bare(work.file),
        record=work.record,
        decided_at=work.decided_at,
        anomalies=tuple(dict.fromkeys((*work.same_as.anomalies, *work.anomalies))),
        outcomes=tuple(replace(o, replayed=True) if isinstance(o, Registered) else o for o in work.same_as.outcomes),
    )


def _bare(file: RequestFile) -> RequestFile:
    """The file as it may be kept and answered: nobody's NIR in it."""
    return replace(file, requests=tuple(replace(r, form=r.form and without_nir(r.form)) for r in file.requests))


def _outcome(decided: Outcome | Candidate | Follower) -> Outcome:
    match decided:
        case Candidate():
            return _registered(decided, decided, replayed=False)
        case Follower(owner=owner, candidate=candidate, clash=clash):
            if owner.number is None:  # its owner, earlier in this chunk, came to nothing
                return Refused(anomalies=(*candidate.warnings, Anomaly(code=Code.INTERNAL_FAULT)))
            if clash is None:
                return _registered(candidate, owner, replayed=True)
            disclosed = owner.number if candidate.may_learn_numbers else None
            exists = Anomaly(code=clash, path=candidate.path, number=disclosed)
            return Refused(anomalies=(*candidate.warnings, exists))
        case _:
            return decided


def _registered(candidate: Candidate, owner: Candidate | Known, *, replayed: bool) -> Registered:
    """`owner` is the request that was registered; `candidate`, which asks the same, may be another."""
    assert owner.number is not None, "what was registered has its number"
    assert owner.life is not None, "it stands somewhere in its life"
    desk = candidate.file.desk
    assert desk is not None, "a desk that is not on record registers nothing"
    attested = Attested(
        form=without_nir(candidate.form),
        deposited_on=owner.life.deposited_on,
        renewed_on=owner.life.renewed_on,
        expires_on=owner.life.expires_on,
        desk_name=desk.name,
        desk_address=desk.address,
    )
    return Registered(
        number=owner.number,
        state=owner.life.state,
        expires_on=owner.life.expires_on,
        attestation=attested if owner.life.state is RequestState.ACTIVE else None,
        anomalies=(*candidate.warnings, *candidate.near_warnings),
        replayed=replayed,
    )


async def write_records(tx: Transaction, works: Sequence[FileWork], at: datetime) -> None:
    """Give each file its receipt, with everything that makes it true, in this transaction or not at all."""
    for work in works:
        work.decided = _receipt_of(work)
    registered = [c for work in works for c in work.outcomes.values() if isinstance(c, Candidate)]
    content_keys = await requests.insert(tx, [_new_request(candidate) for candidate in registered], at)
    await uniqueness.remember(tx, registered, content_keys, at)
    await history.append(tx, [_beginning(candidate) for candidate in registered], content_keys, at)
    settled = [(r.record, FILE_RECEIPT.dump_json(r)) for work in works if work.record and (r := work.receipt).record]
    await files.settle(tx, settled)
    await files.release(tx, [work.record for work in works if work.record and not work.receipt.record])
    await journal.append(tx, [entry for work in works for entry in _entries(work, work.receipt)], at)


def _decided(outcomes: Sequence[Outcome]) -> bool:
    """Whether anything was. Faults of ours bind no name: the same file may come again (decision 6)."""
    ours = {Code.INTERNAL_FAULT, Code.SEQUENCE_EXHAUSTED}
    return not outcomes or not all(isinstance(o, Refused) and ours & {a.code for a in o.anomalies} for o in outcomes)


def _new_request(candidate: Candidate) -> requests.NewRequest:
    assert candidate.number is not None
    assert candidate.file.record is not None, "only a file that bound its name registers"
    return requests.NewRequest(
        id=candidate.id,
        number=candidate.number,
        territory=candidate.territory,
        desk=candidate.file.file.desk,
        sender=candidate.file.sender.code,
        life=candidate.life,
        dated_at=candidate.dated_at,
        payload=without_nir(candidate.form).model_dump_json(by_alias=True, exclude_none=True).encode(),
        file_record=candidate.file.record,
        position=candidate.position,
    )


def _beginning(candidate: Candidate) -> history.Entry:
    assert candidate.number is not None
    work = candidate.file
    assert work.file.operation is not None
    assert work.record is not None
    return history.Entry(
        number=candidate.number,
        revision=1,
        territory=candidate.territory,
        operation=work.file.operation,
        life=candidate.life,
        origin=history.Origin(
            desk=work.file.desk,
            sender=work.sender.code,
            door=work.submission.door,
            intake_id=work.submission.intake,
            file_record=work.record,
            position=candidate.position,
        ),
        dated_at=candidate.dated_at,
    )


def _entries(work: FileWork, receipt: FileReceipt) -> list[journal.Entry]:
    """One line for the file and one for each request that was decided now."""

    def entry(kind: str, number: UniqueNumber | None, detail: dict[str, str | int | None]) -> journal.Entry:
        return journal.Entry(
            kind=kind,
            intake_id=work.submission.intake,
            number=number,
            sender=work.sender.code,
            desk=work.file.desk or None,
            detail=detail,
        )

    if receipt.repeated:
        return [entry("file-repeated", None, {"digest": work.file.digest})]
    kind = "file-refused" if work.blocked else "file-decided"
    entries = [entry(kind, None, {"digest": work.file.digest, "codes": _codes(receipt.anomalies)})]
    for position, outcome in enumerate(receipt.outcomes):
        if isinstance(outcome, Registered):
            what, number = "replayed" if outcome.replayed else "registered", outcome.number
        else:
            what, number = "refused", None
        entries.append(entry(what, number, {"position": position, "codes": _codes(outcome.anomalies)}))
    return entries


def _codes(anomalies: Iterable[Anomaly]) -> str:
    return " ".join(dict.fromkeys(a.code.value for a in anomalies))
