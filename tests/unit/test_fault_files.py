"""Files that the sweep breaks fail as the system says it, and are whole again for whoever opens them next."""

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from mailflow.selftest import points
from mailflow.selftest.points import Fault, Point, Run
from tests.faults import files


def locked(file: Path) -> None:
    with file.open("ab") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


OPERATIONS: dict[str, tuple[Callable[[Path], object], set[int]]] = {
    "open": (Path.read_bytes, {errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE}),
    "read": (Path.read_bytes, {errno.EIO}),
    "write": (lambda file: file.write_text("anew"), {errno.EIO, errno.ENOSPC}),
    "flock": (locked, {errno.EIO, errno.ENOLCK}),
    "remove": (Path.unlink, {errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE}),
}


@pytest.mark.parametrize("what", OPERATIONS)
def test_an_operation_fails_in_each_of_its_ways_and_then_works(tmp_path: Path, what: str) -> None:
    operation, errors = OPERATIONS[what]
    file = tmp_path / "register.db.worker.vm%3A1.lock"
    files.listen(tmp_path)
    point = Point(kind="file", name=f"{what} register.db.worker.lock", nth=1)
    met = set()
    for how in files.hows(point):
        file.write_bytes(b"octets")
        points.begin(run := Run(Fault(point=point, how=how)))
        try:
            operation(file)
        except OSError as error:
            met.add(error.errno)
        finally:
            points.begin(None)
        assert run.fired
    assert met == errors
    file.write_bytes(b"octets")
    operation(file)


def test_what_lies_elsewhere_is_no_point(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    files.listen(tmp_path / "ours")
    points.begin(run := Run())
    try:
        locked(tmp_path / "theirs")
        (tmp_path / "theirs").read_bytes()
    finally:
        points.begin(None)
    assert not run.passed
