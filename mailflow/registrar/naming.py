"""Step 1: may this sender act for this desk, is the file's name free, was this very file decided before?"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from mailflow.core import calendar, numbers
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.model import EnrolledSender, Environment, FileReceipt, Registered, RequestFile, Submission
from mailflow.core.numbers import DeskCode
from mailflow.register import Transaction, files
from mailflow.registrar.work import FILE_RECEIPT, FileWork, Terms, may


def open_file(
    submission: Submission, file: RequestFile, sender: EnrolledSender, terms: Terms, at: datetime
) -> FileWork:
    """What the register says of the file as a whole before it looks at what it holds."""
    anomalies = list(file.anomalies)
    mandates = [m for m in sender.mandates if m.desk == file.desk and m.holds_on(calendar.legal_day(at))]
    school = terms.environment is Environment.SCHOOL
    if Code.FILE_NAME_WRONG not in {a.code for a in anomalies}:
        if numbers.is_school_desk(file.desk) and not school:
            anomalies.append(Anomaly(code=Code.SCHOOL_DESK))
        elif school and not numbers.is_school_desk(file.desk):
            anomalies.append(Anomaly(code=Code.NOT_A_SCHOOL_DESK))
        elif not mandates:
            anomalies.append(Anomaly(code=Code.DESK_NOT_MANDATED))
        elif file.desk in terms.directory.suspended_desks:
            anomalies.append(Anomaly(code=Code.DESK_SUSPENDED))
        elif file.operation is not None and not may(mandates, file.operation.value):
            anomalies.append(Anomaly(code=Code.OPERATION_NOT_MANDATED))
    return FileWork(submission=submission, file=file, sender=sender, anomalies=anomalies, decided_at=at)


async def bind_names(tx: Transaction, works: Sequence[FileWork]) -> None:
    """Each name to its first decided content; a repeat finds what was decided then (decision 6)."""
    first: dict[tuple[DeskCode, str], FileWork] = {}
    for work in works:
        if not work.may_bind_its_name:
            continue
        known = first.setdefault((work.file.desk, work.file.name), work)
        if known is not work:
            _same_name(work, known.file.digest, known)
    claims = [
        files.FileClaim(
            record=uuid.uuid4().hex,
            desk=work.file.desk,
            name=work.file.name,
            digest=work.file.digest,
            intake_id=work.submission.intake,
        )
        for work in first.values()
    ]
    bound = await files.claim(tx, claims)
    taken = [name for name, claim in zip(first, claims, strict=True) if claim.record not in bound]
    stored = await files.by_name(tx, taken) if taken else {}
    fresh: list[FileWork] = []
    for (name, work), claim in zip(first.items(), claims, strict=True):
        if claim.record in bound:
            work.record = claim.record
            fresh.append(work)
        else:
            _same_name(work, stored[name].digest, FILE_RECEIPT.validate_json(stored[name].receipt))
    await _find_known_content(tx, fresh)


def _same_name(work: FileWork, digest: str, decided: FileWork | FileReceipt) -> None:
    if work.file.digest == digest:
        work.same_as = decided
    elif isinstance(decided, FileWork) and decided.submission is work.submission:
        work.anomalies.append(Anomaly(code=Code.FILE_NAME_REPEATED))
    else:
        work.anomalies.append(Anomaly(code=Code.FILE_NAME_TAKEN))


async def _find_known_content(tx: Transaction, fresh: Sequence[FileWork]) -> None:
    """The same content under a new name gets the earlier outcomes again, with a warning.

    Unless nothing of it was registered: then it is judged anew, since what refused it may have passed.
    """
    first: dict[tuple[DeskCode, str], FileWork] = {}
    for work in fresh:
        known = first.setdefault((work.file.desk, work.file.digest), work)
        if known is not work:
            work.same_as = known
    stored = await files.by_digest(tx, list(first)) if first else {}
    for key, work in first.items():
        # A row without a receipt is one of this chunk, claimed a moment ago.
        if key in stored and stored[key].receipt:
            receipt = FILE_RECEIPT.validate_json(stored[key].receipt)
            if any(isinstance(outcome, Registered) for outcome in receipt.outcomes):
                work.same_as = receipt
    for work in fresh:
        if work.same_as is not None:
            work.anomalies.append(Anomaly(code=Code.FILE_CONTENT_KNOWN))
