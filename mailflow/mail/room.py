"""Whether more mails may be taken in. What we do not take stays in the mailbox, where it is as safe as with us.

So a queue that nobody empties, or a disk that fills, ends the intake before it ends anything else: what is decided
can still be answered, and the next poll or batch looks again.
"""

from enum import StrEnum

from mailflow.mail.door import MailDoor
from mailflow.register import queues


class Full(StrEnum):
    """Why no mail is taken in."""

    DISK = "disk"
    """The disk that the register lies on is nearly full."""
    QUEUE = "queue"
    """So many mails wait to be decided that more would only wait as well."""


async def full(door: MailDoor) -> Full | None:
    """None while there is room. Raises Unavailable."""
    used = door.disk_used()
    if used is not None and used > door.pace.disk_used_max:
        return Full.DISK
    async with door.register.read() as tx:
        waiting = await queues.count_waiting(tx, door.pace.waiting_max)
    return Full.QUEUE if waiting >= door.pace.waiting_max else None
