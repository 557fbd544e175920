"""The live view, driven by keys on a real register."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Label, Static, TabbedContent

from mailflow import app
from mailflow.cli.acting import DOES
from mailflow.cli.live.board import Source, ask_health
from mailflow.cli.live.view import DESKS, LIGHT, SET_ASIDE, STATES, WAITING, LiveView, MailScreen
from mailflow.demo.installation import Installation
from mailflow.errors import Unavailable
from mailflow.register import Register, intake, journal, outbox
from mailflow.register.acts import Verb
from mailflow.settings import Settings, load
from tests.integration.test_cli import installation, pki, software, template
from tests.support.records import a_draft, arrival, settlement

__all__ = ["installation", "pki", "software", "template"]

WIDE, NARROW = (140, 40), (80, 24)


@pytest.fixture
def settings(installation: Installation) -> Settings:
    return load(installation.config)


async def filled(register: Register) -> None:
    """Three mails that wait, one set aside, one with an answer that has not left, one held answer."""
    now = app.now()
    arrivals = [replace(arrival(uid), received_at=now - timedelta(hours=8 - uid)) for uid in range(1, 7)]
    async with register.begin() as tx:
        await intake.take_in(tx, arrivals, now - timedelta(minutes=5))
        mails = await intake.claim_chunk(tx, "me", 3, now, now + timedelta(minutes=5), size_bytes_max=1 << 20)
        ids = [mail.id for mail in mails]
        await outbox.queue(tx, [a_draft(id_, key=str(id_)) for id_ in ids[1:]], now)
        aside = settlement(ids[0], "set_aside", "CTRL_SIG_0001")
        await intake.settle(tx, "me", [aside, *(settlement(id_) for id_ in ids[1:])], now)
        (order, *_) = await outbox.claim_queued(tx, "me", 1, now, now + timedelta(minutes=5))
        await outbox.hold(tx, "me", [order.id], "certificate", now)


@asynccontextmanager
async def shown(settings: Settings, size: tuple[int, int]) -> AsyncIterator[tuple[LiveView, Pilot[None], Register]]:
    async with app.register_of(settings) as register:
        await filled(register)
        view = LiveView(Source(register=register, settings=settings, by="anna", limit=50), seconds=3600)
        async with view.run_test(size=size) as pilot:
            await pilot.pause()
            yield view, pilot, register


def table(view: LiveView, tab: str) -> "DataTable[object]":
    return view.query_one(f"#table-{tab}", DataTable)


def cells(view: LiveView, tab: str) -> list[list[str]]:
    shown_ = table(view, tab)
    return [[str(cell) for cell in shown_.get_row_at(place)] for place in range(shown_.row_count)]


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    for _ in range(100):
        await pilot.pause(0.05)
        if holds():
            return
    raise AssertionError("it never came")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_all_that_waits_is_shown_the_least_time_left_first(settings: Settings, size: tuple[int, int]) -> None:
    async with shown(settings, size) as (view, pilot, _):
        assert "Waiting for an answer: 5;" in str(view.query_one("#said", Static).render())
        assert [(row[1], row[3]) for row in cells(view, WAITING)] == [
            *[("answer", "held"), ("answer", "queued")],
            *[("mail", "received")] * 3,
        ]
        assert [row[:4] + row[-3:] for row in cells(view, DESKS) if row[0] == "held"] == [
            ["held", "acme", "", "1", "0", "0", "0"]
        ]
        for key, tab, found in (("2", SET_ASIDE, "CTRL_SIG_0001"), ("3", DESKS, "acme"), ("4", STATES, "held")):
            await pilot.press(key)
            assert view.query_one(TabbedContent).active == tab
            assert view.focused is table(view, tab)
            assert any(found in row for row in cells(view, tab))


async def test_enter_shows_a_mail_with_its_history_and_escape_goes_back(settings: Settings) -> None:
    async with shown(settings, NARROW) as (view, pilot, _):
        await pilot.press("2", "enter")
        await until(pilot, lambda: isinstance(view.screen, MailScreen))
        facts = "\n".join(str(one.render()) for one in view.screen.query(Static))
        assert "state: set_aside" in facts
        assert "Mail 1" in facts
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(view.screen, MailScreen))


async def test_an_act_asks_why_and_is_in_the_journal(settings: Settings) -> None:
    async with shown(settings, WIDE) as (view, pilot, register):
        table(view, WAITING).move_cursor(row=3)
        (mail,) = {row[2] for row in cells(view, WAITING)[3:4]}
        await pilot.press("h", *"wait", "enter")
        await until(pilot, lambda: len(cells(view, WAITING)) == 4)
        assert [row[0] for row in cells(view, SET_ASIDE) if "held" in row] == [mail]
        async with register.read() as tx:
            kept = [one.entry for one in await journal.of_intake(tx, int(mail)) if one.entry.kind == "mail-held"]
        assert [(one.detail["by"], one.detail["why"]) for one in kept] == [("anna", "wait")]

        await pilot.press("2")
        places = [place for place, row in enumerate(cells(view, SET_ASIDE)) if row[0] == mail]
        table(view, SET_ASIDE).move_cursor(row=places[0])
        await pilot.press("l", *"go", "enter")
        await until(pilot, lambda: len(cells(view, WAITING)) == 5)


async def test_what_was_set_aside_is_judged_again_and_a_held_answer_released(settings: Settings) -> None:
    async with shown(settings, WIDE) as (view, pilot, _):
        await pilot.press("2", "j", *"again", "enter")
        await until(pilot, lambda: not cells(view, SET_ASIDE))
        await pilot.press("1")
        held = [place for place, row in enumerate(cells(view, WAITING)) if row[3] == "held"]
        table(view, WAITING).move_cursor(row=held[0])
        await pilot.press("l", *"mended", "enter")
        await until(pilot, lambda: not [row for row in cells(view, WAITING) if row[3] == "held"])


async def test_what_an_act_does_is_said_in_full_before_it_is_done(settings: Settings) -> None:
    async with shown(settings, NARROW) as (view, pilot, _):
        table(view, WAITING).move_cursor(row=3)
        (mail,) = {row[2] for row in cells(view, WAITING)[3:4]}
        await pilot.press("a")
        await until(pilot, lambda: bool(view.screen.query(Input)))
        asked = view.screen.query_one(Label)
        text = str(asked.render())
        assert text == f"Set aside mail {mail}: {DOES[Verb.SET_ASIDE]}. Why? It is kept in the journal."
        assert asked.size.width * asked.size.height >= len(text)
        await pilot.press(*"later", "enter")
        await until(pilot, lambda: [mail, "operator"] in [[row[0], row[3]] for row in cells(view, SET_ASIDE)])


async def test_without_a_reason_nothing_is_done_and_what_cannot_be_done_is_said(settings: Settings) -> None:
    async with shown(settings, WIDE) as (view, pilot, _):
        before = cells(view, WAITING)
        table(view, WAITING).move_cursor(row=3)
        await pilot.press("h")
        await until(pilot, lambda: bool(view.screen.query(Input)))
        await pilot.press("enter")
        await until(pilot, lambda: not view.screen.query(Input))
        await pilot.press("h", *"no", "escape")
        await until(pilot, lambda: not view.screen.query(Input))
        await pilot.press("l")
        await until(pilot, lambda: any("Nothing was changed" in one.message for one in view._notifications))
        assert cells(view, WAITING) == before


async def test_light_and_dark(settings: Settings) -> None:
    async with shown(settings, NARROW) as (view, pilot, _):
        await pilot.press("d")
        assert view.theme == LIGHT


async def test_a_register_that_is_away_is_said_and_the_last_view_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Source) -> None:
        raise Unavailable("the database: OperationalError")

    async with shown(settings, WIDE) as (view, pilot, _):
        monkeypatch.setattr(Source, "read", away)
        await pilot.press("r")
        await until(pilot, lambda: "Unavailable" in str(view.query_one("#said", Static).render()))
        assert len(cells(view, WAITING)) == 5


def test_nobody_is_asked_without_an_address_and_nobody_answers_at_a_closed_port() -> None:
    assert ask_health("") == ""
    assert ask_health("127.0.0.1:9") == "No worker answers here."
