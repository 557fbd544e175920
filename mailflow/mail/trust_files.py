"""What an installation trusts: anchors, intermediates and revocation lists in files, and what was fetched.

Files are read anew when they change, what was fetched with each new generation.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol

from mailflow.core.model import Directory, SenderCode
from mailflow.core.revocation import Fetched
from mailflow.core.service_keys import ServiceKey
from mailflow.errors import Misconfigured
from mailflow.mail import pem
from mailflow.mail.cms import ServiceKeys
from mailflow.mail.trust import HOUSE_POLICY, PathPolicy, SigningWindow, TrustMaterial

FileState = tuple[str, int, int]
"""Name, time of change and size of a file: what tells that it is new."""


class OwnKeys(Protocol):
    """Where the service's own keys come from: `mail.key_files`."""

    def state(self, keys: Iterable[ServiceKey]) -> tuple[str | FileState, ...]:
        """What tells that something is new. Raises Misconfigured."""
        ...

    def read(self, keys: Iterable[ServiceKey]) -> ServiceKeys:
        """Those that serve now. Raises Misconfigured."""
        ...


async def nothing_fetched() -> Fetched:
    """For who has no register."""
    return Fetched()


@dataclass(slots=True, kw_only=True)
class TrustFiles:
    """Three folders of PEM or DER files, whose names do not matter, and our own keys; hidden files are left out."""

    anchors: Path
    intermediates: Path
    revocation_lists: Path
    window: SigningWindow
    policy: PathPolicy = HOUSE_POLICY
    policies: Mapping[SenderCode, PathPolicy] = field(default_factory=dict)
    """Of senders that have one of their own."""
    fetched: Callable[[], Awaitable[Fetched]] = nothing_fetched
    """What the register keeps of revocation data."""
    keys: OwnKeys | None = None
    """None where nothing is opened or signed."""
    _state: tuple[str | FileState, ...] | None = None
    _material: TrustMaterial | None = None

    async def material(self, directory: Directory) -> TrustMaterial:
        """The enrolments with the files of now and what was fetched; the same object while nothing of it changed.

        Raises Misconfigured, and Unavailable.
        """
        state = await asyncio.to_thread(self._look, directory)
        known = self._material
        if known is not None and state == self._state and known.directory.generation == directory.generation:
            return known
        # Of this generation or newer, never older: the generation was read first.
        self._material = await asyncio.to_thread(self._read, directory, await self.fetched())
        self._state = state
        return self._material

    def _look(self, directory: Directory) -> tuple[str | FileState, ...]:
        files = [file for folder in self._folders() for file in files_in(folder)]
        return (*map(state_of, files), *(self.keys.state(directory.service_keys) if self.keys else ()))

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
            policies=self.policies,
            fetched=fetched,
            keys=self.keys.read(directory.service_keys) if self.keys else ServiceKeys(),
        )


def files_in(folder: Path, pattern: str = "*", *, may_be_missing: bool = False) -> list[Path]:
    """The files of a folder with such names, in their order. Raises Misconfigured when it cannot be read.

    `Path.glob` would let an error of the disk through, and take a folder that is closed to us for an empty one.
    """
    try:
        return sorted(
            file
            for file in folder.iterdir()
            if fnmatch(file.name, pattern) and not file.name.startswith(".") and file.is_file()
        )
    except OSError as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return []
        raise Misconfigured(f"{folder}: cannot be read: {error.strerror}") from None


def _all_in(folder: Path, label: str) -> tuple[bytes, ...]:
    return tuple(der for file in files_in(folder) for der in read_pem_file(file, label))


def read_pem_file(file: Path, label: str) -> tuple[bytes, ...]:
    """Every structure of this kind (`mail.pem`) in a file, in DER. Raises Misconfigured."""
    try:
        return pem.read_der(octets_of(file), label)
    except pem.PemError as error:
        raise Misconfigured(f"{file}: {error}; expected PEM or DER") from None


def state_of(file: Path) -> FileState:
    """Raises Misconfigured."""
    try:
        stat = file.stat()
    except OSError as error:  # replaced this very moment
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None
    return str(file), stat.st_mtime_ns, stat.st_size


def octets_of(file: Path) -> bytes:
    """All of a file. Raises Misconfigured."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None
