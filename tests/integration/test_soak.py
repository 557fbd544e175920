"""A soak in short: the whole course of `make soak` (`tests/hosts/soak`), with some mails and servers that go away."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.available import require

MAILS = ["--mails", "60", "--hostile", "20", "--repeated", "5", "--backlog", "20"]
OUTAGES = ["--servers", "dovecot", "--every", "2", "--away", "1"]
"""Without Postfix or the database a send may end in doubt, which takes minutes to be settled."""
WATCHED = ["--sample", "0.5", "--growth", "inf"]
"""In a few seconds workers do nothing but grow: what the first sample saw says when it came, and nothing else."""


@pytest.mark.long
def test_every_mail_comes_to_its_end_while_servers_come_and_go(tmp_path: Path) -> None:
    for what in ("dovecot", "postfix", "postgresql"):
        require(what)
    report = tmp_path / "soak.md"
    command = [sys.executable, "-m", "tests.hosts.soak", *MAILS, *OUTAGES, *WATCHED, "--report", str(report)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = report.read_text(encoding="utf-8")
    assert re.search(r"^\| dovecot \|", text, re.MULTILINE), "a server was away"
    assert "| mails delivered | 60 |" in text
    assert "| of them sent before | 3 |" in text
    assert "| memory, all (MiB) |" in text
    assert "<polyline" in report.with_suffix(".svg").read_text(encoding="utf-8")
