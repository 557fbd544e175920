"""Mutated mails through our readers, beside OpenSSL and asn1crypto: `make fuzz`.

A finding is an exception that is none of ours, a mail that takes longer than `HANGS_SECONDS`, an accepted content that
nobody signed, and one that asn1crypto reads otherwise. Each is kept as a file, and the exit code is 1. That OpenSSL and
we refuse different mails is counted: it reads fields that say nothing about content or signer, and we refuse more.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from mailflow.mail.cms import encrypt
from mailflow.mail.mime import canonical
from tests.fuzz import corpus
from tests.fuzz.mutations import mutant, mutant_inside
from tests.fuzz.reading import Reading, asn1crypto_reads, openssl_accepts, read
from tests.support.keys import holder

HANGS_SECONDS = 5.0
"""Of a core: how busy the machine is makes no difference."""
PORTION = 2_000
"""Mails that one seed makes; a finding names its seed."""


class HangsError(BaseException):
    """A mail that takes too long."""


@dataclass(slots=True)
class Tally:
    """What came of many mails."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, bytes]] = field(default_factory=list)
    slowest_seconds: float = 0.0

    def add(self, other: "Tally") -> None:
        self.counts += other.counts
        self.findings += other.findings
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)


def originals() -> dict[str, bytes]:
    """The corpus, and each of its mails once more inside an envelope."""
    signed = corpus.mails()
    recipients = [holder("rsa").der, holder("p256").der]
    enveloped: dict[str, bytes] = {}
    for number, (name, mail) in enumerate(signed.items()):
        der = encrypt(corpus.entity_of(mail), recipients, legacy=number % 2 == 0)
        enveloped[f"enveloped-{name}"] = corpus.HEAD + corpus.ENVELOPE + corpus.lines(der)
    return signed | enveloped


def portion(mails: Sequence[bytes], seed: int, count: int = PORTION) -> Tally:
    """Mutants of these mails, all that this seed makes."""
    chance = random.Random(seed)
    tally = Tally()
    signal.signal(signal.SIGPROF, _hangs)
    for _ in range(count):
        change = chance.choice((mutant, mutant_inside, mutant_inside))
        raw = change(chance.choice(mails), chance, mails)
        _look(raw, tally, seed)
    return tally


def _look(raw: bytes, tally: Tally, seed: int) -> None:
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HANGS_SECONDS)
    try:
        reading = read(raw)
        words = [*_compared(reading)]
    except HangsError:
        words = ["FINDING hangs"]
    except Exception as error:  # noqa: BLE001  that is what is looked for
        words = [f"FINDING {type(error).__name__}"]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    tally.slowest_seconds = max(tally.slowest_seconds, time.process_time() - begun)
    tally.counts.update(["mails", *words])
    tally.findings += [(f"{word.removeprefix('FINDING ')} seed {seed}", raw) for word in words if "FINDING" in word]


def _compared(reading: Reading) -> Iterator[str]:
    parts, verified = reading.parts, reading.verified
    if verified is None or parts is None:
        yield f"refused {reading.refusal}"
        if parts is not None and openssl_accepts(parts, corpus.ENTITY):
            yield "refused, and OpenSSL accepts"
        return
    yield "accepted"
    if canonical(verified.content).strip() != corpus.ENTITY.strip():
        yield "FINDING altered"
    if not openssl_accepts(parts, verified.content):
        yield "accepted, and OpenSSL refuses"
    if parts.content is None:
        try:
            if asn1crypto_reads(parts.cms) != verified.content:
                yield "FINDING read otherwise by asn1crypto"
        except (ValueError, TypeError, KeyError):
            yield "accepted, and asn1crypto cannot read it"


def _hangs(_: int, __: FrameType | None) -> None:
    raise HangsError


def run(count: int, seed: int, processes: int, told: Callable[[Tally], None] = lambda _: None) -> Tally:
    """That many mails, from this seed on."""
    tally = Tally()
    mails = list(originals().values())
    seeds = range(seed, seed + -(-count // PORTION))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for one in pool.imap_unordered(partial(portion, mails), seeds):
            tally.add(one)
            told(tally)
    return tally


def main() -> int:
    """Run, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    chosen = parser.parse_args()
    begun = time.monotonic()
    tally = run(chosen.mails, chosen.seed, chosen.processes)
    chosen.findings.mkdir(parents=True, exist_ok=True)
    for number, (name, raw) in enumerate(tally.findings):
        (chosen.findings / f"{number:04} {name}.eml").write_bytes(raw)
    report = {
        "counts": dict(tally.counts.most_common()),
        "slowest_seconds": round(tally.slowest_seconds, 3),
        "seconds": round(time.monotonic() - begun),
        "findings": len(tally.findings),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
