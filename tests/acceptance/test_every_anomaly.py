"""Every code of the catalogue is provoked by a story that goes through the real worker; or it is said why none can."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import Right
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Fault, Pki
from mailflow.wire.samples.story import SAMPLE_TIME
from tests.acceptance.provocations import contents, files, lives, mails
from tests.acceptance.provocations.stage import Script, Stage, play
from tests.acceptance.story import STORIES as FOLDERS
from tests.support.available import require
from tests.support.clock import shifted
from tests.support.mail_world import ROOT, MailWorld

STORIES: dict[Code, Script] = {**mails.STORIES, **files.STORIES, **contents.STORIES, **lives.STORIES}
BY_OTHER_TESTS: dict[Code, tuple[str, str]] = {
    Code.SCHOOL_DESK: (
        "only production tells it, and stories are played in the school",
        "tests/integration/test_registrar_rights.py",
    ),
    Code.INTERNAL_FAULT: ("only a fault of ours brings it, which is injected", "tests/integration/test_stages.py"),
    Code.MAIL_REJECTED: ("only an operator tells it", "tests/integration/test_rejecting.py"),
    Code.DESK_SUSPENDED: (
        "the operator suspends a desk between two mails",
        "tests/acceptance/test_enrolment.py",
    ),
}
"""Why no story here provokes it, and where it is provoked."""
OPERATIONS = tuple(right.value for right in Right if right not in (Right.CONSULT, Right.MANAGE))
EVERYTHING = tuple(right.value for right in Right)


def software(pki: Pki, name: str, desk: str, rights: tuple[str, ...], fault: Fault | None = None) -> DeskSoftware:
    """Answers are encrypted to the certificate that signs."""
    identity = pki.faulty(fault) if fault else pki.issue(name, kind="rsa")
    return DeskSoftware(
        sender=name, desk=desk, territory="059", address=f"{name}@desk.example", identity=identity, rights=rights
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailWorld]:
    """Three desks of one territory, and senders whose certificates are enrolled though they prove nothing."""
    for server in ("dovecot", "postfix"):
        require(server)
    pki = Pki(at=SAMPLE_TIME)
    changes = {
        "limits": {
            "mail_bytes_max": mails.MAIL_BYTES_MAX,
            "request_bytes_max": 20_000,
            "requests_max": mails.REQUESTS_MAX,
            "zip_bytes_max": 200_000,
        }
    }
    senders = (
        software(pki, "ville", "Z0001", OPERATIONS),
        software(pki, "voisin", "Z0002", (*OPERATIONS, Right.CONSULT.value)),
        software(pki, "gestion", "Z0003", EVERYTHING),
        software(pki, "suspendu", "Z0004", OPERATIONS),
        software(pki, "autre-autorite", "Z0005", OPERATIONS, Fault.OTHER_AUTHORITY),
        software(pki, "sans-liste", "Z0006", OPERATIONS, Fault.MISSING_CRL),
        software(pki, "autre-usage", "Z0007", OPERATIONS, Fault.TLS_ONLY),
    )
    folder = tmp_path_factory.mktemp("provocations")
    with shifted(SAMPLE_TIME - datetime.now(UTC)), MailWorld(folder, pki, senders, changes=changes) as made:
        made.installation.command("sender", "suspend", "suspendu", "--apply")
        yield made


@pytest.mark.long
def test_each_story_ends_with_its_anomaly(world: MailWorld) -> None:
    told = play(Stage(world=world, at=SAMPLE_TIME), STORIES)
    assert {code.name: told[code].codes for code in STORIES if code not in told[code].codes} == {}


def test_no_code_is_without_a_story() -> None:
    told = "".join(file.read_text(encoding="utf-8") for file in FOLDERS.glob("*/*/expect.toml"))
    assert (
        set(Code) - STORIES.keys() - BY_OTHER_TESTS.keys() - set(re.findall(r"CTRL_[A-Z]{3}_[0-9]{4}", told)) == set()
    )


@pytest.mark.parametrize("code", BY_OTHER_TESTS, ids=lambda code: code.name)
def test_what_is_provoked_elsewhere_is_looked_for_there(code: Code) -> None:
    _, test = BY_OTHER_TESTS[code]
    text = (ROOT / test).read_text(encoding="utf-8")
    assert re.search(rf"Code\.{code.name}\b|{code}|\"{code.name}\"", text)
