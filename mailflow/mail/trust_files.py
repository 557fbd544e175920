"""What an installation trusts: anchors, intermediates and revocation lists in files, and what was fetched.

Files are read anew when they change, what was fetched with each new generation.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mailflow.core.model import Directory
from mailflow.core.revocation import Fetched
from mailflow.errors import Misconfigured
from mailflow.mail import pem
from mailflow.mail.trust import HOUSE_POLICY, PathPolicy, SigningWindow, TrustMaterial

State = tuple[tuple[str, int, int], ...]
"""Name, time of change and size of every file: what tells that something is new."""


async def nothing_fetched() -> Fetched:
    """For who has no register."""
    return Fetched()


@dataclass(slots=True, kw_only=True)
class TrustFiles:
    """Three folders of PEM or DER files; names do not matter, hidden files are left out."""

    anchors: Path
    intermediates: Path
    revocation_lists: Path
    window: SigningWindow
    policy: PathPolicy = HOUSE_POLICY
    fetched: Callable[[], Awaitable[Fetched]] = nothing_fetched
    """What the register keeps of revocation data."""
    _state: State | None = None
    _material: TrustMaterial | None = None

    async def material(self, directory: Directory) -> TrustMaterial:
        """The enrolments with the files of now and what was fetched; the same object while nothing of it changed.

        Raises Misconfigured, and Unavailable.
        """
        state = await asyncio.to_thread(self._look)
        known = self._material
        if known is not None and state == self._state and known.directory.generation == directory.generation:
            return known
        # Of this generation or newer, never older: the generation was read first.
        self._material = await asyncio.to_thread(self._read, directory, await self.fetched())
        self._state = state
        return self._material

    def _look(self) -> State:
        files = [file for folder in self._folders() for file in _files(folder)]
        try:
            return tuple((str(file), stat.st_mtime_ns, stat.st_size) for file in files for stat in [file.stat()])
        except OSError as error:  # replaced this very moment
            raise Misconfigured(f"{error.filename}: cannot be read: {error.strerror}") from None

    def _folders(self) -> tuple[Path, Path, Path]:
        return (self.anchors, self.intermediates, self.revocation_lists)

    def _read(self, directory: Directory, fetched: Fetched) -> TrustMaterial:
        return TrustMaterial(
            directory=directory,
            anchors=_all_in(self.anchors, pem.CERTIFICATE),
            intermediates=_all_in(self.intermediates, pem.CERTIFICATE),
            crls=_all_in(self.revocation_lists, pem.REVOCATION_LIST),
            window=self.window,
            policy=self.policy,
            fetched=fetched,
        )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise Misconfigured(f"{folder}: cannot be read: {error.strerror}") from None


def _all_in(folder: Path, label: str) -> tuple[bytes, ...]:
    return tuple(der for file in _files(folder) for der in read_pem_file(file, label))


def read_pem_file(file: Path, label: str) -> tuple[bytes, ...]:
    """Every structure of this kind (`mail.pem`) in a file, in DER. Raises Misconfigured."""
    try:
        return pem.read_der(file.read_bytes(), label)
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None
    except pem.PemError as error:
        raise Misconfigured(f"{file}: {error}; expected PEM or DER") from None
