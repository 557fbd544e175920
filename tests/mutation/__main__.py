"""Plants the changes and counts which are seen: `make mutation`, or `make mutation MODULES=mailflow/mail/trust`."""

import argparse
import ast
import importlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.mutation.operators import Change, changes
from tests.mutation.report import Kept, Result, keep, kept, reasons, report
from tests.mutation.survey import Survey
from tests.mutation.trying import NOT_PLANTED, first_to_fail

TESTS_SECONDS = 20.0
"""Of tests that a change is shown to, the quickest first, unless --seconds says otherwise: what these do not see is
counted as unseen."""
KILLERS = 5
"""Tests that saw changes of the same function before are tried first: so many of them."""
PARTS = 3
"""All modules in turn get a third of their changes tried, then the next: a run that is ended early has seen of all."""


@dataclass(slots=True)
class Trial:
    """The changes of one module."""

    file: Path
    survey: Survey
    folder: Path
    seconds: float
    """Of tests, for each change."""
    killers: dict[str, Counter[str]] = field(default_factory=dict)

    def results(self, wanted: Callable[[int], bool]) -> Iterator[Result]:
        """What came of those whose number is wanted."""
        text = self.file.read_text(encoding="utf-8")
        module = importlib.import_module(".".join(self.file.with_suffix("").parts).removesuffix(".__init__"))
        tree = ast.parse(text)
        for number, change in enumerate(changes(tree)):
            if not wanted(number):
                continue
            tests = self._tests(change)
            killer = first_to_fail(tree, module, change.function, tests, self.survey, self.folder) if tests else None
            if killer and killer != NOT_PLANTED:
                self.killers.setdefault(change.function, Counter())[killer] += 1
            yield Result(
                number=number,
                function=change.function,
                line=change.lines[0],
                source=text.splitlines()[change.lines[0] - 1].strip(),
                what=change.what,
                killer=killer,
                tests=len(tests),
            )

    @property
    def count(self) -> int:
        """Of all its changes."""
        return sum(1 for _ in changes(ast.parse(self.file.read_text(encoding="utf-8"))))

    def _tests(self, change: Change) -> list[str]:
        """Those that run the changed line, what killed before first, then the quickest."""
        by_line = self.survey.tests[str(self.file.resolve())]
        lines = change.lines if change.function else ()
        running = {test for line in lines for test in by_line.get(line, ()) if test}
        found = running or {test for tests in by_line.values() for test in tests if test}
        before = [test for test, _ in self.killers.get(change.function, Counter()).most_common() if test in found]
        chosen, seconds = before[:KILLERS], 0.0
        for test in sorted(found.difference(chosen), key=lambda test: (self.survey.seconds[test], test)):
            seconds += self.survey.seconds[test]
            if chosen and seconds > self.seconds:
                break
            chosen.append(test)
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """All modules."""

    files: Sequence[Path]
    folder: Path
    parts: int
    """How many of the `PARTS`."""
    seconds: float
    again: bool
    """Only what was not seen yet and has no reason, or was not tried since the module has changed."""

    def run(self, survey: Survey) -> None:
        """Try the changes, and keep what came of them."""
        trials = [Trial(file=file, survey=survey, folder=self.folder, seconds=self.seconds) for file in self.files]
        known = kept()
        for part in range(1 if self.again else self.parts):
            for trial in trials:
                begun = time.monotonic()
                results = [*trial.results(self._wanted(known, trial.file, part))]
                keep(trial.file, trial.count, results)
                unseen = sum(result.killer is None for result in results)
                seconds = time.monotonic() - begun
                sys.stderr.write(f"\n{trial.file}: {len(results)} changes, {unseen} unseen, {seconds:.0f} s")

    def _wanted(self, known: Kept, file: Path, part: int) -> Callable[[int], bool]:
        if not self.again:
            return lambda number: number % PARTS == part
        why = reasons()
        done = {
            one.number
            for one in (known[str(file)].results if str(file) in known else ())
            if one.killer is not None or (str(file), one.function, one.what) in why
        }
        return lambda number: number not in done


def main() -> int:
    """Try the changes, keep what came of them, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=Path, nargs="+", required=True, help="files and folders")
    parser.add_argument("--parts", type=int, default=PARTS, help="of three parts of the changes, so many")
    parser.add_argument("--seconds", type=float, default=TESTS_SECONDS, help="of tests that a change is shown to")
    parser.add_argument("--again", action="store_true", help="only what was not tried, or not seen without a reason")
    parser.add_argument("tests", nargs="+", help="tests and options for pytest, after --")
    chosen = parser.parse_args()
    files = sorted({one for path in chosen.modules for one in (path.rglob("*.py") if path.is_dir() else [path])})
    with tempfile.TemporaryDirectory(prefix="mutation-") as made:
        trials = Trials(
            files=files,
            folder=Path(made) / "tests",
            parts=chosen.parts,
            seconds=chosen.seconds,
            again=chosen.again,
        )
        survey = Survey(files=[str(file.resolve()) for file in files], then=trials.run)
        options = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler"]
        if code := pytest.main([*options, f"--basetemp={trials.folder}", *chosen.tests], plugins=[survey]):
            return code
    return report()


if __name__ == "__main__":
    sys.exit(main())
