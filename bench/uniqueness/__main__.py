"""`make bench-uniqueness`: fills registers of growing size with invented households, and measures in each."""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bench.uniqueness import report
from bench.uniqueness.desk import CountingVault, Desk, form_of
from bench.uniqueness.filling import Database, database, prepare
from bench.uniqueness.measuring import measure
from bench.uniqueness.population import BLOCK, Population
from bench.uniqueness.rows import Maker
from mailflow.core.calendar import legal_day
from mailflow.core.form import HousingRequest
from mailflow.register import Register

DATABASES = ("sqlite", "postgresql")
SIZES = (10_000, 50_000, 500_000, 5_000_000)
FILES_A_SIZE_MAX = 100_000
CORES = os.cpu_count() or 1


@click.command()
@click.option(
    "--requests", "sizes", type=int, multiple=True, default=SIZES, show_default=True, help="Sizes to grow to."
)
@click.option("--samples", default=1_000, show_default=True, help="How often each thing is measured in each size.")
@click.option("--database", "which", type=click.Choice([*DATABASES, "both"]), default="both", show_default=True)
@click.option("--seed", default=2026, show_default=True, help="Who the households are.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here as well.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(".cache/bench-uniqueness"), show_default=True,
    help="Where SQLite's file lies meanwhile: 3.5 kB a request. PostgreSQL's lie in TMPDIR: not in memory, please.",
)  # fmt: skip
def main(sizes: Sequence[int], samples: int, which: str, seed: int, json_file: Path | None, folder: Path) -> None:
    """Measure exact checks, near-match checks and creations in registers of growing size."""
    facts: dict[str, Any] = {
        "command": " ".join(["python -m bench.uniqueness", *sys.argv[1:]]),
        "machine": _machine(),
        "databases": {},
    }
    for kind in DATABASES if which == "both" else [which]:
        shutil.rmtree(folder, ignore_errors=True)
        measured = facts["databases"][kind] = []
        with database(kind, folder.absolute()) as opened:
            for one in _grow(kind, opened, sorted(sizes), samples, seed):
                measured.append(one)
                if json_file is not None:  # after an hour the next size may not find room
                    json_file.write_text(json.dumps(facts, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
    report.show(facts)


def _grow(kind: str, opened: Database, sizes: Sequence[int], samples: int, seed: int) -> Iterator[dict[str, Any]]:
    """Fill up to each size in turn and measure there."""
    at = datetime.now(UTC).replace(microsecond=0)
    population = Population(seed)
    maker = Maker(
        population=population, payload=_payload(population, at), master_key=bytes(32), lookup_key=bytes(32), at=at
    )
    asyncio.run(_prepare(opened, maker))
    filled = 0
    for stage, size in enumerate(sizes):
        _say(f"{kind}: filling up to {size} requests")
        begun = time.monotonic()
        opened.fill(maker, range(filled // BLOCK, size // BLOCK), CORES)
        seconds = time.monotonic() - begun
        _say(f"{kind}: {size} requests after {seconds:.0f} s; measuring")
        facts = {"requests": size, "filled": size - filled, "fill_seconds": seconds, "octets": opened.sizes()}
        yield facts | asyncio.run(_measure(opened, maker, size, samples, files=stage * FILES_A_SIZE_MAX))
        filled = size


async def _prepare(opened: Database, maker: Maker) -> None:
    async with _register(opened, maker) as (register, _):
        await prepare(register)
        await Desk.enrol(register, maker.at)


async def _measure(opened: Database, maker: Maker, size: int, samples: int, *, files: int) -> dict[str, Any]:
    async with _register(opened, maker) as (register, vault):
        desk = await Desk.of(register, vault, opened, maker.at, files=files)
        return await measure(desk, maker.population, size, samples)


@contextlib.asynccontextmanager
async def _register(opened: Database, maker: Maker) -> AsyncIterator[tuple[Register, CountingVault]]:
    vault = CountingVault(maker)
    register = Register.open(opened.url, vault)
    try:
        yield register, vault
    finally:
        await register.close()


def _payload(population: Population, at: datetime) -> bytes:
    """What a request of a couple says, as the register keeps it."""
    couple = next(one for one in population.strangers(100, "payload") if len(one.persons) == 2)
    form = HousingRequest.model_validate(form_of(couple, legal_day(at)))
    return form.model_dump_json(by_alias=True, exclude_none=True).encode()


def _machine() -> dict[str, Any]:
    """What the figures depend on."""
    libraries = ("mailflow", "sqlalchemy", "aiosqlite", "psycopg", "cryptography")
    return {
        "cores": CORES,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in libraries},
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
