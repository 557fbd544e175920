"""`python -m tests.hosts.soak --mails N`: a long load of good, hostile and repeated mails, while servers come and go.

Real Dovecot, Postfix and PostgreSQL, one or two workers as services. Ends with 1 when anything was lost, doubled,
answered twice or late, when a hostile mail had more than it may have, or when the workers hold more than they did.
"""

import argparse
import contextlib
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from bench import mails as bench_mails
from bench.runs import service
from bench.world import SERVICE, World, world
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from mailflow.selftest.oracle import Finding
from tests.hosts.soak.course import Course
from tests.hosts.soak.hostile import Stranger
from tests.hosts.soak.mails import Mail, made_ahead, planned, with_repeats
from tests.hosts.soak.oracle import Oracle, Wrong
from tests.hosts.soak.outages import Outages, Server
from tests.hosts.soak.plot import plot
from tests.hosts.soak.report import Soaked, written
from tests.hosts.soak.samples import Sampler, grown, growths
from tests.servers.dovecot import DOMAIN

RATES = {"mails_an_hour": 100_000_000, "mails_a_day": 100_000_000, "requests_an_hour": 100_000_000}
"""Four desks send what many do, and may."""
AUDIT_WAIT_MINUTES = 2
DATA_SECONDS_MAX = 45
"""As long as the wait for the audit mailbox lets a sending take."""
"""Postfix delivers within seconds, so that a doubtful answer need not be looked for during an hour."""
AUDIT_KEPT_SECONDS = 60
"""Longer than that and the lease."""
MAKERS = 2
LOGS = ("worker-*.log", "dovecot/dovecot.log", "postfix/postfix.log")


