"""Files that commands put where the service finds them."""

import base64
import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mailflow.errors import MailflowError
from mailflow.register.key_store import beside
from mailflow.settings.model import Register

KEY_BYTES = 32
PRIVATE = 0o600


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Exclusively: a file that appears meanwhile is never overwritten. It is on disk afterwards.

    A folder with the setgid bit lends what lies in it to its group, for reading: so the package has it for the
    service's, which is not to write its own settings and keys.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lent = path.parent.stat().st_mode & stat.S_ISGID and path.parent.name != "secrets"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode | stat.S_IRGRP if lent else mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def handed_out(path: Path) -> Iterator[BinaryIO]:
    """A new file with personal data, which its owner alone can read; it is gone again when the block fails.

    So the block can first put on record who reads it, and then write: nothing is read that is not on record.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as file:
            try:
                yield file
                file.flush()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise MailflowError(f"{path}: {error.strerror}") from None


def write_random_key(path: Path, like: Path | None = None) -> None:
    """A new symmetric key, which nobody else has. It may be read by whoever may read `like`."""
    write_new(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n", PRIVATE)
    if like is not None:
        known = like.stat()
        if os.geteuid() == 0:
            os.chown(path, known.st_uid, known.st_gid)
        path.chmod(stat.S_IMODE(known.st_mode))


def hand_over_register(where: Register) -> None:
    """What root makes belongs to whom the folder belongs: the service is not root."""
    for url in (where.url, where.keys_url or beside(where.url)):
        file = Path(url.removeprefix("sqlite:///"))
        if url.startswith("sqlite:") and os.geteuid() == 0:
            owner = file.parent.stat()
            for path in file.parent.glob(f"{file.name}*"):
                os.chown(path, owner.st_uid, owner.st_gid)
