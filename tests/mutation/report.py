"""What came of the changes: kept between runs, and written as a table with the reasons for what no test sees."""

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailflow import __version__
from tests.mutation.trying import NOT_PLANTED

RESULTS = Path("build/mutation.json")
REASONS = Path(__file__).with_name("unseen.toml")
TABLE = Path("docs/mutation.md")
SEEN_LEAST = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one change."""

    number: int
    """Of the change, in its module."""
    function: str
    line: int
    source: str
    what: str
    killer: str | None
    """The test that fails with it; None when none does."""
    tests: int
    """How many it was shown to at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """What came of the changes of one module so far."""

    digest: str
    """Of the source, and of what makes its changes: they are numbered by both."""
    changes: int
    """All that there are."""
    results: tuple[Result, ...]

    @property
    def tried(self) -> tuple[Result, ...]:
        """Those that could be planted."""
        return tuple(result for result in self.results if result.killer != NOT_PLANTED)

    @property
    def unseen(self) -> tuple[Result, ...]:
        """Those that no test sees."""
        return tuple(result for result in self.results if result.killer is None)


Kept = dict[str, Module]
"""By file."""


def kept() -> Kept:
    """Of earlier runs; of a module that has changed since, nothing."""
    if not RESULTS.exists():
        return {}
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    modules = {
        file: Module(
            digest=one["digest"], changes=one["changes"], results=tuple(Result(**result) for result in one["results"])
        )
        for file, one in found.items()
    }
    return {file: module for file, module in modules.items() if Path(file).exists() and module.digest == _digest(file)}


def keep(file: Path, changes: int, results: Sequence[Result]) -> None:
    """Add them to what is kept of that many changes; the newer one of each number counts."""
    known = kept()
    former = known[str(file)].results if str(file) in known else ()
    by_number = {result.number: result for result in (*former, *results)}
    newest = tuple(by_number[number] for number in sorted(by_number))
    known[str(file)] = Module(digest=_digest(str(file)), changes=changes, results=newest)
    RESULTS.parent.mkdir(exist_ok=True)
    plain = {name: asdict(module) for name, module in known.items()}
    RESULTS.write_text(json.dumps(plain, indent=1, ensure_ascii=False), encoding="utf-8")


def _digest(file: str) -> str:
    source, makes = Path(file).read_bytes(), Path(__file__).with_name("operators.py").read_bytes()
    return hashlib.sha256(source + makes).hexdigest()


def reasons() -> dict[tuple[str, str, str], str]:
    """Why no test need see a change, by file, function and change."""
    said = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return {
        (file, function, what): group["reason"]
        for group in said["group"]
        for file, functions in group["changes"].items()
        for function, whats in functions.items()
        for what in whats
    }


def report() -> int:
    """Write the table. The exit code: 0 when enough is seen, and there is a reason for all that is not."""
    known = kept()
    why = reasons()
    tried = sum(len(module.tried) for module in known.values())
    unseen = [(file, one) for file, module in known.items() for one in module.unseen]
    TABLE.write_text("\n".join(_table(known, why)) + "\n", encoding="utf-8")
    unexplained = [f"{file}:{one.line} {one.what}" for file, one in unseen if (file, one.function, one.what) not in why]
    sys.stdout.write("\n".join([f"{tried} changes tried, {len(unseen)} unseen; without a reason:", *unexplained, ""]))
    return 0 if not unexplained and len(unseen) <= (1 - SEEN_LEAST) * tried else 1


def _table(known: Kept, why: Mapping[tuple[str, str, str], str]) -> Iterator[str]:
    tried = sum(len(module.tried) for module in known.values())
    unseen = sum(len(module.unseen) for module in known.values())
    yield "# Does a test see each change?"
    yield ""
    yield "Written by `make mutation`: one small change at a time in the modules that decide who may register, and the"
    yield "tests that run the changed line. Unseen is what no test fails with; the reasons are below. Where fewer were"
    yield "tried than there are, it was every third one (`PARTS`); a module that is missing was not reached yet."
    yield "The reasons were given by reading the change, not by trying it: where one seems wrong, a test is wanted."
    yield ""
    counted = f"{tried} changes, {tried - unseen} seen, {unseen} not: {_share(tried, unseen)}"
    yield f"Version {__version__}, {datetime.now(UTC):%Y-%m-%d}: {counted}."
    yield ""
    yield "| module | changes | tried | seen | unseen | |"
    yield "|---|---:|---:|---:|---:|---:|"
    for file, module in sorted(known.items()):
        count, left = len(module.tried), len(module.unseen)
        if module.changes:
            share = _share(count, left)
            yield f"| `{file}` | {module.changes} | {count} | {count - left} | {left} | {share} |"
    yield ""
    yield "## Unseen"
    by_reason: dict[str, list[str]] = {}
    for file, module in sorted(known.items()):
        for one in module.unseen:
            line = f"- `{file}:{one.line}` {one.what}"
            by_reason.setdefault(why.get((file, one.function, one.what), "No reason yet"), []).append(line)
    for reason, lines in sorted(by_reason.items()):
        yield from ("", f"{reason}.", "", *lines)


def _share(tried: int, unseen: int) -> str:
    return f"{100 * (tried - unseen) / tried:.1f} %" if tried else ""
