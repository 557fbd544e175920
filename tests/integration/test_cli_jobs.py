"""The commands of what time does: previews, acts, exit codes."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailflow.core.calendar import PARIS
from mailflow.jobs.daily import JOBS
from tests.integration.test_cli import DONE, SET_ASIDE, USAGE, Run, installation, listed, pki, run, software, template  # noqa: F401  fixtures of the same world  # noqa: F401  too

TOMORROW = f"{datetime.now(PARIS) + timedelta(days=1):%Y-%m-%d}"


def test_the_jobs_are_listed_in_their_order_with_what_is_due(run: Run) -> None:  # noqa: F811  the fixture
    rows = listed(run, "jobs", "list")
    assert [(row["job"], row["due"]) for row in rows] == [(job.name, 0) for job in JOBS]


@pytest.mark.parametrize("job", [job.name for job in JOBS])
def test_a_job_is_shown_unless_it_is_to_be_done(run: Run, job: str) -> None:  # noqa: F811  the fixture
    code, out, _ = run("jobs", "run", job, "--day", TOMORROW)
    assert (code, f"{job}: 0 due" in out, "--apply" in out) == (DONE, True, True)
    code, out, _ = run("jobs", "run", job, "--apply", "--json")
    assert (code, json.loads(out)) == (DONE, {"job": job, "done": 0, "goes_on": False, "applied": True})


def test_a_day_to_come_can_only_be_shown(run: Run) -> None:  # noqa: F811  the fixture
    assert run("jobs", "run", "expiry", "--day", TOMORROW, "--apply")[0] == USAGE


def test_what_is_not_there_is_said(run: Run, tmp_path: Path) -> None:  # noqa: F811  the fixture
    number = "059112500000059123"
    out = tmp_path / "export.json"
    assert run("person", "export", number, "--out", out)[0] == SET_ASIDE
    assert not out.exists()
    assert run("person", "erase", number, "--apply")[0] == USAGE
    assert run("person", "erase", number)[0] == SET_ASIDE
    assert run("person", "erased", number)[0] == SET_ASIDE
    assert run("dispatch", "resend", "--desk", "59123", "--number", "1")[0] == SET_ASIDE
    assert listed(run, "dispatch", "list") == []
