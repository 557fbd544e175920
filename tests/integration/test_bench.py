"""The benchmark runs, on a few mails; how fast is no matter of a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import share
from tests.support.available import require


@pytest.mark.long
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_benchmark_answers_every_mail_and_says_what_it_took(tmp_path: Path, database: str) -> None:
    for needed in ("dovecot", "postfix", "postgresql"):
        require(needed)
    report = tmp_path / "report.json"
    few = ["--mails", "8", "--attested", "4", "--staged", "4", "--lone", "2", "--database", database]
    command = [sys.executable, "-m", "bench", *few, "--folder", str(tmp_path / "bench"), "--json", str(report)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads(report.read_text())["databases"][database]
    assert (measured["bare"]["mails"], measured["attested"]["mails"]) == (8, 4)
    assert measured["bare"]["answer_bytes_mean"] < measured["attested"]["answer_bytes_mean"]
    assert measured["attested"]["peak_pss_parts"]["pool"] > 0
    assert {"main", "pool", "dovecot", "postfix"} <= measured["attested"]["cpu_ms_per_mail"].keys()
    assert {"receive", "process", "compose", "deliver"} <= measured["stages"].keys()
    assert measured["lone"]["samples"] == 2


@pytest.mark.long
def test_the_benchmark_of_a_flood_says_what_the_single_mail_waited_for(tmp_path: Path) -> None:
    for needed in ("dovecot", "postfix"):
        require(needed)
    report = tmp_path / "report.json"
    files = ["--folder", str(tmp_path / "bench"), "--json", str(report)]
    command = [sys.executable, "-m", "bench.flood", "--mails", "150", "--program", "bench.bare", *files]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads(report.read_text())
    assert 0 < measured["seconds_to_taken_in"] < measured["seconds_to_answered"]
    assert measured["answered_since_taken_in"] <= measured["answered_before"] <= 150


@pytest.mark.long
def test_the_benchmark_of_several_workers_says_whose_time_it_took(tmp_path: Path) -> None:
    for needed in ("dovecot", "postfix", "postgresql"):
        require(needed)
    if not share.to_be_had():
        pytest.skip("no control groups that share out the cores")
    report = tmp_path / "report.json"
    few = ["--mails", "600", "--workers", "2", "--cores", "0.2"]
    files = ["--folder", str(tmp_path / "bench"), "--json", str(report)]
    command = [sys.executable, "-m", "bench.workers", *few, *files]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (drain,) = json.loads(report.read_text())["drains"]
    assert sum(drain["per_worker"]) == 600
    assert all(drain["per_worker"])
    assert 0 < drain["database_share"] < 1
