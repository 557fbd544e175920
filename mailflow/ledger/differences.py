"""Every kind of difference that there can be: what it means, what helps, and whether the command mends it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailflow.mail.model import Lying


class Kind(StrEnum):
    """What does not add up."""

    WAITS = "mail-waits"
    MARKED = "mail-marked-deleted"
    LEFT = "mail-left-in-inbox"
    MISPLACED = "mail-in-wrong-folder"
    TWICE = "mail-lies-twice"
    UNKNOWN = "mail-unknown"
    NOWHERE = "mail-nowhere"
    UNANSWERED = "answer-missing"
    COPY_MISSING = "copy-missing"
    COPY_UNKNOWN = "copy-unknown"
    COPY_TWICE = "copy-lies-twice"
    COPY_ALTERED = "copy-altered"
    UNRECORDED = "sent-unrecorded"
    HOLE = "number-hole"
    GIVEN_TWICE = "number-sequence-twice"
    COUNTER_BEHIND = "number-counter-behind"
    NO_HISTORY = "number-without-history"
    NOT_TOLD = "number-not-told"
    HISTORY_HOLE = "history-hole"
    HISTORY_BEHIND = "history-counter-behind"
    DISPATCH_HOLE = "dispatch-hole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What an operator has to know of a kind of difference."""

    explanation: str
    remedy: str
    """What helps; a command where one does."""
    mends: str = ""
    """What `--apply` does about it; empty: nothing."""
    adds_up: bool = False
    """Explained by itself: nothing is lost, nothing twice, and nothing has to be done."""


