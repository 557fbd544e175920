"""One change in a fork of this process: which test fails first?"""

import ast
import os
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.planting import NotLoadedError, NotPlantedError, plant
from tests.mutation.survey import Survey

SLACK_SECONDS, TIMES_SLOWER = 3.0, 5.0
"""Of a core: a test that takes that much longer than without the change has failed."""
WAITS_SECONDS = 20.0
"""A test that does nothing for so long has failed, on a busy machine too."""
MEMORY_BYTES = 2 * 1024**3
"""More than the process has already."""
NOT_PLANTED = "not planted"
NOT_LOADED = "the module is not loaded"
DIED = "time or memory"


class _Tells:
    """Ends the process at the first failure, telling which test it was."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self.pipe, report.nodeid.encode())
            os._exit(1)


def first_to_fail(
    tree: ast.Module, module: ModuleType, function: str, tests: Sequence[str], survey: Survey, folder: Path
) -> str | None:
    """The test that fails with the change, `DIED`, `NOT_LOADED` or `NOT_PLANTED`; None when it survives.

    `folder` is where tests put their files; it is emptied.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            _be_silent_and_bounded()
            outcome = _planted_and_run(tree, module, function, [survey.items[test] for test in tests], survey, writing)
            os.write(writing, outcome.encode())
            os._exit(0)
        finally:
            os._exit(2)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    for left in folder.glob("*"):
        shutil.rmtree(left, ignore_errors=True)
    if os.WIFSIGNALED(status):
        return DIED
    if not told and status:
        raise RuntimeError(f"the trial of a change in {function or module.__name__} failed itself")
    return told or None


def _planted_and_run(
    tree: ast.Module, module: ModuleType, function: str, items: Sequence[pytest.Item], survey: Survey, pipe: int
) -> str:
    """What there is to tell when no test has failed."""
    try:
        plant(tree, module, function, survey.functions)
    except NotPlantedError:
        return NOT_PLANTED
    except NotLoadedError:
        return NOT_LOADED
    try:
        _run(items, survey, pipe)
    except BaseException:  # noqa: BLE001  the run was ended from within
        return DIED
    return ""


def _be_silent_and_bounded() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(items: Sequence[pytest.Item], survey: Survey, pipe: int) -> None:
    items[0].config.pluginmanager.register(_Tells(pipe))
    for item, following in zip(items, [*items[1:], None], strict=True):
        signal.setitimer(signal.ITIMER_PROF, SLACK_SECONDS + TIMES_SLOWER * survey.seconds[item.nodeid])
        signal.setitimer(signal.ITIMER_REAL, WAITS_SECONDS)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        sys.stdout.flush()
