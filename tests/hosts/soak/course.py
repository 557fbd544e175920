"""The course of a soak: mails are delivered as fast as they are answered, and what comes back is taken down."""

import smtplib
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from bench.world import AUDIT_USER, SERVICE, SERVICE_USER, World
from mailflow.demo.installation import DeskSoftware
from mailflow.selftest.oracle import Finding
from tests.hosts.soak.boxes import Box
from tests.hosts.soak.mails import Mail, message_id_in, opened
from tests.hosts.soak.oracle import Answer, Oracle, Wrong
from tests.servers.dovecot import DOMAIN
from tests.servers.postfix import times_taken
from tests.servers.process import ServerFailedError

DELIVERED_AT_ONCE = 25
OPENING_MAX = 8
"""Lots of answers that are being opened; more are not read meanwhile."""
PAUSE_SECONDS = 0.1
REPLY_SECONDS_MAX = 120.0
REFUSALS_MAX = 20
NOTHING_SECONDS_MAX = 60.0 * 15
"""Without any answer for so long, those that are missing are lost."""
EMPTY_SECONDS_MAX = 120.0


@dataclass(kw_only=True)
class Course:
    """From the first mail to the last answer. `dovecot_lock` is held by whoever wants Dovecot to stay."""

    world: World
    oracle: Oracle
    pool: Executor
    workers: "Sequence[subprocess.Popen[bytes]]"
    backlog_max: int
    audit_kept_seconds: float
    """Workers look into the audit mailbox for what they sent in doubt, and never later than that. In the end one waits
    so long for what should not come: a second answer, an answer to a hostile mail."""
    dovecot_lock: threading.Lock = field(default_factory=threading.Lock)
    sent: Counter[str] = field(default_factory=Counter)
    """Mails by what may become of them."""
    repeated: int = 0
    first_answer: threading.Event = field(default_factory=threading.Event)
    died: list[Finding] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _opening: "deque[tuple[float, Future[list[Answer]]]]" = field(default_factory=deque)
    _progressed: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._desks = [(one, Box(dovecot=self.world.dovecot, user=one.sender)) for one in self.world.software]
        self._audit = Box(
            dovecot=self.world.dovecot,
            user=AUDIT_USER,
            section="HEADER.FIELDS (MESSAGE-ID)",
            kept_seconds=self.audit_kept_seconds,
        )

    @property
    def delivered(self) -> int:
        """Mails so far."""
        return self.sent.total()

    def run(self, mails: Iterator[Mail], look: Callable[[], None]) -> None:
        """Deliver all and wait for their answers, as long as any come; `look` is called all the time."""
        left: Mail | None = next(mails, None)
        while not self._ended():
            look()
            if left is not None and self.oracle.unanswered < self.backlog_max:
                room = min(self.backlog_max - self.oracle.unanswered, DELIVERED_AT_ONCE)
                left = self._deliver([left, *islice(mails, room - 1)], mails)
            elif left is None and not self.oracle.unanswered:
                return
            else:
                time.sleep(PAUSE_SECONDS)
            self.take_down()

    def _deliver(self, lot: Sequence[Mail], mails: Iterator[Mail]) -> Mail | None:
        """The mail that is next afterwards. While Dovecot is away it waits."""
        dovecot = self.world.dovecot
        with (
            self.dovecot_lock,
            smtplib.LMTP(dovecot.host, dovecot.lmtp_port, timeout=REPLY_SECONDS_MAX) as client,
        ):
            for mail in lot:
                self.oracle.sent(mail.message_id, mail.fate, mail.what, time.monotonic())
                self.sent[mail.fate] += 1
                self.repeated += mail.message_id in self._seen
                self._seen.add(mail.message_id)
                _hand_in(client, mail)
        return next(mails, None)

    def _ended(self) -> bool:
        """Whether it is of no use to go on."""
        if dead := [worker.returncode for worker in self.workers if worker.poll() is not None]:
            self.died = [Finding(wrong=Wrong.OTHER, what=f"a worker ended by itself with {code}") for code in dead]
        return bool(dead) or time.monotonic() - self._progressed > NOTHING_SECONDS_MAX

    def take_down(self) -> int:
        """What lies in the mailboxes now; how much it was, with what was opened."""
        count = self._look_at_opened()
        for software, box in self._desks:
            if len(self._opening) < OPENING_MAX and (raws := box.take()):
                self._opening.append((time.monotonic(), self._open(software, raws)))
                count += len(raws)
        for header in self._audit.take():
            self.oracle.audited(message_id_in(header))
            count += 1
        return count

    def _open(self, software: DeskSoftware, raws: list[bytes]) -> "Future[list[Answer]]":
        identity = software.identity
        service = self.world.installation.identity.der
        return self.pool.submit(partial(opened, raws, identity.key_pem, identity.pem, service))

    def _look_at_opened(self) -> int:
        count = 0
        while self._opening and self._opening[0][1].done():
            at, future = self._opening.popleft()
            for answer in future.result():
                self.oracle.answered(answer, at)
                self._progressed = time.monotonic()
                self.first_answer.set()
                count += 1
        return count

    def finish(self) -> list[Finding]:
        """All servers are there; what is wrong, once everything that may still come has come."""
        until = time.monotonic() + EMPTY_SECONDS_MAX
        while self._in_hand() and time.monotonic() < until:
            self.take_down()
        until = time.monotonic() + self.audit_kept_seconds
        while self.take_down() or self._opening or time.monotonic() < until:
            time.sleep(PAUSE_SECONDS)
        for box in (self._audit, *(box for _, box in self._desks)):
            box.close()
        return [*self.oracle.findings(times_taken(self.world.postfix.log())), *self._left(), *self.died]

    def _in_hand(self) -> bool:
        """Whether a mail is still to be taken in, or an answer to be delivered."""
        return self.world.postfix.holds_mail() or self.world.dovecot.count(SERVICE_USER) > 0

    def _left(self) -> Iterator[Finding]:
        if count := self.world.dovecot.count(SERVICE_USER):
            yield Finding(wrong=Wrong.LOST, what=f"{count} mails still lie in the inbox")
        kept = self.world.dovecot.count(SERVICE_USER, "Processed")
        # A server that is killed while it moves mails may do so again: then one lies there twice.
        if kept < self.delivered:
            yield Finding(wrong=Wrong.LOST, what=f"of {self.delivered} mails {kept} are kept")


def _hand_in(client: smtplib.LMTP, mail: Mail) -> None:
    """A server that was killed may refuse for a moment, while it looks what its mailbox holds: then nothing came."""
    for _ in range(REFUSALS_MAX):
        try:
            client.sendmail(f"desk@{DOMAIN}", [SERVICE], mail.raw)
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused):
            time.sleep(1)
        else:
            return
    raise ServerFailedError(f"Dovecot refuses {mail.what}")
