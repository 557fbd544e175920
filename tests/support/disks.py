"""Disks of a size of their own."""

import subprocess
from pathlib import Path

import pytest


def small_disk(request: pytest.FixtureRequest, folder: Path, octets: int) -> Path:
    """A disk that has so much room, until the test ends."""
    disk = folder / "disk"
    disk.mkdir()
    made = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", disk), check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("only root may mount a disk")
    request.addfinalizer(lambda: subprocess.run(("umount", "--lazy", disk), check=True))
    return disk


def make_room(disk: Path, octets: int) -> None:
    """From now on it has so much."""
    subprocess.run(("mount", "-o", f"remount,size={octets}", disk), check=True)
