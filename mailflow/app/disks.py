"""How full the disks are that the service writes to."""

import contextlib
import shutil
from pathlib import Path

from mailflow.settings import Settings

_SQLITE = "sqlite:///"


def disk_use(settings: Settings) -> float | None:
    """Of the disk that the register lies on, when it is a file; else of the one of the settings' keys.

    A part, 0 to 1; None when it cannot be told.
    """
    url = settings.register_.url
    return _used((_file(url) or settings.register_.lookup_key_file).parent)


def register_disk_use(settings: Settings) -> float | None:
    """Of the disk that the register lies on; None when the register is no file."""
    file = _file(settings.register_.url)
    return _used(file.parent) if file else None


def _file(url: str) -> Path | None:
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _used(folder: Path) -> float | None:
    with contextlib.suppress(OSError):
        disk = shutil.disk_usage(folder)
        return 1 - disk.free / (disk.used + disk.free)
    return None