def main() -> None:
    """Play it, write the report, say how it ended."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="mailflow-soak-") as name:
        folder = Path(name)
        try:
            soaked, picture = play(folder, options)
        except BaseException:
            _keep_logs(folder, options.report)
            raise
        if soaked.findings:
            _keep_logs(folder, options.report)
    report = written(soaked, options.report.with_suffix(".svg").name)
    sys.stdout.write(report)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(report, encoding="utf-8")
    options.report.with_suffix(".svg").write_text(picture, encoding="utf-8")
    sys.exit(1 if soaked.findings else 0)


def play(folder: Path, options: argparse.Namespace) -> tuple[Soaked, str]:
    """What came of it, and the plot."""
    pki = Pki(at=datetime.now(UTC).replace(microsecond=0))
    software = bench_mails.senders(pki, DOMAIN)
    with contextlib.ExitStack() as stack:
        around = stack.enter_context(world(folder, pki, software, options.database, changes=_settings(options)))
        pool = stack.enter_context(ProcessPoolExecutor(MAKERS, mp_context=get_context("spawn")))
        program = "mailflow" if options.attested else "bench.bare"
        workers = [
            stack.enter_context(service(around, folder / f"worker-{number}.log", program=program))
            for number in range(options.workers)
        ]
        course = Course(
            world=around,
            oracle=Oracle(),
            pool=pool,
            workers=workers,
            backlog_max=options.backlog,
            audit_kept_seconds=options.lease + 60 * AUDIT_WAIT_MINUTES + AUDIT_KEPT_SECONDS,
        )
        outages = Outages(
            servers=_servers(around, options.servers),
            chance=random.Random(options.seed + 1),
            every_seconds=options.every,
            away_seconds=options.away,
            kept={"dovecot": course.dovecot_lock},
            after=course.first_answer,
        )
        sampler = Sampler(workers=[worker.pid for worker in workers], every_seconds=options.sample)
        begun = time.monotonic()
        with sampler, outages:
            course.run(_mails(pki, software, pool, options), outages.look)
        lasted = time.monotonic() - begun
        findings = course.finish()
    findings += [
        Finding(wrong=Wrong.OTHER, what=f"a worker that was stopped ended with {worker.returncode}")
        for worker in workers
        if worker.returncode and not course.died
    ]
    return _soaked(options, course, outages, sampler, lasted, findings), plot(sampler.samples, outages.told)


def _mails(pki: Pki, software: Sequence[DeskSoftware], pool: Executor, options: argparse.Namespace) -> Iterator[Mail]:
    """All that is sent, in its order."""
    chance = random.Random(options.seed)
    repeats = set(chance.sample(range(1, options.mails), round(options.mails * options.repeated / 100)))
    originals = options.mails - len(repeats)
    hostile = set(chance.sample(range(originals), round(options.mails * options.hostile / 100)))
    somebody = pki.issue("somebody-else")
    lots = planned(
        software,
        Stranger(key=somebody.key_pem, certificate=somebody.pem),
        hostile,
        chance,
        mails=originals,
        encrypt_to=pki.service_rsa.der,
        recipient=SERVICE,
    )
    return with_repeats(made_ahead(pool, lots), repeats, random.Random(options.seed))


def _soaked(
    options: argparse.Namespace,
    course: Course,
    outages: Outages,
    sampler: Sampler,
    lasted: float,
    findings: Sequence[Finding],
) -> Soaked:
    measured = growths(sampler.samples)
    return Soaked(
        command=shlex.join(["python", "-m", "tests.hosts.soak", *sys.argv[1:]]),
        database=options.database,
        workers=options.workers,
        attested=options.attested,
        sent=course.sent,
        repeated=course.repeated,
        answers=course.oracle.answers,
        receipts=course.oracle.receipts,
        copies=course.oracle.copies,
        waits=course.oracle.waits,
        deadline_seconds=course.oracle.deadline_seconds,
        lasted_seconds=lasted,
        outages=outages.told,
        measured=measured,
        percent_max=options.growth,
        findings=[*findings, *grown(measured, options.growth)],
    )


def _settings(options: argparse.Namespace) -> dict[str, dict[str, int]]:
    """What is not as in production; the number of attempts at a mail is."""
    worker = {"audit_wait_minutes": AUDIT_WAIT_MINUTES, "lease_seconds": options.lease}
    return {"rates": RATES, "worker": worker, "smtp": {"data_timeout_seconds": DATA_SECONDS_MAX}}


def _servers(around: World, names: str) -> dict[str, Server]:
    """Those that may be taken away. A register on SQLite has none."""
    there: dict[str, Server | None] = {
        "dovecot": around.dovecot,
        "postfix": around.postfix,
        "postgresql": around.postgres,
    }
    return {name: server for name in names.split(",") if (server := there[name]) is not None}


def _keep_logs(folder: Path, report: Path) -> None:
    """What tells why, beside the report."""
    kept = report.parent / f"{report.stem}-logs"
    kept.mkdir(parents=True, exist_ok=True)
    for pattern in LOGS:
        for log in folder.glob(pattern):
            shutil.copy(log, kept)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--mails", type=int, default=100_000)
    parser.add_argument("--hostile", type=float, default=5.0, metavar="PERCENT")
    parser.add_argument("--repeated", type=float, default=2.0, metavar="PERCENT")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--attested", action="store_true", help="answers with attestations: most of the work")
    parser.add_argument("--backlog", type=int, default=2_000, metavar="MAILS", help="never more wait for their answer")
    parser.add_argument("--servers", default="dovecot,postfix,postgresql", help="which of them are taken away")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="between two outages, on average")
    parser.add_argument("--away", type=float, default=4.0, metavar="SECONDS", help="length of an outage, on average")
    parser.add_argument("--lease", type=int, default=120, metavar="SECONDS", help="until a doubtful send is looked for")
    parser.add_argument("--sample", type=float, default=5.0, metavar="SECONDS", help="between two looks at the memory")
    parser.add_argument("--growth", type=float, default=10.0, metavar="PERCENT", help="more than that is wrong")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--report", type=Path, default=Path("build/soak.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
