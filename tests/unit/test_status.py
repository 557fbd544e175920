"""Health, metrics and the page, from one snapshot."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailflow.core.canary import CanaryOutcome, CanaryRun
from mailflow.core.waiting import Finished, Waiting
from mailflow.ops import health, page
from mailflow.ops.metrics import Metrics
from mailflow.ops.outlook import Outlook, bounds, outlook
from mailflow.ops.snapshot import Expiry, Queues, Quota, Snapshot, StageState, Surroundings
from tests.support.alarms import kept_alarm

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
DEADLINE = timedelta(hours=12)


def view(*hours: float, desk: str | None = None, rate: int = 600) -> Outlook:
    limits = bounds(AT, DEADLINE, (50, 75))
    waiting = [
        Waiting(
            span=sum(AT - timedelta(hours=one) < limit for limit in limits),
            oldest=AT - timedelta(hours=one),
            count=3,
            stuck=False,
            state="composed" if desk else "received",
            sender=desk and "lille",
            desk=desk,
        )
        for one in hours
    ]
    return outlook(waiting, Finished(count=rate, first_at=AT - timedelta(hours=1)), None, AT, DEADLINE, (50, 75))


def stage(name: str = "receive", *, tried: bool = True, failures: int = 0, hangs: bool = False) -> StageState:
    return StageState(name=name, tried=tried, failures=failures, hangs=hangs)


def a_run(*, minutes_ago: int, ended: bool = False) -> CanaryRun:
    begun = AT - timedelta(minutes=minutes_ago)
    return CanaryRun(
        id=1,
        file_name="DEM00000-202611251030-000001.xml",
        begun_at=begun,
        late_at=begun + timedelta(minutes=30),
        sent_at=begun,
        ended_at=begun + timedelta(seconds=12) if ended else None,
        outcome=CanaryOutcome.ANSWERED if ended else None,
        number=None,
    )


def snapshot(outlook_: Outlook | None = None, *stages: StageState) -> Snapshot:
    queues = Queues(
        beyond_rates={"acme": 3},
        successors=(("acme", "ab" * 32),),
        outlook=outlook_ or view(),
        states={"intake": {"received": 3}, "outbox": {}},
        set_aside={"CTRL_SIG_0001": 4},
        held={"bounced": 2},
        broken={"number-was-counted": 0},
        canary=(a_run(minutes_ago=31), a_run(minutes_ago=91, ended=True)),
        alarms=(),
    )
    return Snapshot(
        at=AT,
        version="1.2.3",
        environment="ecole",
        queues=queues,
        stages=stages or (stage(),),
        steps={"received": 7, "set_aside": 1},
        surroundings=Surroundings(
            expiries=(Expiry(kind="service", name="signing", at=AT + timedelta(days=20)),),
            quotas=(Quota(mailbox="audit", resource="storage", used=500, limit=1000),),
            disk_used=0.25,
        ),
    )


# Health


def test_what_works_is_alive_and_ready() -> None:
    assert (health.dead(snapshot().stages), health.unready(snapshot())) == ([], [])


@pytest.mark.parametrize(
    ("state", "alive", "ready"),
    [
        (stage(hangs=True), False, False),
        (stage(tried=False), True, False),
        (stage("acknowledge", tried=False), True, True),
        (stage(failures=2), True, True),
        (stage(failures=3), True, False),
    ],
)
def test_only_what_hangs_needs_a_new_start(state: StageState, alive: bool, ready: bool) -> None:
    one = snapshot(None, state)
    assert (not health.dead(one.stages), not health.unready(one)) == (alive, ready)


def test_without_its_register_the_service_lives_and_is_not_ready() -> None:
    one = replace(snapshot(), queues=None)
    assert (health.dead(one.stages), health.unready(one)) == ([], ["the register cannot be read"])


# Metrics


def samples(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0].removeprefix("mailflow_"): float(line.rpartition(" ")[2]) for line in lines}


def test_a_snapshot_in_numbers() -> None:
    found = samples(Metrics().text(snapshot(view(2, 7, desk="59123"))))
    seconds = AT.timestamp()
    wanted = {
        'info{environment="ecole",version="1.2.3"}': 1,
        "register_up": 1,
        'steps_total{step="received"}': 7,
        'stage_failures{stage="receive"}': 0,
        'stage_hangs{stage="receive"}': 0,
        'expiry_timestamp_seconds{kind="service",name="signing"}': seconds + 20 * 86400,
        'quota_used{mailbox="audit",resource="storage"}': 500,
        'quota_limit{mailbox="audit",resource="storage"}': 1000,
        'queue{queue="intake",state="received"}': 3,
        'set_aside{reason="CTRL_SIG_0001"}': 4,
        'outbox_held{reason="bounced"}': 2,
        'broken_promise{invariant="number-was-counted"}': 0,
        "canary_late_seconds": 31 * 60,
        'canary_failed{outcome="answered"}': 0,
        "canary_seconds": 12,
        "disk_used_ratio": 0.25,
        "deadline_seconds": 43200,
        "waiting": 6,
        "late": 0,
        'used_share{percent="50"}': 3,
        'used_share{percent="75"}': 0,
        'waiting_by_desk{desk="59123",sender="lille",state="composed"}': 6,
        "oldest_waiting_timestamp_seconds": seconds - 7 * 3600,
        "left_seconds": 5 * 3600,
        "answer_rate": 1.0,
        "missed": 0,
        "cleared_timestamp_seconds": seconds + 6,
    }
    assert {name: found.get(name) for name in wanted} == wanted


def test_what_is_measured_as_it_happens() -> None:
    metrics = Metrics()
    with metrics.turn("receive"), pytest.raises(KeyError), metrics.call("imap", "list"):
        raise KeyError
    with metrics.call("smtp", "send") as ending:
        ending.outcome = "deferred"
    metrics.count("mail", sender="lille", outcome="answered")
    metrics.count("request", desk="59123", outcome="refused")
    metrics.count("anomaly", code="CTRL_SIG_0001")
    metrics.level("lock_held", True, lock="receive")
    metrics.level("mailbox_mails", 5)
    metrics.level("job_done_at", 12.0, task="notices")
    found = samples(metrics.text(snapshot()))
    for name, value in {
        'stage_turn_seconds_count{outcome="done",stage="receive"}': 1,
        'dependency_call_seconds_count{dependency="imap",operation="list",outcome="keyerror"}': 1,
        'dependency_call_seconds_count{dependency="smtp",operation="send",outcome="deferred"}': 1,
        'mails_total{outcome="answered",sender="lille"}': 1,
        'requests_total{desk="59123",outcome="refused"}': 1,
        'anomalies_total{code="CTRL_SIG_0001"}': 1,
        'lock_held{lock="receive"}': 1,
        "mailbox_mails": 5,
        'job_done_timestamp_seconds{task="notices"}': 12,
    }.items():
        assert found[name] == value, name


def test_up_to_when_all_is_answered() -> None:
    """The oldest that waits, or the last look that found the mailbox empty; unknown before the first."""
    metrics, name = Metrics(), "answered_up_to_timestamp_seconds"
    assert name not in samples(metrics.text(snapshot()))
    metrics.level("mailbox_emptied_at", AT.timestamp())
    assert samples(metrics.text(snapshot()))[name] == AT.timestamp()
    assert samples(metrics.text(snapshot(view(7))))[name] == AT.timestamp() - 7 * 3600
    assert name not in samples(metrics.text(replace(snapshot(), queues=None)))


def test_what_a_snapshot_does_not_tell_any_more_is_gone() -> None:
    metrics = Metrics()
    assert "oldest_waiting_timestamp_seconds" in samples(metrics.text(snapshot(view(7))))
    found = samples(metrics.text(replace(snapshot(), queues=None)))
    assert found["register_up"] == 0
    assert not {"oldest_waiting_timestamp_seconds", "waiting", "missed"} & found.keys()


# The page


def cells(html: str) -> Iterator[str]:
    yield from re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", html)


def test_the_page_of_a_service_in_order() -> None:
    html = page.render(snapshot())
    assert "<title>In order · mailflow ecole</title>" in html
    assert "All is in order." in html
    assert "Nothing is waiting." in html
    assert [cell for cell in cells(html) if cell.startswith("25") or "soon" in cell] == ["15/12/2026 10:30 – soon"]
    assert "50 %" in html


def test_the_page_of_a_service_in_trouble() -> None:
    html = page.render(snapshot(view(13, rate=0), stage(failures=5)))
    assert "<title>Trouble · mailflow ecole</title>" in html
    assert "the stage receive finds its server" in html
    assert "past the deadline: 3" in html
    assert '<td class="number late">3</td>' in html
    assert "All is in order." not in html


def test_the_page_names_alarms_and_who_they_wait_for() -> None:
    subject = '{"mailbox": "audit", "resource": "storage"}'
    kept = replace(kept_alarm("Quota", AT, subject=subject, value="83 %"), id=7, raised_at=AT)
    seen = replace(kept, id=8, acknowledged_at=AT, acknowledged_by="anne", acknowledged_why="on it")
    one = snapshot()
    assert one.queues is not None
    text = page.render(replace(one, queues=replace(one.queues, alarms=(kept, seen))))
    assert "Alarm 7, warning: The mailbox audit is 83 % full (storage).<" in text.replace("\xa0", " ")
    assert "Alarm 8, warning: The mailbox audit is 83 % full (storage). (acknowledged)<" in text.replace("\xa0", " ")
    assert "anne" not in text


def test_the_page_without_a_register() -> None:
    html = page.render(replace(snapshot(), queues=None))
    assert "Unknown: the register cannot be read." in html


def test_nothing_becomes_markup() -> None:
    """Codes have a form that forbids it; the page does not rely on that."""
    assert "<b>x</b>" not in page.render(snapshot(view(2, desk="<b>x</b>")))
