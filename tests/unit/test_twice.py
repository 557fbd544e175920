"""A test that fails beside others is run once more alone; what else goes wrong fails the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.twice import UNSTEADY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STEADY = "def test_good():\n    pass\n"
FAILS = "def test_bad():\n    assert not 'always wrong'\n"
FAILS_ONCE = """
from pathlib import Path

def test_once():
    been = Path(__file__).with_suffix(".been")
    first = not been.exists()
    been.touch()
    assert not first, "wrong beside others"
"""
CRASHES_ONCE = FAILS_ONCE.replace("assert not first", "import os; first and os._exit(3)")


def run(folder: Path, **modules: str) -> "subprocess.CompletedProcess[str]":
    """What the command makes of these test modules."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    for name, text in modules.items():
        (folder / f"test_{name}.py").write_text(text)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))}
    return subprocess.run(
        [sys.executable, "-m", "tests.support.twice", "-n", "2", "--dist", "worksteal"],
        cwd=folder,
        env={**ours, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_when_all_pass_nothing_is_run_again(tmp_path: Path) -> None:
    done = run(tmp_path, steady=STEADY)
    assert done.returncode == pytest.ExitCode.OK, done
    assert "alone" not in done.stdout


def test_what_passes_alone_is_named_and_its_failure_stays(tmp_path: Path) -> None:
    done = run(tmp_path, steady=STEADY, once=FAILS_ONCE)
    assert done.returncode == pytest.ExitCode.OK, done
    assert "wrong beside others" in done.stdout
    assert done.stdout.endswith(f"\n{UNSTEADY}:\n  test_once.py::test_once\n")
    assert "1 passed" in done.stdout, "and nothing else is run again"


@pytest.mark.long
def test_what_fails_again_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, once=FAILS_ONCE, bad=FAILS)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done
    assert done.stdout.count("always wrong") >= 2
    assert UNSTEADY not in done.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"unreadable": "import nowhere\n"}, "  cannot be read: test_unreadable.py"),
        ({"crashing": CRASHES_ONCE}, "  a worker crashed"),
    ],
)
def test_nothing_is_tried_again_when_more_went_wrong_than_a_test(
    tmp_path: Path, more: dict[str, str], told: str
) -> None:
    done = run(tmp_path, once=FAILS_ONCE, **more)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done
    assert done.stdout.endswith(f"not tried again:\n{told}\n")
