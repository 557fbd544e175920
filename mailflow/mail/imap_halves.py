"""Mails at which a server fails: found by halves, so that they keep no other one waiting, and remembered.

A set of mails that the server refuses, or at which it hangs up, is cut in two until the mail is alone that it fails
at. A server that fails at whatever it is asked for is unavailable, and no mail is to blame; when these mails are all
that there is, a witness tells whether anything else works.
"""

import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mailflow.core import backoff
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail.imap_session import ConnectionCutError, ServerFailedError

FAILURES_MAX = 3
"""When it fails at so many mails alone, and at all else, a server does not fail because of the mails."""
VOUCHED_MAX = 20
"""Of so many mails at most the witness is believed: when none of more can be read, it is the folder that cannot."""
IN_VAIN_MAX = 100
"""Commands of one search that may fail: about `log2(100)` for each mail that cannot be read."""
IN_VAIN_SECONDS_MAX = 300.0
"""Time that one search may lose with them, beside its last command."""
APART_MAX = 50
"""Sets of mails that gave trouble before and are tried again in one search."""
UNSURE_BATCH = 8
"""Mails of such a set, of which none has failed alone yet; else it is one."""
AGAIN_FIRST_SECONDS = 300.0
AGAIN_MOST_SECONDS = 3600.0
"""From the second failure at a mail on, until it is tried again: doubled from the first to the most."""

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Uids = Sequence[int]
T = TypeVar("T")
Witness = Callable[[], Awaitable[bool]]
"""Whether the server does elsewhere what it is asked for here. Bounded in time; raises nothing."""


async def nobody() -> bool:
    """The witness where there is none."""
    return False


@dataclass(frozen=True, slots=True)
class _Trouble:
    stage: str
    """What gave it, as the log has it: only the same that works forgives it, else nothing would be put off that can be
    read and cannot be moved."""
    failures: int
    """0 as long as only sets have failed that it was in: perhaps it is not to blame."""
    due: float


