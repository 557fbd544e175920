"""Step 5: receipts, and the records that make them true: requests, file receipts, journal."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.attested import Attested
from mailflow.core.form import HousingRequest, without_nir
from mailflow.core.life import Action, Life
from mailflow.core.model import FileReceipt, Outcome, Refused, Registered, Request, RequestFile, RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.register import Transaction, files, history, journal, requests
from mailflow.registrar import uniqueness
from mailflow.registrar.subjects import Subject, content_of
from mailflow.registrar.work import FILE_RECEIPT, Candidate, Change, Creation, FileWork, Follower, Known


def _receipt_of(work: FileWork) -> FileReceipt:
    """The receipt of a file, from what became of each request in it."""
    if work.same_as is None:
        outcomes = tuple(_outcome(work.outcomes[position]) for position in sorted(work.outcomes))
        return FileReceipt(
            file=_as_decided(work),
            record=work.record if _decided(outcomes) else None,
            decided_at=work.decided_at,
            anomalies=tuple(work.anomalies),
            outcomes=outcomes,
        )
    if work.record is None:
        return replace(work.same_as, repeated=True)
    return replace(
        work.same_as,
        file=replace(work.file, requests=work.same_as.file.requests),
        record=work.record,
        decided_at=work.decided_at,
        anomalies=tuple(dict.fromkeys((*work.same_as.anomalies, *work.anomalies))),
        outcomes=tuple(replace(o, replayed=True) if isinstance(o, Registered) else o for o in work.same_as.outcomes),
    )


def _as_decided(work: FileWork) -> RequestFile:
    """The file as it may be kept and answered: nobody's NIR in it, and of a changed request what it says now."""

    def shown(position: int, request: Request) -> HousingRequest | None:
        decided = work.outcomes.get(position)
        now = decided.after.form if isinstance(decided, Change) and decided.after else None
        return request.form and without_nir(now or request.form)

    requests = enumerate(work.file.requests)
    return replace(work.file, requests=tuple(replace(r, form=shown(position, r)) for position, r in requests))


def _outcome(decided: Outcome | Candidate | Follower) -> Outcome:
    match decided:
        case Creation():
            return _registered(decided, decided, replayed=False)
        case Change():
            return _done(decided)
        case Follower(owner=owner, candidate=candidate, clash=clash):
            if owner.number is None:  # its owner, earlier in this chunk, came to nothing
                return Refused(anomalies=(*candidate.warnings, Anomaly(code=Code.INTERNAL_FAULT)))
            if clash is None:
                assert isinstance(candidate, Creation), "only creations are bound to a reference"
                return _registered(candidate, owner, replayed=True)
            disclosed = owner.number if candidate.may_learn_numbers else None
            exists = Anomaly(code=clash, path=candidate.path, number=disclosed)
            return Refused(anomalies=(*candidate.warnings, exists))
        case _:
            assert not isinstance(decided, Candidate), "a candidate is a creation or a change"
            return decided


def _registered(creation: Creation, owner: Creation | Known, *, replayed: bool) -> Registered:
    """`owner` is the request that was registered; `creation`, which asks the same, may be another."""
    assert owner.number is not None, "what was registered has its number"
    assert owner.life is not None, "it stands somewhere in its life"
    assert owner.revision is not None, "what was registered has a history"
    return Registered(
        number=owner.number,
        state=owner.life.state,
        expires_on=owner.life.expires_on,
        revision=owner.revision,
        attestation=_attested(creation, owner.life, creation.form),
        anomalies=(*creation.warnings, *creation.near_warnings),
        replayed=replayed,
    )


def _done(change: Change) -> Registered:
    """What a change came to; what altered nothing had been done before."""
    assert change.after is not None, "it was judged"
    life, form = change.after.life, change.after.form
    return Registered(
        number=change.number,
        state=life.state,
        expires_on=life.expires_on,
        revision=change.revision,
        attestation=_attested(change, life, form) if change.action is Action.RENEWAL and form else None,
        anomalies=(*change.warnings, *change.near_warnings),
        replayed=not change.alters,
    )


