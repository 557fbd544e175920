"""`python -m tests.support.twice -n 4`: all tests side by side; what failed beside others is run once more, alone.

A test that passes only alone does not fail the run, because a busy machine is nobody's mistake; but it is named at the
end, its failure stays printed, and it is to be mended. A worker that crashed, or a module that cannot even be read, is
no failed test: then nothing is tried again.
"""

import subprocess
import sys
from collections.abc import Sequence

import pytest

ALONE = ("-n", "0", "--last-failed", "--last-failed-no-failures", "none")
UNSTEADY = "passed only alone: unsteady, mend it"


class Watch:
    """A plugin of pytest that keeps which tests failed, and what went wrong beside them.

    With xdist all of it ends as if tests had failed.
    """

    def __init__(self) -> None:
        self.failed: dict[str, None] = {}
        """In their order; one that fails in its call and in a fixture is one."""
        self.broken: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(f"cannot be read: {report.nodeid}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object) -> None:
        if error is not None:  # which test that was xdist prints, as far as it knows
            self.broken.append("a worker crashed")


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when every test passed, be it only alone."""
    watch = Watch()
    ended = int(pytest.main(list(arguments), plugins=[watch]))
    if watch.broken:
        _say("not tried again:", watch.broken)
        return ended or pytest.ExitCode.TESTS_FAILED
    if ended != pytest.ExitCode.TESTS_FAILED:
        return ended
    _say("once more, alone:", watch.failed)
    alone = subprocess.run([sys.executable, "-m", "pytest", *ALONE], check=False).returncode
    if alone == pytest.ExitCode.OK:
        _say(f"{UNSTEADY}:", watch.failed)
    return alone


def _say(what: str, names: Sequence[str] | dict[str, None]) -> None:
    sys.stdout.write("\n".join(["", what, *(f"  {name}" for name in names), ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
