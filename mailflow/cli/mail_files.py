"""Mails from files, behind the same port as the mailbox."""

import asyncio
import hashlib
import mailbox
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from mailflow.mail.mime import glance
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Listing

STANDARD_INPUT = Path("-")


def read_mails(paths: Sequence[Path], at: datetime) -> tuple[FetchedMail, ...]:
    """Every mail in these files, in order. Standard input counts as received `at`, a file when it was written.

    Their UIDVALIDITY is made from what they are, so that the same mails given again are known. Raises
    click.ClickException for what cannot be read.
    """
    try:
        found = [mail for path in paths for mail in _read(path, at)]
    except OSError as error:
        raise click.ClickException(f"{error.filename}: cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(b"".join(hashlib.sha256(raw).digest() for raw, _ in found)).digest()
    uidvalidity = int.from_bytes(digest[:4], "big") >> 1 or 1
    return tuple(
        FetchedMail(seen=_seen(uid, raw, received_at), uidvalidity=uidvalidity, raw=raw, size_bytes=len(raw))
        for uid, (raw, received_at) in enumerate(found, 1)
    )


def _seen(uid: int, raw: bytes, received_at: datetime) -> Lying:
    return Lying(uid=uid, message_id=glance(raw).message_id, received_at=received_at, size_bytes=len(raw))


def _read(path: Path, at: datetime) -> Iterator[tuple[bytes, datetime]]:
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer.read(), at
    elif path.is_dir():
        yield from _read_folder(path)
    else:
        raw = path.read_bytes()
        if raw.startswith(b"From "):
            yield from ((one, _written(path)) for one in _read_mbox(path))
        else:
            yield raw, _written(path)


def _read_folder(path: Path) -> Iterator[tuple[bytes, datetime]]:
    """A Maildir when it looks like one, else every .eml in the folder."""
    parts = [path / "new", path / "cur"]
    maildir = all(part.is_dir() for part in parts)
    files = [file for part in parts for file in part.iterdir()] if maildir else list(path.glob("*.eml"))
    for file in sorted(files):
        yield file.read_bytes(), _written(file)


def _read_mbox(path: Path) -> Iterator[bytes]:
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.iterkeys():
            yield box.get_bytes(key)
    finally:
        box.close()


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


class FileMailbox:
    """Implements `mail.ports.Mailbox` for mails that were read from files. Moving takes them off the list only."""

    def __init__(self, mails: Sequence[FetchedMail]) -> None:
        self._mails = {mail.uid: mail for mail in mails}
        self._uidvalidity = mails[0].uidvalidity if mails else 1

    async def list(self) -> Listing:
        return Listing(uidvalidity=self._uidvalidity, uids=tuple(self._mails))

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:  # noqa: ARG002  # as the port says
        for uid in uids:
            yield self._mails[uid]

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:  # noqa: ARG002  # as the port says
        return [self._mails[uid].seen for uid in uids]

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:  # noqa: ARG002  # as the port says
        for mail in mails:
            self._mails.pop(mail.uid, None)

    async def wait(self, seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return False

    async def close(self) -> None:
        return
