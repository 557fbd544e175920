"""A service on real mail servers, one desk, and what that desk was told: for a register that is lost."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailflow.demo.applications import file_name
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from mailflow.wire.dispatch import read_creations
from tests.integration.test_cli_mails import a_dem
from tests.servers.postgres import PostgresServer
from tests.support.mail_world import SERVICE_USER, MailWorld

PEOPLE = ("Durand", "Petit", "Moreau", "Roux", "Simon")
ARCHIVE_KEY = "archive.key"
"""File in the folder of the world: the private key that `mailflow restore` asks for."""


@contextmanager
def losing_world(
    folder: Path,
    postgres: PostgresServer | None,
    register: Mapping[str, Any] | None = None,
    mailboxes: Sequence[str] = (SERVICE_USER,),
) -> Iterator[MailWorld]:
    """With further settings of the register; SQLite without `postgres`."""
    pki = Pki(at=datetime.now(UTC))
    software = DeskSoftware(
        sender="lille", desk="Z0001", territory="059", address="lille@lille.example", identity=pki.issue("lille")
    )
    certificate = folder / "archive.pem"
    certificate.write_bytes(pki.archive.pem)
    (folder / ARCHIVE_KEY).write_bytes(pki.archive.key_pem)
    changes = {"keys": {"archive_certificate_file": str(certificate)}, "register": register or {}}
    with MailWorld(folder, pki, [software], postgres=postgres, changes=changes, mailboxes=mailboxes) as made:
        yield made


def post(world: MailWorld, *surnames: str, to: str = SERVICE_USER) -> None:
    """A request mail of each."""
    (software,) = world.software
    at, mails = datetime.now(UTC), []
    for surname in surnames:
        _, octets = a_dem(surname)
        file = file_name(software.desk, at, PEOPLE.index(surname) + 1), octets
        mails.append(world.installation.request(software, [file], message_id=f"<{surname}@lille.example>", at=at))
    world.post(mails, to=to)


def told(world: MailWorld) -> list[tuple[str, int, str]]:
    """Digest of the file, position and number of every creation that the desk was told, in their order."""
    (software,) = world.software
    opened = [world.installation.open(software, raw, datetime.now(UTC)) for raw in world.dovecot.messages("lille")]
    files = [read_creations(octets) for one in opened for name, octets in one.files.items() if name[:3] == "RET"]
    return [(file.digest, position, number) for file in files for position, number in file.numbers]
