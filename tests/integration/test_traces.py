"""Traces as a collector receives them: every mail and every turn, identifiers only; nothing when not configured."""

import logging
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailflow import __version__
from mailflow.app.tracing import traced
from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail import composing, delivery, worker
from mailflow.mail.door import MailDoor
from mailflow.mail.metered import MeteredMailbox, MeteredMailer
from mailflow.meter import UNMEASURED
from mailflow.ops.traces import Traces
from mailflow.register import Register
from mailflow.settings import load
from tests.integration.test_case import FORMS, mails
from tests.integration.test_cli import Run, installation, pki, run, software, template
from tests.integration.test_cli_mails import TEMPORARY
from tests.support.collector import Collector, attributes, collector
from tests.support.databases import VAULT
from tests.support.doors import House
from tests.support.judging import a_mail, dem_part

__all__ = ["installation", "pki", "run", "software", "template"]

AT = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
SECONDS_MAX = 10


def traces_to(endpoint: str, percent: int = 100) -> Traces:
    return Traces(UNMEASURED, endpoint=endpoint, percent=percent, environment="ecole", version="1.2.3", of="here")


async def work_through(door: MailDoor) -> None:
    """The four stages, each in a turn."""
    for stage, turn in (
        ("receive", worker.receive),
        ("process", worker.process),
        ("compose", composing.compose),
        ("deliver", delivery.deliver),
    ):
        with door.meter.turn(stage):
            while await turn(door):
                pass


async def traced_house(url: str, endpoint: str, *raws: bytes) -> House:
    """A house through which these mails go, traced; its traces are sent when it is done."""
    traces = traces_to(endpoint)
    register = Register.open(url, VAULT, traces)
    house = House(register)
    await house.enrol()
    for raw in raws:
        house.mailbox.deliver(raw)
    door = house.door()
    await work_through(
        replace(
            door,
            meter=traces,
            mailbox=MeteredMailbox(door.mailbox, traces, door.clock),
            mailer=MeteredMailer(door.mailer, traces),
        )
    )
    await register.close()
    traces.close()
    return house


def whole(found: Collector, intake: int) -> list[dict[str, str]]:
    return [span for span in found.spans if attributes(span).get("mailflow.intake") == str(intake)]


async def test_a_mail_is_one_trace_from_its_reception_to_the_answer(register_url: str) -> None:
    with collector() as found:
        await traced_house(register_url, found.endpoint, a_mail(dem_part(1)), b"From: a@b.example\r\n\r\nBonjour\r\n")
    assert found.resources[0] == {
        "service.name": "mailflow",
        "service.version": "1.2.3",
        "deployment.environment.name": "ecole",
    }
    root, *others = sorted(whole(found, 1), key=lambda span: "parentSpanId" in span and span["parentSpanId"] != "")
    assert [root["name"], *sorted(span["name"] for span in others)] == ["mail decided", "mail composed", "mail sent"]
    assert {span["traceId"] for span in others} == {root["traceId"]}
    assert {span["parentSpanId"] for span in others} == {root["spanId"]}
    told = attributes(root)
    assert (told["mailflow.outcome"], told["mailflow.sender"]) == ("answered", "mairie")
    assert int(root["endTimeUnixNano"]) - int(root["startTimeUnixNano"]) == 60 * 10**9, "decided a minute after"
    (silent,) = whole(found, 2)
    assert silent["traceId"] != root["traceId"]
    assert attributes(silent)["mailflow.reason"] == "CTRL_SIG_0001"


async def test_a_turn_is_a_trace_with_what_was_used_in_it(register_url: str) -> None:
    with collector() as found:
        await traced_house(register_url, found.endpoint, a_mail(dem_part(1)))
    (turn,) = found.named("turn deliver")
    (send,) = found.named("smtp send")
    assert (send["traceId"], send["parentSpanId"]) == (turn["traceId"], turn["spanId"])
    assert attributes(send)["mailflow.outcome"] == "sent"
    assert {span["name"] for span in found.spans} >= {"imap list", "imap fetch", "database write", "database read"}
    (sent,) = found.named("mail sent")
    assert sent["links"][0]["spanId"] == turn["spanId"]


async def test_no_span_says_what_a_mail_says(register_url: str) -> None:
    with collector() as found:
        await traced_house(register_url, found.endpoint, *mails())
    octets = b"".join(found.bodies)
    assert len(found.named("mail decided")) == len(list(mails()))
    assert [form for form in FORMS if form in octets] == []


def test_of_an_error_its_class_is_told_and_never_its_text() -> None:
    with collector() as found:
        traces = traces_to(found.endpoint)
        for error in (Unavailable("Durand"), ValueError("Durand")):
            with pytest.raises(type(error)), traces.turn("process"), traces.call("pool", "judge"):
                raise error
        with traces.turn("Durand Zoé"), traces.call("imap", "fetch") as ending:
            ending.outcome = "Durand Zoé"
        traces.mail(7, "decided", AT, AT, sender="Durand Zoé", reason=None)
        traces.close()
    assert Counter(span["status"].get("message") for span in found.spans if span.get("status")) == {
        "Unavailable": 2,
        "ValueError": 2,
    }
    assert b"Durand" not in b"".join(found.bodies)


def test_workers_add_to_the_same_trace_and_of_a_share_each_mail_is_whole() -> None:
    with collector() as found:
        for _ in range(2):
            traces = traces_to(found.endpoint, percent=50)
            for intake in range(100):
                traces.mail(intake, "decided", AT, AT)
                traces.mail(intake, "sent", AT, AT + timedelta(seconds=1))
            traces.close()
    mails_told = Counter(span["traceId"] for span in found.spans)
    assert set(mails_told.values()) == {4}
    assert 25 < len(mails_told) < 75


async def test_a_collector_that_is_away_holds_nothing_up(register_url: str, caplog: pytest.LogCaptureFixture) -> None:
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        house = await traced_house(register_url, "http://127.0.0.1:1/v1/traces", a_mail(dem_part(1)))
    assert len(house.mailer.accepted) == 1
    assert [record.message for record in caplog.records] == ["traces-lost"]
    assert time.monotonic() - begun < SECONDS_MAX


# As configured


def test_without_the_setting_nothing_of_it_is_loaded() -> None:
    code = "import sys, mailflow.cli.main; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_without_the_setting_what_measures_is_what_was_given(run: Run, request: pytest.FixtureRequest) -> None:
    settings = load(request.getfixturevalue("installation").config)
    async with traced(settings, UNMEASURED) as meter:
        assert meter is UNMEASURED


def test_a_batch_is_traced_when_the_settings_say_so(run: Run, request: pytest.FixtureRequest) -> None:
    config = request.getfixturevalue("installation").config
    with collector() as found:
        text = config.read_text(encoding="utf-8")
        config.write_text(f'{text}\n[traces]\nendpoint = "{found.endpoint}"\n', encoding="utf-8")
        assert run("run", "--once")[0] == TEMPORARY, "there are no servers"
    assert found.resources[0]["service.version"] == __version__
    assert {span["status"]["message"] for span in found.named("turn receive")} == {"Unavailable"}


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4318", "http://127.0.0.1:4318", "http://collector.example/v1/traces", "ftp://a/b"]
)
def test_a_collector_that_cannot_be_meant(run: Run, request: pytest.FixtureRequest, url: str) -> None:
    config = request.getfixturevalue("installation").config
    config.write_text(f'{config.read_text(encoding="utf-8")}\n[traces]\nendpoint = "{url}"\n', encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"traces\.endpoint"):
        load(config)
