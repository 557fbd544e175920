"""`mailflow verify --archive`: mails that were accepted, verified again from their evidence."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from mailflow import app
from mailflow.cli.finding import LocalTime
from mailflow.cli.invocation import Exit, Invocation, Row, by_option, say, show_json, wait_for
from mailflow.register import Register, cases, journal
from mailflow.register.evidence import Period
from mailflow.review.archive import Checked
from mailflow.review.exporting import Export

T = TypeVar("T")

TOLD_MAX = 1_000
"""Failures that are told one by one; the others are counted."""
STEPS_MAX = 20
"""Mails, when so few are asked for by name, whose steps are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which acceptances are to be verified again."""

    period: Period
    messages: Sequence[str] = ()
    """Intakes, or Message-IDs."""
    export: Path | None = None
    with_content: bool = False
    by: str
    """Who is to read the contents."""


_OPTIONS = (
    click.option("--archive", is_flag=True, help="Verify again what was accepted, from the evidence that was kept."),
    click.option("--from", "since", type=LocalTime(), help="With --archive: decided then or later."),
    click.option("--to", "until", type=LocalTime(), help="With --archive: decided before."),
    click.option("--message", "messages", multiple=True, help="With --archive: this intake, or this Message-ID."),
    click.option(
        "--export",
        type=click.Path(path_type=Path, file_okay=False),
        help="With --archive: also write the evidence into this new folder, for whoever has openssl and not mailflow.",
    ),
    click.option(
        "--with-content",
        is_flag=True,
        help="With --export: the signed contents too, personal data and all. It is put on record.",
    ),
    by_option,
)


def archive_options(command: Callable[..., T]) -> Callable[..., T]:
    """The options of `--archive`, as one parameter `which`: None without it."""

    @functools.wraps(command)
    def with_archive(
        *arguments: Any,
        archive: bool,
        since: datetime | None,
        until: datetime | None,
        messages: Sequence[str],
        export: Path | None,
        with_content: bool,
        by: str,
        **options: Any,
    ) -> T:
        if not archive and (since or until or messages or export):
            raise click.UsageError("--from, --to, --message and --export go with --archive")
        if with_content and not export:
            raise click.UsageError("--with-content goes with --export")
        if export and export.exists() and any(export.iterdir()):
            raise click.UsageError(f"{export} is not empty")
        period = Period(since=since, until=until)
        wanted = Wanted(period=period, messages=messages, export=export, with_content=with_content, by=by)
        return command(*arguments, which=wanted if archive else None, **options)

    for option in reversed(_OPTIONS):
        with_archive = option(with_archive)
    return with_archive


@dataclass(slots=True)
class _Seen:
    """What came of it."""

    contents: Counter[str] = field(default_factory=Counter)
    """Mails by what was done about their content."""
    unsealed: int = 0
    failed: int = 0
    """Mails of which anything is wrong."""
    count: int = 0
    told: list[Row] = field(default_factory=list)
    mails: list[Checked] = field(default_factory=list)
    """Those whose steps are told."""


def verify_archive(invocation: Invocation, which: Wanted, *, as_json: bool) -> int:
    """Tell what is wrong with which mail."""
    seen = wait_for(_look(invocation, which))
    _tell(seen, as_json=as_json)
    if which.export and not as_json:
        say(f"Written to {which.export}.")
    return Exit.SET_ASIDE if seen.count else Exit.DONE


async def _look(invocation: Invocation, which: Wanted) -> _Seen:
    seen = _Seen()
    async with app.archive_of(invocation.settings, on_record=which.with_content) as (register, archive):
        intakes = await _intakes(register, which.messages)
        export = Export(register, which.export) if which.export else None
        if export:
            export.begin()
        async for mail in archive.check(which.period, intakes):
            if export:
                content = mail.signed if which.with_content else None
                if content is not None:
                    await _put_on_record(register, mail, which.by)
                await export.add(mail, content=content)
            _count(seen, mail)
            if 0 < len(intakes) <= STEPS_MAX:
                seen.mails.append(mail)
    if which.messages and not seen.contents:
        raise click.ClickException("none of these mails was accepted, in that period")
    return seen


async def _put_on_record(register: Register, mail: Checked, by: str) -> None:
    """That somebody is about to read what it says. Raises Unavailable."""
    async with register.begin() as tx:
        entry = journal.Entry(kind="content-exported", intake_id=mail.intake, detail={"by": by})
        await journal.append(tx, [entry], app.now())


async def _intakes(register: Register, messages: Sequence[str]) -> list[int]:
    """Those that are meant; none: every one."""
    intakes = [int(one) for one in messages if one.isdecimal()]
    async with register.read() as tx:
        for one in messages:
            if not one.isdecimal():
                found = await cases.find(tx, cases.Filter(message_id=f"<{one.strip('<>')}>"))
                intakes += [item.intake_id for item in found if item.intake_id is not None]
    if messages and not intakes:
        raise click.ClickException("there is no such mail")
    return intakes


def _count(seen: _Seen, mail: Checked) -> None:
    seen.contents[mail.content.value] += 1
    seen.unsealed += not mail.sealed
    seen.failed += bool(mail.findings)
    seen.count += len(mail.findings)
    for one in mail.findings[: TOLD_MAX - len(seen.told)]:
        seen.told.append({"intake": mail.intake, "what": one.fault.value, "detail": one.detail, "sentence": str(one)})


def _tell(seen: _Seen, *, as_json: bool) -> None:
    counts = {"mails": seen.contents.total(), "failed": seen.failed, "not_sealed_yet": seen.unsealed}
    if as_json:
        mails = [
            {
                "intake": mail.intake,
                "decided_at": mail.decided_at,
                "content": mail.content.value,
                "steps": [{"name": step.name, "passed": step.passed, "detail": step.detail} for step in mail.steps],
            }
            for mail in seen.mails
        ]
        show_json(counts | {"content": seen.contents, "count": seen.count, "findings": seen.told, "shown": mails})
        return
    for mail in seen.mails:
        say(f"Mail {mail.intake}, decided {mail.decided_at}; content {mail.content.value}:")
        for step in mail.steps:
            say(f"{'ok  ' if step.passed else 'FAIL'}  {step.name:<45} {step.detail}".rstrip())
    listed = ", ".join(f"{number} {word}" for word, number in sorted(seen.contents.items()))
    say(f"Accepted mails: {counts['mails']}{f' (content: {listed})' if listed else ''}.")
    if seen.unsealed:
        say(f"Not sealed yet in the journal: {seen.unsealed}.")
    for one in seen.told:
        say(f"mail {one['intake']}: {one['sentence']}")
    if seen.count > len(seen.told):
        say(f"and {seen.count - len(seen.told)} more")
    if seen.count:
        say(f"Found: {seen.count}, in {seen.failed} mails. Keep a copy of the register as it is now.")
    else:
        say("All of them are proven." if seen.contents else "Nothing was accepted then.")
