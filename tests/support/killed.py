"""Runs the real command line and kills it (SIGKILL) at a named point.

`python -m tests.support.killed --kill POINT:NTH -- --config … run --once`. The points lie on the seams between the
worker and the world: each call of a port, each SMTP command, each step of a move, each task of the pool, each commit,
named for what it commits, or for who does. They are put there from outside; the program knows nothing of them.
`--record FILE` writes down which points a run passes. `--later MINUTES` sets its clock forward, for leases and waits
that must have run out. `--rounds SECONDS` is how often a service says that it lives. `--hurry TIMES`: so much sooner a
stage is taken for one that hangs. `--until-nothing` runs the command again and again, each time later, until nothing is
left.
"""

# What the processes of the pool would import for nothing is imported inside functions.
import argparse
import contextlib
import functools
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

ANY = "any"
"""As a point: the NTH one that is passed, whatever its name."""
CHANGED = "changed"
"""Among what a transaction has done: something that has no name."""
MOVING = ("CREATE", "MOVE", "COPY", "STORE", "EXPUNGE")
RUNS_MAX = 8
NOTHING = "Nothing to do."
"""What the summary of `run --once` says then."""


class Points:
    """Counts the points as they are passed; ends the process at one of them."""

    def __init__(self, kill: str, record: Path | None) -> None:
        name, _, nth = kill.rpartition(":")
        self._kill = (name, int(nth)) if kill else None
        self._record = record
        self._passed: dict[str, int] = {}

    def reach(self, name: str) -> None:
        for one in (name, ANY):
            self._passed[one] = self._passed.get(one, 0) + 1
            if (one, self._passed[one]) == self._kill:
                self.strike()
        if self._record is not None:
            with self._record.open("a") as record:
                record.write(f"{name}:{self._passed[name]}\n")

    def strike(self) -> None:
        """What happens at the chosen point."""
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, method: str, name: str) -> None:
        """A point before and one after each call of an asynchronous method."""
        original = getattr(owner, method)

        @functools.wraps(original)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.reach(f"{name}.before")
            result = await original(*args, **kwargs)
            self.reach(f"{name}.after")
            return result

        setattr(owner, method, wrapped)


def set_up(points: Points) -> None:
    """Put the points on every seam."""
    from mailflow.mail.imap import ImapCopies, ImapMailbox
    from mailflow.mail.pool import Pool

    for owner, method, name in (
        (ImapMailbox, "list", "mailbox.list"),
        (ImapMailbox, "move", "mailbox.move"),
        (ImapCopies, "find", "copies.find"),
        (Pool, "serve", "pool.serve"),
        (Pool, "judge", "pool.judge"),
        (Pool, "compose", "pool.compose"),
    ):
        points.around(owner, method, name)
    _on_fetch(points)
    _on_moves(points)
    _on_smtp(points)
    _on_commits(points)


def _on_fetch(points: Points) -> None:
    from mailflow.mail.imap import ImapMailbox

    original = ImapMailbox.fetch

    async def fetch(self: Any, *args: Any) -> AsyncIterator[Any]:
        points.reach("mailbox.fetch.before")
        async for mail in original(self, *args):
            points.reach("mailbox.fetched")
            yield mail

    setattr(ImapMailbox, "fetch", fetch)  # noqa: B010  mypy would not have a method assigned


def _on_moves(points: Points) -> None:
    """A point after each command that is a move or one of its parts."""
    from mailflow.mail.imap_session import ImapSession

    run = ImapSession.run

    async def running(self: Any, name: str, *args: Any, **options: Any) -> Any:
        response = await run(self, name, *args, **options)
        if name in MOVING:
            points.reach(f"imap.{name.lower()}.replied")
        return response

    setattr(ImapSession, "run", running)  # noqa: B010  as above


def _on_smtp(points: Points) -> None:
    import aiosmtplib

    from mailflow.mail.smtp import SmtpMailer
    from mailflow.mail.smtp_session import Session

    points.around(aiosmtplib.SMTP, "connect", "smtp.connect")
    ask, next_reply, send = Session.ask, Session._next, SmtpMailer.send
    said: dict[Any, str] = {}

    async def asking(self: Any, commands: Any, seconds: float) -> Any:
        verb = commands[0].partition(b" ")[0].decode()
        said[self] = f"smtp.{verb.lower()}" if verb.isupper() else "smtp.data"
        return await ask(self, commands, seconds)

    async def waiting(self: Any, seconds: float) -> Any:
        points.reach(f"{said[self]}.written")
        reply = await next_reply(self, seconds)
        points.reach(f"{said[self]}.replied")
        return reply

    async def sending(self: Any, outgoing: Any, before_data: Any) -> Any:
        async def claim() -> bool:
            points.reach("mailer.claim.before")
            ours: bool = await before_data()
            points.reach("mailer.claim.after")
            return ours

        points.reach("mailer.send.before")
        result = await send(self, outgoing, claim)
        points.reach("mailer.send.after")
        return result

    for owner, name, method in ((Session, "ask", asking), (Session, "_next", waiting), (SmtpMailer, "send", sending)):
        setattr(owner, name, method)


