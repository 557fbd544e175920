"""`make bench`: fills a real mailbox, drains it with the real worker, and says how fast and at what cost."""

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bench import mails, parts, report, runs
from bench.world import DELIVERIES, SERVICE, world
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from mailflow.settings import load
from tests.servers.dovecot import DOMAIN

DATABASES = ("sqlite", "postgresql")
PARTS_MAX = 300
"""Mails that the pure parts are measured on."""
CORES = os.cpu_count() or 1
SOME = click.IntRange(min=1)


@click.command()
@click.option(
    "--mails", "count", type=SOME, default=10_000, show_default=True, help="How many are answered without attestations."
)
@click.option("--attested", type=SOME, default=2_000, show_default=True, help="How many are answered as in earnest.")
@click.option("--lone", type=SOME, default=20, show_default=True, help="How many arrive one by one.")
@click.option(
    "--staged", type=SOME, default=1_000, show_default=True, help="How many are drained with every step timed."
)
@click.option("--database", type=click.Choice([*DATABASES, "both"]), default="both", show_default=True)
@click.option(
    "--delivery",
    type=click.Choice([*DELIVERIES]),
    default="postfix",
    show_default=True,
    help="Who delivers the answers.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here as well.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".cache/bench"), show_default=True)
def main(
    count: int,
    attested: int,
    lone: int,
    staged: int,
    database: str,
    delivery: str,
    json_file: Path | None,
    folder: Path,
) -> None:
    """Measure end to end on Dovecot and Postfix: rate, CPU, memory, and the latency of a lone mail."""
    at = datetime.now(UTC).replace(microsecond=0)
    shutil.rmtree(folder, ignore_errors=True)
    pki = Pki(at=at)
    software = mails.senders(pki, DOMAIN)
    sizes = {"bare": count, "attested": attested, "lone": lone + 1, "staged": staged}
    wanted = sum(sizes.values())
    _say(f"making {wanted} signed and encrypted requests")
    made = iter(mails.make(software, wanted, at=at, encrypt_to=pki.service_rsa.der, recipient=SERVICE, processes=CORES))
    lots = {name: list(itertools.islice(made, size)) for name, size in sizes.items()}
    databases = {}
    for name in DATABASES if database == "both" else [database]:
        databases[name] = _measure(folder.absolute() / name, name, delivery, pki, software, lots)
    facts = {
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
        "at": at.isoformat(),
        "machine": _machine(),
        "databases": databases,
    }
    if json_file is not None:
        json_file.write_text(json.dumps(facts, indent=2) + "\n")
    report.show(facts)


def _measure(
    folder: Path,
    database: str,
    delivery: str,
    pki: Pki,
    software: Sequence[DeskSoftware],
    lots: Mapping[str, Sequence[bytes]],
) -> dict[str, Any]:
    """Everything on one database, in a world of its own."""
    with world(folder, pki, software, database, delivery=delivery) as around:
        _say(f"{database}: draining {len(lots['bare'])} mails, answered without attestations")
        bare = runs.drain(around, lots["bare"], CORES, program="bench.bare")
        _say(f"{database}: draining {len(lots['attested'])} mails")
        attested = runs.drain(around, lots["attested"], CORES, program="mailflow")
        _say(f"{database}: {len(lots['lone'])} lone mails")
        lone = runs.lone(around, lots["lone"])
        _say(f"{database}: draining {len(lots['staged'])} mails in stages")
        return {
            "bare": bare,
            "attested": attested,
            "lone": lone,
            "stages": runs.stages(around, lots["staged"]),
            "parts": parts.measure(load(around.installation.config), lots["bare"][:PARTS_MAX], pki.at),
        }


def _machine() -> dict[str, Any]:
    """What the figures depend on."""
    programs = {"dovecot": ["dovecot", "--version"], "postfix": ["postconf", "-dh", "mail_version"]}
    return {
        "cores": CORES,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("mailflow", "cryptography", "sqlalchemy", "aiosmtplib", "aioimaplib")},
        **{name: _output(command).split()[0] for name, command in programs.items()},
    }


def _output(command: Sequence[str]) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": path}).stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
