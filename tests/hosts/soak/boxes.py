"""Mailboxes that are emptied while they fill, by a client that comes back whenever the server does."""

import contextlib
import imaplib
import re
import time
from collections import deque
from dataclasses import dataclass, field

from tests.servers.dovecot import PASSWORD, Dovecot

READ_MAX = 200
"""Mails that are read at once."""
TIMEOUT_SECONDS = 30
LOST = (OSError, imaplib.IMAP4.error)


@dataclass(kw_only=True)
class Box:
    """The inbox of a user. Each mail is taken down once and removed, so that no mailbox becomes large."""

    dovecot: Dovecot
    user: str
    section: str = ""
    """What of each mail is read; all of it when empty."""
    kept_seconds: float = 0.0
    """How long a mail stays once it was taken down."""
    _client: imaplib.IMAP4 | None = None
    _validity: bytes = b""
    _last: int = 0
    """The highest UID that was taken down."""
    _taken: deque[tuple[float, int]] = field(default_factory=deque)
    """When, and its UID: what is still there."""

    def take(self) -> list[bytes]:
        """What came since; nothing while the server is away."""
        found: list[bytes] = []
        try:
            client = self._selected()
            found = self._read(client)
            self._remove(client)
        except LOST:
            self.close()
        return found

    def close(self) -> None:
        """Until it is asked for again."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*LOST):
                client.shutdown()

    def _selected(self) -> imaplib.IMAP4:
        if self._client is None:
            self._client = imaplib.IMAP4(self.dovecot.host, self.dovecot.imap_port, timeout=TIMEOUT_SECONDS)
            self._client.login(self.user, PASSWORD)
        self._client.select("INBOX")
        _, (validity,) = self._client.response("UIDVALIDITY")
        if validity != self._validity:
            self._validity, self._last = validity, 0
            self._taken.clear()
        return self._client

    def _read(self, client: imaplib.IMAP4) -> list[bytes]:
        _, (told,) = client.uid("SEARCH", f"UID {self._last + 1}:*")
        # The last mail is always in such a range, however high it begins.
        uids = sorted(uid for uid in map(int, (told or b"").split()) if uid > self._last)[:READ_MAX]
        if not uids:
            return []
        _, parts = client.uid("FETCH", f"{uids[0]}:{uids[-1]}", f"(UID BODY.PEEK[{self.section}])")
        read = {int(_uid(head)): raw for head, raw in (part for part in parts if isinstance(part, tuple))}
        self._last = uids[-1]
        now = time.monotonic()
        self._taken.extend((now, uid) for uid in read)
        return list(read.values())

    def _remove(self, client: imaplib.IMAP4) -> None:
        due: list[int] = []
        while self._taken and self._taken[0][0] + self.kept_seconds <= time.monotonic() and len(due) < READ_MAX:
            due.append(self._taken.popleft()[1])
        if due:
            client.uid("STORE", ",".join(map(str, due)), "+FLAGS.SILENT", r"(\Deleted)")
            client.expunge()


def _uid(head: bytes) -> bytes:
    found = re.search(rb"UID (\d+)", head)
    assert found is not None, head
    return found[1]