MEANINGS: Mapping[Kind, Meaning] = {
    Kind.WAITS: Meaning(
        explanation="It lies in the inbox and was not taken in yet: the service is down, or cannot read it.",
        remedy="Start the service, or `mailflow run --once`; look at the log for `unreadable-in-mailbox`.",
    ),
    Kind.MARKED: Meaning(
        explanation="Another mail program marked it deleted in the inbox before it was taken in; it is passed over.",
        remedy="Nobody else should work in this mailbox.",
        mends="The mark is taken away: the service takes the mail in.",
    ),
    Kind.LEFT: Meaning(
        explanation="It was taken in and still lies in the inbox: moving it failed, or it was moved back by hand.",
        remedy="The next poll moves it, but for one that is marked deleted; when it does not, look whether the"
        " folders can be written to. One that was moved back has a new UID, and is answered once more, with the"
        " numbers that it has.",
        mends="Moved to where it belongs.",
    ),
    Kind.MISPLACED: Meaning(
        explanation="Read and taken in, but among those that a person has to look at; or the other way round.",
        remedy="Somebody moved it by hand, or the limit for mails was changed.",
        mends="Moved to the other folder.",
    ),
    Kind.TWICE: Meaning(
        explanation="More of it lie in the folders than were delivered: a server that died in the middle of a MOVE, or "
        "somebody who copied it. It was taken in once, and answered once.",
        remedy="Nothing; one of the two may be deleted by hand.",
        adds_up=True,
    ),
    Kind.UNKNOWN: Meaning(
        explanation="It was put away, but the register does not know it: the register was restored from before it "
        "came, or somebody laid it there.",
        remedy="After a restore `mailflow restore`: see Backup and restore. What that leaves is taken in by `--apply`; "
        "then `mailflow release` those that are to be decided.",
        mends="Taken in and held; nothing is mended while the register is behind its mailboxes. What its files bound "
        "already is answered the same again once it is released.",
    ),
    Kind.NOWHERE: Meaning(
        explanation="It was taken in and moved, and lies in none of the folders, though it is younger than the time "
        "for which they keep mails: somebody deleted or moved it. The register has it, unless it was too large.",
        remedy="Look into other folders of the mailbox; let nothing delete mails before `jobs.retention_days`.",
    ),
    Kind.UNANSWERED: Meaning(
        explanation="The mail counts as answered, and no answer was ever ordered: a broken promise.",
        remedy="Keep a copy of the register and report it; tell the sender what `mailflow show` says of the mail.",
    ),
    Kind.COPY_MISSING: Meaning(
        explanation="The mail server took it, but the audit mailbox has no copy: it was deleted there, or the server "
        "lost what it had accepted, and perhaps the desk's too.",
        remedy="Ask the mail server's log; `mailflow resend --outgoing ID` does what `--apply` does.",
        mends="The same octets are sent again, unless they were erased or it is a technical receipt.",
    ),
    Kind.COPY_UNKNOWN: Meaning(
        explanation="A mail of this service lies in the audit mailbox that the register never ordered: the register is "
        "older than its mailbox, and would give the numbers in it again.",
        remedy="`mailflow stop` at once, and see Backup and restore.",
    ),
    Kind.COPY_TWICE: Meaning(
        explanation="More copies lie there than sends are on record: the mail server delivered one twice, or a send "
        "was not recorded. All are the same mail, which whoever got it knows by its Message-ID.",
        remedy="Nothing.",
        adds_up=True,
    ),
    Kind.COPY_ALTERED: Meaning(
        explanation="A copy has the Message-ID of an answer and another body: it was changed, or forged. Or it was "
        "sent in a time that the register lost, before which the answer had been ordered and not composed.",
        remedy="Keep it, and ask who may write to the audit mailbox; after a restore compare when it came.",
    ),
    Kind.UNRECORDED: Meaning(
        explanation="It waits to be sent, or is held, and its copy is in the audit mailbox: it was sent, and the "
        "register was restored from before that.",
        remedy="Let it be recorded before the service sends it once more.",
        mends="Recorded as sent, when the copy is the same to the octet; what was not composed yet a worker records.",
    ),
    Kind.HOLE: Meaning(
        explanation="Numbers were given and no request has them, though no jump of the counter is on record: a row was "
        "deleted, or a counter was set by hand.",
        remedy="Look for them in the audit mailbox; keep a copy of the register and report it.",
    ),
    Kind.GIVEN_TWICE: Meaning(
        explanation="Two numbers of a territory and month have the same sequence.",
        remedy="`mailflow stop`, keep a copy of the register, and report it.",
    ),
    Kind.COUNTER_BEHIND: Meaning(
        explanation="The counter stands before the highest number that was given: the next creation would be given a "
        "number that exists, and fail.",
        remedy="It was set by hand, or restored apart from the requests.",
        mends="The counter is set to the highest number.",
    ),
    Kind.NO_HISTORY: Meaning(
        explanation="A number without the entry of its creation in the history.",
        remedy="Keep a copy of the register and report it.",
    ),
    Kind.NOT_TOLD: Meaning(
        explanation="A number whose mail does not count as answered: nobody was told of it.",
        remedy="Keep a copy of the register and report it; `mailflow show NUMBER` tells which mail it is.",
    ),
    Kind.HISTORY_HOLE: Meaning(
        explanation="Entries are missing in the history of a territory: rows were deleted.",
        remedy="Keep a copy of the register and report it; desks were perhaps not told of what was in them.",
    ),
    Kind.HISTORY_BEHIND: Meaning(
        explanation="The counter of a territory's history stands before its last entry: the next change would fail.",
        remedy="It was set by hand, or restored apart from the history.",
        mends="The counter is set to the last entry.",
    ),
    Kind.DISPATCH_HOLE: Meaning(
        explanation="A dispatch of a desk is missing among those on record: a row was deleted.",
        remedy="Keep a copy of the register and report it.",
    ),
}
"""Of every kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that does not add up."""

    kind: Kind
    subject: str
    """What it is about, for people: `INBOX 812`, `intake 7`, `059 0126: 4-6`."""
    folder: str = ""
    mail: Lying | None = None
    """In that folder."""
    intake: int | None = None
    outgoing: int | None = None
    message_id: str = ""
    """Of an outgoing mail."""
    sends: int = 0
    """How often it had been sent by then."""
    twin: int | None = None
    """UID of the same mail in the inbox."""