class Troubles:
    """The mails of one folder that gave trouble, for as long as they lie there under the same UIDVALIDITY."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._uidvalidity = 0
        self._known: dict[int, _Trouble] = {}

    def __len__(self) -> int:
        return len(self._known)

    def order(self, uidvalidity: int, uids: Uids) -> tuple[int, ...]:
        """These mails, which are all that lie there; those that gave trouble last, by when they are due."""
        known = self._known if uidvalidity == self._uidvalidity else {}
        self._uidvalidity, self._known = uidvalidity, {uid: known[uid] for uid in uids if uid in known}
        troubled = sorted(self._known, key=lambda uid: (self._known[uid].due, uid))
        return (*(uid for uid in uids if uid not in self._known), *troubled)

    def due(self, uids: Uids) -> tuple[list[int], list[list[int]]]:
        """Those of them that may be asked for together, and what is tried apart from them, by small sets."""
        now, chosen = self.clock(), sorted(set(uids))
        due = sorted((self._known[uid].due, uid) for uid in chosen if uid in self._known)
        unsure = [uid for _, uid in due if not self.blamed(uid)]
        small = [unsure[start : start + UNSURE_BATCH] for start in range(0, len(unsure), UNSURE_BATCH)]
        alone = [[uid] for at, uid in due if self.blamed(uid) and at <= now]
        return [uid for uid in chosen if uid not in self._known], [*small, *alone][:APART_MAX]

    def blamed(self, uid: int) -> bool:
        """The server has failed at it before, and not at everything."""
        return uid in self._known and self._known[uid].failures > 0

    def well(self, stage: str, uids: Uids) -> None:
        """The server did what was asked for with these."""
        for uid in uids:
            if uid in self._known and self._known[uid].stage == stage:
                del self._known[uid]

    def unsure(self, stage: str, uids: Uids, *, tried: Collection[int] = ()) -> None:
        """The server failed at sets that these were in; at those `tried` also alone, so they come last of all."""
        for uid in uids:
            self._known.setdefault(uid, _Trouble(stage, 0, 0.0))
        for uid in tried:
            if not self.blamed(uid):
                self._known[uid] = _Trouble(stage, 0, self.clock())

    def blame(self, stage: str, failed: Mapping[int, str]) -> None:
        """The server failed at these alone. The second time may follow at once: perhaps it was only starting."""
        for uid, why in failed.items():
            failures = self._known[uid].failures + 1 if uid in self._known else 1
            wait = 0.0
            if failures > 1:
                wait = backoff.delay(
                    failures - 1, first=AGAIN_FIRST_SECONDS, most=AGAIN_MOST_SECONDS, spread=0.0, jitter=0.0
                )
            self._known[uid] = _Trouble(stage, failures, self.clock() + wait)
            event(log, stage, level=logging.ERROR, uid=uid, failures=failures, why=why)


class Halving:
    """One search through some mails of a folder, with one kind of command."""

    def __init__(self, troubles: Troubles, stage: str, witness: Witness = nobody) -> None:
        self._troubles = troubles
        self._stage = stage
        self._witness = witness
        self._vouched: bool | None = None
        """What the witness said, once it was asked."""
        self.failed: dict[int, str] = {}
        """The mails at which the server failed alone, and how."""
        self.unread: set[int] = set()
        """Those, and the mails that the search did not come to because too much had failed."""
        self._worked = False
        self._in_vain = 0
        self._lost_seconds = 0.0
        self._cut: set[int] = set()

    async def each(
        self, batches: Sequence[Uids], attempt: Callable[[Uids], Awaitable[T]]
    ) -> AsyncIterator[tuple[Uids, T]]:
        """What `attempt`, which is bounded in time, comes to for each batch, or for the parts of one that fails.

        All batches first: nobody waits for the search. Raises Unavailable when the server fails at everything.
        """
        waiting = deque(batches)
        to_probe_after = len(batches)
        while waiting and self._in_vain < IN_VAIN_MAX and self._lost_seconds < IN_VAIN_SECONDS_MAX:
            uids = waiting.popleft()
            begun = self._troubles.clock()
            try:
                result = await attempt(uids)
            except ServerFailedError as error:
                self._in_vain += 1
                self._lost_seconds += self._troubles.clock() - begun
                self._divide(waiting, uids, error)
                await self._unless_it_fails_at_everything(batches)
            else:
                self._worked = self._worked or bool(result)
                yield uids, result
            to_probe_after -= 1
            if to_probe_after == 0 and not self._worked:
                waiting = deque(_with_probes_first([*waiting]))
        unsure = [uid for uids in waiting for uid in uids]
        if unsure and not await self._works(batches):
            self._give_up(batches)
        self.unread = {*unsure, *self.failed}
        self._troubles.unsure(self._stage, unsure)
        self._troubles.blame(self._stage, self.failed)

    def well(self, uids: Uids) -> None:
        """The server did with these all that was asked for."""
        self._troubles.well(self._stage, uids)

    async def left_out(self, uids: Uids) -> None:
        """The server answered, but not with these, which are there. Raises Unavailable likewise."""
        self.failed = dict.fromkeys(uids, "left-out")
        await self._unless_it_fails_at_everything([uids])
        self._troubles.blame(self._stage, self.failed)

    def _divide(self, waiting: deque[Uids], uids: Uids, error: ServerFailedError) -> None:
        if len(uids) > 1:
            half = len(uids) // 2
            waiting += [uids[:half], uids[half:]]
        elif isinstance(error, ConnectionCutError) and uids[0] not in self._cut:
            self._cut.add(uids[0])  # the server may just have been started anew: once more, on a fresh connection
            waiting.appendleft(uids)
        else:
            self.failed[uids[0]] = error.why

    async def _unless_it_fails_at_everything(self, batches: Sequence[Uids]) -> None:
        fresh = [uid for uid in self.failed if not self._troubles.blamed(uid)]
        if len(fresh) >= FAILURES_MAX and not await self._works(batches):
            self._give_up(batches)

    async def _works(self, batches: Sequence[Uids]) -> bool:
        """Here or, when so few mails are all that there is, elsewhere."""
        if not self._worked and self._vouched is None:
            self._vouched = sum(map(len, batches)) <= VOUCHED_MAX and await self._witness()
        return self._worked or bool(self._vouched)

    def _give_up(self, batches: Sequence[Uids]) -> None:
        # Others come first next time: if it is these mails after all, they keep nobody waiting for ever.
        self._troubles.unsure(self._stage, [uid for uids in batches for uid in uids], tried=self.failed)
        raise Unavailable("imap: the server fails at every mail that it is asked for")


def _with_probes_first(sets: Sequence[Uids]) -> Iterator[Uids]:
    """Nothing has worked: mails from different places, alone, tell sooner than all the halves whether anything does."""
    uids = [uid for some in sets for uid in some]
    probes = {uids[len(uids) * part // FAILURES_MAX] for part in range(FAILURES_MAX)} if uids else set()
    yield from ([uid] for uid in sorted(probes))
    yield from (rest for some in sets if (rest := [uid for uid in some if uid not in probes]))
