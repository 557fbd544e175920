"""Whether more mails may be taken in. What we do not take stays in the mailbox, where it is as safe as with us.

So a queue that nobody empties, or a disk that fills, ends the intake before it ends anything else: what is decided
can still be answered, and the next poll or batch looks again. So do answers that do not leave, or they would pile up
for as long as the mail server is sick; who sends them never waits for the intake. A sender beyond its rates does not
fill the queue: its mails wait for their turn, for a day or more, and nobody else is to wait with them. They have a
bound of their own, in octets: it is there for the disk alone, which is not ours to look at when the register lies on
PostgreSQL.
"""

from enum import StrEnum

from mailflow.mail.door import MailDoor
from mailflow.mail.kinds import ANSWER
from mailflow.register import queues


class Full(StrEnum):
    """Why no mail is taken in."""

    DISK = "disk"
    """The disk that the register lies on is nearly full."""
    QUEUE = "queue"
    """So many mails wait to be decided that more would only wait as well."""
    UNSENT = "unsent"
    """So many answers have not left that more would only wait as well."""
    PUT_OFF = "put-off"
    """Mails beyond their senders' rates take up all the room that there is for them."""


async def full(door: MailDoor) -> Full | None:
    """None while there is room. Raises Unavailable."""
    used = door.disk_used()
    if used is not None and used > door.pace.disk_used_max:
        return Full.DISK
    async with door.register.read() as tx:
        if await queues.count_waiting(tx, door.pace.waiting_max) >= door.pace.waiting_max:
            return Full.QUEUE
        if await queues.count_unsent(tx, ANSWER, door.pace.waiting_max) >= door.pace.waiting_max:
            return Full.UNSENT
        return Full.PUT_OFF if await queues.bytes_put_off(tx) >= door.pace.put_off_bytes_max else None
