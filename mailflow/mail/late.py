"""The technical receipt: whoever waits too long for an answer is told that the mail is here (DESIGN.md, "One message").

Safe to kill at any line: that a mail was looked at and the order for its receipt are one commit.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from mailflow.core.anomalies import Code
from mailflow.core.numbers import DeskCode
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail.door import MailDoor, Progress, current_terms
from mailflow.mail.judge import Unjudged
from mailflow.mail.kinds import ANSWER, KINDS, RECEIPT
from mailflow.mail.model import Recognised, Recognition, TechnicalReceipt, Undetermined
from mailflow.mail.recognising import recognise
from mailflow.register import directory, lateness, outbox
from mailflow.wire.names import FileNameError, parse_request_name

log = logging.getLogger(__name__)


async def acknowledge(door: MailDoor) -> Progress:
    """Order receipts for the senders of mails that have waited too long. Raises Unavailable.

    Each mail is looked at once: a sender who cannot be told now (nobody is proven, no certificate is there) is not
    told later either, but answered.
    """
    before, pace = door.clock() - door.pace.late, door.pace
    async with door.register.read() as tx:
        late = await lateness.find(tx, ANSWER, before, pace.chunk, size_bytes_max=pace.chunk_bytes_max)
    if not late:
        return Progress()
    terms = await current_terms(door)
    received = {mail.id: mail.received_at for mail in late}
    due = {mail.id: _due(mail, pace.deadline) for mail in late}
    readable = [Unjudged(intake=m.id, raw=m.raw, received_at=m.received_at) for m in late if m.raw is not None]
    found = await recognise(door.judges, readable, at=door.clock())
    if _breaks_at_whatever_comes(found, [mail for mail in late if mail.raw is not None]):
        raise Unavailable("not one of the late mails can be judged: that is hardly their fault")
    recognised = [one for one in found if isinstance(one, Recognised)]
    receipts = {
        one.intake: TechnicalReceipt(recognised=one, received_at=received[one.intake], deadline_at=due[one.intake])
        for one in recognised
        if one.reply.encrypt_to is not None
    }
    at = door.clock()
    async with door.register.begin() as tx:
        if await directory.generation(tx) != terms.directory.generation:
            return Progress()  # whom we proved may have been suspended meanwhile: looked at again
        noted = await lateness.note(tx, ANSWER, list(received), at)
        waiting = [one for one in recognised if one.intake in noted]
        await lateness.remember_files(tx, [line for one in waiting for line in _files_of(one)])
        wanted = sorted(noted & receipts.keys())
        drafts = [
            outbox.Draft(
                kind=RECEIPT,
                key=str(id_),
                intake_id=id_,
                recipient=receipts[id_].recognised.reply.recipient,
                domain=door.address.rpartition("@")[2],
                dated_at=at,
                payload=KINDS[RECEIPT].order.dump_json(receipts[id_]),
            )
            for id_ in wanted
        ]
        await outbox.queue(tx, drafts, at)
    for id_ in wanted:
        event(log, "late", intake=id_, sender=receipts[id_].recognised.reply.sender)
    return Progress(late=len(late))


def _breaks_at_whatever_comes(found: Sequence[Recognition], mails: Sequence[lateness.Late]) -> bool:
    """What waits for a person may do so because it breaks it, each mail alone: it is looked at once all the same."""
    broken = all(isinstance(one, Undetermined) and one.anomaly.code is Code.INTERNAL_FAULT for one in found)
    return broken and len(found) > 1 and not all(mail.for_a_person for mail in mails)


def _due(mail: lateness.Late, deadline: timedelta) -> datetime:
    """Until when it is answered. What its sender's rates hold up for long is promised for later, not in vain."""
    return max(mail.received_at, (mail.turn_at or mail.received_at) - deadline / 2) + deadline


def _files_of(mail: Recognised) -> Iterator[tuple[int, DeskCode, str, str]]:
    """Its request files, for desks that ask after them (`registrar.answer_questions`)."""
    for file in mail.files:
        with contextlib.suppress(FileNameError):
            yield mail.intake, parse_request_name(file.name).desk, file.name, file.digest