_doing: ContextVar[dict[str, None]] = ContextVar("doing")
"""What the transaction of now has done."""


def _on_commits(points: Points) -> None:
    """A point before and one after each COMMIT that changes something, of both databases; empty ones are none.

    One of each for each thing that it commits; where none of those that are named here is, for who commits.
    """
    import sqlalchemy as sa

    from mailflow.register import Register
    from mailflow.register.key_store import KeyStore

    _name_work()
    for database in (Register, KeyStore):
        _on_commits_of(database, points)

    @sa.event.listens_for(sa.Engine, "after_execute")
    def executed(*told: Any) -> None:
        statement, result = told[1], told[-1]
        # How much was changed is not known yet where rows are given back: what does that has a name.
        if statement.is_dml and not result.returns_rows and result.rowcount:
            _doing.get({})[CHANGED] = None


def _on_commits_of(database: type[Any], points: Points) -> None:
    original = database.begin

    @contextlib.asynccontextmanager
    async def begun(self: Any, who: str) -> AsyncIterator[Any]:
        outer, done = _doing.get({}), dict[str, None]()
        _doing.set(done)
        async with original(self) as tx:
            yield tx
            _doing.set(outer)  # keys are kept, in a database of their own, in the middle of another transaction
            names = [name for name in done if name != CHANGED] or [who] * len(done)
            for name in names:
                points.reach(f"{name}.before-commit")
        for name in names:
            points.reach(f"{name}.after-commit")

    def begin(self: Any) -> Any:
        caller = sys._getframe(1)
        module = str(caller.f_globals["__name__"]).rpartition(".")[2]
        return begun(self, f"{module}.{caller.f_code.co_name.strip('_')}")

    setattr(database, "begin", begin)  # noqa: B010  as above


def _name_work() -> None:
    """What transactions do."""
    from mailflow.register import doubt, intake, lateness, outbox

    def note(module: ModuleType, function: str, at_work: Callable[[Any, tuple[Any, ...]], bool]) -> None:
        original = getattr(module, function)

        @functools.wraps(original)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs)
            if at_work(result, args):
                _doing.get({})[f"{module.__name__.rpartition('.')[2]}.{function}"] = None
            return result

        setattr(module, function, wrapped)

    def found(result: Any, _: tuple[Any, ...]) -> bool:
        return bool(result)

    def wanted(position: int) -> Callable[[Any, tuple[Any, ...]], bool]:
        return lambda _, args: bool(args[position])

    for function, at_work in (
        ("take_in", wanted(1)),
        ("claim_chunk", found),
        ("claim_solo", found),
        ("make_solo", wanted(2)),
        ("release", wanted(2)),
        ("settle", wanted(2)),
    ):
        note(intake, function, at_work)
    for function, at_work in (
        ("claim_queued", found),
        ("freeze", wanted(1)),
        ("claim_composed", found),
        ("mark_sending", found),
        ("mark_sent", wanted(1)),
        ("defer", wanted(2)),
    ):
        note(outbox, function, at_work)
    for function in ("put_behind", "resolve"):
        note(doubt, function, wanted(1))
    note(lateness, "note", found)
    note(lateness, "give_up", wanted(1))


def run(arguments: list[str], *, later: timedelta, until_nothing: bool) -> int:
    """Hand over to the command line, its clock set forward by `later`, or back; its exit code."""
    from mailflow.cli.main import call
    from tests.support.clock import set_forward

    set_forward(later)
    if not until_nothing:
        return call(arguments)
    for _ in range(RUNS_MAX):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = call(arguments)
        sys.stdout.write(said.getvalue())
        if NOTHING in said.getvalue():
            return code
        set_forward(later)
    return 1


def main(given: list[str] | None = None) -> None:
    """Never returns. `given`: other arguments than those of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill", default="", metavar="POINT:NTH")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--later", type=float, default=0, metavar="MINUTES")
    parser.add_argument("--rounds", type=float, metavar="SECONDS")
    parser.add_argument("--hurry", type=float, metavar="TIMES")
    parser.add_argument("--until-nothing", action="store_true")
    parser.add_argument("arguments", nargs="+", help="of mailflow, after --")
    options = parser.parse_args(given)
    if options.kill or options.record:
        set_up(Points(options.kill, options.record))
    if options.rounds:
        from mailflow.app import attendance

        attendance.ROUND_SECONDS = options.rounds
    if options.hurry:
        from mailflow.mail.stages import Stages

        hanging = Stages.hanging
        Stages.hanging = lambda self, seconds: hanging(self, seconds / options.hurry)  # type: ignore[method-assign]  # from outside
    later = timedelta(minutes=options.later)
    sys.exit(run(options.arguments, later=later, until_nothing=options.until_nothing))


if __name__ == "__main__":
    main()
