"""Alert rules and dashboard: held against promtool, and against the metrics that there are."""

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailflow.cli.main import cli
from mailflow.meter import Meter
from mailflow.ops.alarms import Alarm, Meant, Severity, catalogue
from mailflow.ops.metrics import Metrics
from tests.support.available import require
from tests.unit.test_status import AT, snapshot, view

CONFIG = Path(__file__).parents[2] / "config"
RULES = CONFIG / "prometheus/alerts.yaml"
DASHBOARD = json.loads((CONFIG / "grafana/mailflow.json").read_text(encoding="utf-8"))
RULE = re.compile(
    r"- alert: Mailflow(?P<code>\w+)\n +expr: .*\n(?: +for: (?P<lasting>\d+)(?P<unit>[mh])\n)?"
    r" +labels: {severity: (?P<severity>\w+)}\n +annotations:\n +summary: (?P<happened>.*)\n"
    r" +meaning: (?P<meaning>.*)\n +action: (?P<action>.*)\n +command: (?P<command>.*)\n"
)
METRIC = re.compile(r"\b(?:mailflow|process)_[a-z_]+")


def known() -> set[str]:
    """The name of every sample that there can be."""
    metrics = Metrics()
    use(metrics)
    text = metrics.text(snapshot(view(2, 7, desk="59123"))).decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def use(meter: Meter) -> None:
    with meter.turn("receive"), meter.call("imap", "list"):
        meter.count("mail", sender="lille", outcome="answered")
    meter.count("request", desk="59123", outcome="refused")
    meter.count("anomaly", code="CTRL_SIG_0001")
    meter.level("lock_held", 1, lock="receive")
    meter.level("mailbox_mails", 5)
    meter.level("mailbox_emptied_at", AT.timestamp())
    meter.level("job_done_at", AT.timestamp(), task="notices")


@pytest.mark.slow
def test_the_rules_pass_their_tests() -> None:
    require("promtool")
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yaml"], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_by_promtool() -> None:
    tested = set(re.findall(r"\bMailflow\w+", (RULES.parent / "alerts.test.yaml").read_text(encoding="utf-8")))
    assert {f"Mailflow{alarm}" for alarm in Alarm} == tested


def test_what_prometheus_reads_is_well_formed() -> None:
    require("promtool")
    metrics = Metrics()
    use(metrics)
    text = metrics.text(snapshot(view(2, 7, desk="59123")))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_rules_speak_of_metrics_that_exist() -> None:
    named = set(METRIC.findall(" ".join(re.findall(r"expr: (.*)", RULES.read_text(encoding="utf-8")))))
    assert len(named) > 15
    assert named - known() == set()


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel.get("targets", ())]


def test_the_dashboard_shows_every_metric_and_none_that_does_not_exist() -> None:
    named = {name for panel in DASHBOARD["panels"] for text in expressions(panel) for name in METRIC.findall(text)}
    assert named - known() == set()
    left_out = {name for name in known() - named if name.startswith("mailflow")}
    made_from_others = re.compile(
        r".*_(sum|created)|mailflow_(info|deadline_seconds|answer_rate|oldest_waiting_timestamp_seconds)"
        r"|mailflow_mailbox_emptied_timestamp_seconds"
    )
    assert {name for name in left_out if not made_from_others.fullmatch(name)} == set()


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def as_the_catalogue_has_it(rule: re.Match[str]) -> Meant:
    """What a rule says; its templates name labels and the value."""
    minutes = int(rule["lasting"] or 0) * (60 if rule["unit"] == "h" else 1)
    happened, command = (
        re.sub(r"{{ \$(?:labels\.)?(\w+)[^}]*}}", r"{\1}", rule[name]) for name in ("happened", "command")
    )
    return Meant(
        severity=Severity(rule["severity"]),
        lasting=timedelta(minutes=minutes),
        happened=happened.replace("{instance}", "{host}"),
        meaning=rule["meaning"],
        action=rule["action"],
        command=command,
    )


def test_prometheus_and_the_service_itself_tell_of_the_same_in_the_same_words() -> None:
    rules = {found["code"]: as_the_catalogue_has_it(found) for found in RULE.finditer(RULES.read_text("utf-8"))}
    assert rules == {alarm.value: meant for alarm, meant in catalogue().items()}


@pytest.mark.parametrize("alarm", Alarm)
def test_each_alarm_says_what_it_means_what_to_do_and_what_to_type(alarm: Alarm) -> None:
    meant = catalogue()[alarm]
    assert all(sentence.endswith(".") for sentence in (meant.happened, meant.meaning, meant.action))
    assert not meant.command.endswith(".")
    assert not meant.command.startswith("mailflow") or meant.command.split()[1] in cli.commands