def _attested(candidate: Candidate, life: Life, form: HousingRequest) -> Attested | None:
    """What the applicant receives from this desk; nothing of a request that is active no more."""
    if life.state is not RequestState.ACTIVE:
        return None
    desk = candidate.file.desk
    assert desk is not None, "a desk that is not on record registers nothing"
    return Attested(
        form=without_nir(form),
        deposited_on=life.deposited_on,
        renewed_on=life.renewed_on,
        expires_on=life.expires_on,
        desk_name=desk.name,
        desk_address=desk.address,
    )


async def write_records(
    tx: Transaction, works: Sequence[FileWork], subjects: Mapping[str, Subject], at: datetime
) -> None:
    """Give each file its receipt, with everything that makes it true, in this transaction or not at all."""
    for work in works:
        work.decided = _receipt_of(work)
    done = [c for work in works for c in work.outcomes.values() if isinstance(c, Creation | Change)]
    creations = [candidate for candidate in done if isinstance(candidate, Creation)]
    changed = [subject for subject in subjects.values() if subject.applied]
    content_keys = await requests.insert(tx, [_new_request(creation) for creation in creations], at)
    content_keys |= {subject.number: subject.stored.key for subject in changed if subject.stored.key is not None}
    await requests.update(tx, [subject.now for subject in changed])
    await uniqueness.remember(tx, done, changed, content_keys, at)
    entries = [_beginning(creation) for creation in creations] + [one for subject in changed for one in subject.entries]
    await history.append(tx, entries, content_keys, at)
    for subject in changed:
        subject.written()
    settled = [(r.record, FILE_RECEIPT.dump_json(r)) for work in works if work.record and (r := work.receipt).record]
    await files.settle(tx, settled)
    await files.release(tx, [work.record for work in works if work.record and not work.receipt.record])
    await journal.append(tx, [entry for work in works for entry in _entries(work, work.receipt)], at)


def _decided(outcomes: Sequence[Outcome]) -> bool:
    """Whether anything was. Faults of ours bind no name: the same file may come again."""
    ours = {Code.INTERNAL_FAULT, Code.SEQUENCE_EXHAUSTED}
    return not outcomes or not all(isinstance(o, Refused) and ours & {a.code for a in o.anomalies} for o in outcomes)


def _new_request(creation: Creation) -> requests.NewRequest:
    assert creation.number is not None
    origin = creation.origin
    return requests.NewRequest(
        id=creation.id,
        number=creation.number,
        territory=creation.territory,
        desk=origin.desk,
        sender=origin.sender,
        life=creation.life,
        dated_at=creation.dated_at,
        payload=content_of(creation.form),
        file_record=origin.file_record,
        position=origin.position,
    )


def _beginning(creation: Creation) -> history.Entry:
    assert creation.number is not None
    couple = creation.couple and creation.couple.number
    return history.Entry(
        number=creation.number,
        revision=1,
        territory=creation.territory,
        operation=creation.operation,
        life=creation.life,
        origin=creation.origin,
        dated_at=creation.dated_at,
        said=json.dumps({"numUnique": couple}).encode() if couple else None,
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
        decided = work.outcomes.get(position)
        detail: dict[str, str | int | None] = {"position": position, "codes": _codes(outcome.anomalies)}
        if not isinstance(outcome, Registered):
            entries.append(entry("refused", None, detail))
        elif outcome.replayed or not isinstance(decided, Creation | Change):
            entries.append(entry("replayed", outcome.number, detail))
        else:
            what = _DONE[decided.action] if isinstance(decided, Change) else "registered"
            entries.append(entry(what, outcome.number, detail))
            if isinstance(decided, Creation) and decided.couple:
                entries.append(entry(_DONE[Action.SEPARATION], decided.couple.number, detail))
    return entries


_DONE = {
    Action.SEPARATION: "separated",
    Action.AMENDMENT: "amended",
    Action.RENEWAL: "renewed",
    Action.DEREGISTRATION: "deregistered",
    Action.EXPIRY: "expired",
    Action.REACTIVATION: "reactivated",
    Action.REMOVAL: "removed",
}
"""How the journal calls what was done to a registered request."""


def _codes(anomalies: Iterable[Anomaly]) -> str:
    return " ".join(dict.fromkeys(a.code.value for a in anomalies))
