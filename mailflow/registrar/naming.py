"""Step 1: may this sender act for this desk, is the file's name free, was this very file decided before?"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from mailflow.core import calendar
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.model import EnrolledSender, Registered, RequestFile, Right, Submission
from mailflow.register import Transaction, files
from mailflow.registrar.rights import desk_refusal, mandates_for
from mailflow.registrar.work import FILE_RECEIPT, FileWork, Terms, may


def open_files(submission: Submission, sender: EnrolledSender, terms: Terms, at: datetime) -> list[FileWork]:
    """What the register says of each file as a whole before it looks at what it holds."""
    works: list[FileWork] = []
    first: dict[tuple[str, str], str] = {}
    for file in submission.files:
        work = _open_file(submission, file, sender, terms, at)
        if work.may_bind_its_name and first.setdefault((file.desk, file.name), file.digest) != file.digest:
            work.anomalies.append(Anomaly(code=Code.FILE_NAME_REPEATED))
        works.append(work)
    return works


def _right(file: RequestFile) -> Right | None:
    """The right that a file of this type asks for. What can be nobody's right (`RET`, `COP` …) is refused as such."""
    return next((right for right in Right if file.operation and right.value == file.operation.value), None)


def _open_file(
    submission: Submission, file: RequestFile, sender: EnrolledSender, terms: Terms, at: datetime
) -> FileWork:
    anomalies = list(file.anomalies)
    today = calendar.legal_day(at)
    in_force = tuple(mandate for mandate in sender.mandates if mandate.holds_on(today))
    if Code.FILE_NAME_WRONG not in {a.code for a in anomalies}:
        if refusal := desk_refusal(sender, file.desk, terms, today):
            anomalies.append(Anomaly(code=refusal))
        elif (right := _right(file)) is not None and not may(mandates_for(sender, file.desk, today), right):
            anomalies.append(Anomaly(code=Code.OPERATION_NOT_MANDATED))
    return FileWork(
        submission=submission,
        file=file,
        sender=sender,
        desk=terms.directory.desks.get(file.desk),
        mandates=in_force,
        anomalies=anomalies,
        decided_at=at,
    )


def names_and_content(work: FileWork) -> set[object]:
    """By what a file may turn out to have been decided before, by another one of the same chunk too."""
    file = work.file
    return {("name", file.desk, file.name), ("content", file.desk, file.digest)} if work.may_bind_its_name else set()


async def lock_contents(tx: Transaction, works: Sequence[FileWork]) -> None:
    """Have whoever decides the same content under another name at the same time wait, to find it decided."""
    await files.lock_contents(tx, {(work.file.desk, work.file.digest) for work in works if work.may_bind_its_name})


async def bind_names(tx: Transaction, works: Sequence[FileWork]) -> None:
    """Each name to its first decided content; a repeat finds what was decided then.

    No two of `works` share a name or a content.
    """
    named = [work for work in works if work.may_bind_its_name]
    claims = [
        files.FileClaim(
            record=uuid.uuid4().hex,
            desk=work.file.desk,
            name=work.file.name,
            digest=work.file.digest,
            intake_id=work.submission.intake,
        )
        for work in named
    ]
    bound = await files.claim(tx, claims)
    taken = [(claim.desk, claim.name) for claim in claims if claim.record not in bound]
    stored = await files.by_name(tx, taken) if taken else {}
    for work, claim in zip(named, claims, strict=True):
        if claim.record in bound:
            work.record = claim.record
        elif (known := stored[claim.desk, claim.name]).digest == claim.digest and known.receipt:
            work.same_as = FILE_RECEIPT.validate_json(known.receipt)
        else:
            work.anomalies.append(Anomaly(code=Code.FILE_NAME_TAKEN))
    await _find_known_content(tx, [work for work in named if work.record])


async def _find_known_content(tx: Transaction, fresh: Sequence[FileWork]) -> None:
    """The same content under a new name gets the earlier outcomes again, with a warning.

    Unless nothing of it was registered: then it is judged anew, since what refused it may have passed.
    """
    stored = await files.by_digest(tx, [(work.file.desk, work.file.digest) for work in fresh]) if fresh else {}
    for work in fresh:
        known = stored.get((work.file.desk, work.file.digest))
        # A row without a receipt is the file itself, claimed a moment ago.
        if known is None or not known.receipt:
            continue
        receipt = FILE_RECEIPT.validate_json(known.receipt)
        if any(isinstance(outcome, Registered) for outcome in receipt.outcomes):
            work.same_as = receipt
            work.anomalies.append(Anomaly(code=Code.FILE_CONTENT_KNOWN))
