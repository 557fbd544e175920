"""The commands of the guide for vendors are run as they stand there: from a certificate to a number."""

import re
import subprocess
from datetime import datetime
from email import message_from_bytes
from pathlib import Path
from textwrap import dedent

import pytest

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import file_name, request_file, request_form
from mailflow.demo.installation import SERVICE
from mailflow.demo.story import LILLE, MARTIN
from mailflow.mail.successor import read_successor
from mailflow.wire.names import return_name
from tests.acceptance.world import World, shell
from tests.support.available import require
from tests.support.mail_world import ROOT

SAMPLE = "DEMZ0001-202601151030-000001.xml"
NEW = "NCE59123-202611251030.pem"
SENDMAIL = "#!/bin/sh\nprintf '%s\\n' \"$@\" > envelope; cat > sent.eml\n"


def commands(document: str) -> list[str]:
    """The shell commands that the guide gives to copy, block by block."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in blocks]


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Path:
    """A folder with what a vendor has: keys, the certificates of the service, the published schemas."""
    lille = world.software[0]
    (tmp_path / "desk.pem").write_bytes(lille.identity.pem)
    (tmp_path / "desk.key").write_bytes(lille.identity.key_pem)
    (tmp_path / "service.pem").write_bytes(world.pki.service_rsa.pem)
    chain = b"".join(authority.identity.pem for authority in (world.pki.issuing_rsa, world.pki.issuing_ec))
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "anchors.pem").write_bytes(world.pki.root.identity.pem + chain)
    (tmp_path / "schemas").symlink_to(ROOT / "schemas")
    sendmail = tmp_path / "bin" / "sendmail"
    sendmail.parent.mkdir()
    sendmail.write_text(SENDMAIL)
    sendmail.chmod(0o755)
    return tmp_path


def run(folder: Path, command: str) -> None:
    (folder / "typed.sh").write_text(f"PATH=$PWD/bin:$PATH\n{command}", encoding="utf-8")
    shell(folder / "typed.sh", folder, {})


def test_the_commands_to_copy_bring_a_number(world: World, desk: Path, at: datetime) -> None:
    require("xmllint")
    lille = world.software[0]
    name = file_name(lille.desk, at, 1)
    form = request_form(MARTIN, desk=lille.desk, deposited_on=legal_day(at), municipalities=[LILLE])
    (desk / name).write_bytes(request_file([form], made_at=at))
    # What a vendor would put in: the name of the file, the addresses.
    own = {SAMPLE: name, "logiciel@desk.example": lille.address, "demandes@example.org": SERVICE}
    make_key, check, offer, send, read = (
        re.sub("|".join(own), lambda found: own[found[0]], block)
        for document in ("interface.md", "message.md")
        for block in commands(document)
    )
    run(desk, make_key.replace("desk.key", "new.key"))
    subject = subprocess.run(
        ["openssl", "req", "-in", "desk.csr", "-noout", "-verify", "-subject"],
        cwd=desk,
        capture_output=True,
        check=True,
    )
    assert "Éditeur Exemple".encode() in subject.stdout
    run(desk, check)
    run(desk, send)
    world.send((desk / "sent.eml").read_bytes(), lille)
    assert world.mailflow("run", "--once").code == 0
    world.settle()
    (answer,) = world.dovecot.messages(lille.sender)
    (desk / "answer.eml").write_bytes(answer)
    run(desk, read)
    content = message_from_bytes((desk / "content.eml").read_bytes())
    (returned,) = (part.get_payload(decode=True) for part in content.walk() if part.get_filename() == return_name(name))
    assert isinstance(returned, bytes)
    assert b"numUnique" in returned
    new = world.pki.issue("new")
    (desk / "new.pem").write_bytes(new.pem)
    (desk / "new.key").write_bytes(new.key_pem)
    run(desk, offer)
    proof = read_successor((desk / NEW).read_bytes(), [SERVICE], lille.identity.fingerprint, at)
    assert proof.signers[0].certificate == new.der
