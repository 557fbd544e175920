"""The command line without servers: plans, acts, exit codes, and what it says when something is wrong."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailflow.cli.main import call, cli
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Fault, Pki
from tests.support.documents import ROOT, walk

NOW = datetime.now(UTC)
SERVERS = MailServers(imap_port=1, smtp_port=1, service_user="demandes", audit_user="audit", password="secret")
DONE, USAGE, SET_ASIDE, CONFIGURATION = 0, 2, 65, 78


@pytest.fixture(scope="session")
def pki() -> Pki:
    return Pki(at=NOW)


@pytest.fixture(scope="session")
def software(pki: Pki) -> DeskSoftware:
    return DeskSoftware(
        sender="lille", desk="Z0001", territory="059", address="logiciel@lille.example", identity=pki.issue("lille")
    )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, pki: Pki, software: DeskSoftware) -> Path:
    """An installation with one sender, to be copied."""
    installation = Installation(tmp_path_factory.mktemp("cli") / "service", pki, SERVERS)
    installation.create()
    installation.enrol(software)
    return installation.folder


@pytest.fixture
def installation(template: Path, tmp_path: Path, pki: Pki) -> Installation:
    shutil.copytree(template, tmp_path / "service")
    return Installation(tmp_path / "service", pki, SERVERS)


Said = tuple[int, str, str]
Run = Callable[..., Said]


@pytest.fixture
def run(installation: Installation, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the installation; its exit code, what it said, and what it complained of."""

    def command(*arguments: str | Path) -> Said:
        capfd.readouterr()
        code = call(["--config", str(installation.config), *map(str, arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


def listed(run: Run, *command: str) -> Any:
    code, out, _ = run(*command, "--json")
    assert code == DONE
    return json.loads(out)


def pem_file(folder: Path, identity: Identity) -> Path:
    file = folder / f"{identity.name}.pem"
    file.write_bytes(identity.pem)
    return file


def enrol(run: Run, certificate: Path, *more: str | Path, code: str = "roubaix") -> Said:
    return run("sender", "add", code, "--name", "R", "--address", f"a@{code}.example", "--sign", certificate, *more)


# Plans and acts


def test_a_plan_changes_nothing(run: Run, pki: Pki, tmp_path: Path) -> None:
    certificate = pem_file(tmp_path, pki.issue("roubaix"))
    before = [listed(run, group, "list") for group in ("sender", "desk", "mandate")]
    for command in (
        ["sender", "add", "roubaix", "--name", "R", "--address", "a@roubaix.example", "--sign", certificate],
        ["sender", "suspend", "lille"],
        ["desk", "add", "Z0002", "--name", "R", "--address", "1 place"],
        ["desk", "suspend", "Z0001"],
        ["mandate", "add", "lille", "Z0001", "111"],
        ["mandate", "suspend", "lille", "Z0001", "059"],
    ):
        code, out, err = run(*command)
        assert (code, err) == (DONE, "")
        assert out.startswith("would: ")
        assert out.endswith("Nothing was changed. Add --apply to do it.\n")
    assert [listed(run, group, "list") for group in ("sender", "desk", "mandate")] == before


def test_what_was_enrolled_is_listed(run: Run, software: DeskSoftware) -> None:
    (sender,) = listed(run, "sender", "list")
    assert (sender["code"], sender["standing"], sender["addresses"]) == ("lille", "active", "logiciel@lille.example")
    assert software.identity.fingerprint[:16] in sender["certificates"]
    assert listed(run, "desk", "list") == [
        {
            "code": "Z0001",
            "name": "Guichet Z0001",
            "address": "1 place de la République, 59000 Lille",
            "standing": "active",
        }
    ]
    (mandate,) = listed(run, "mandate", "list")
    assert (mandate["sender"], mandate["desk"], mandate["territory"], mandate["rights"]) == (
        *("lille", "Z0001", "059"),
        "CRE",
    )
    for group, word in (("sender", "lille"), ("desk", "Z0001"), ("mandate", "059")):
        assert word in run(group, "list")[1]


@pytest.mark.parametrize(("group", "code"), [("sender", "lille"), ("desk", "Z0001")])
def test_senders_and_desks_are_suspended_and_released(run: Run, group: str, code: str) -> None:
    for command, standing in (("suspend", "suspended"), ("release", "active")):
        assert run(group, command, code, "--why", "test", "--apply")[0] == DONE
        assert [one["standing"] for one in listed(run, group, "list")] == [standing]


def test_a_mandate_is_ended_and_given_anew(run: Run) -> None:
    assert run("mandate", "suspend", "lille", "Z0001", "059", "--on", "2030-12-31", "--apply")[0] == DONE
    assert [one["until"] for one in listed(run, "mandate", "list")] == ["2030-12-31"]
    added = run("mandate", "add", "lille", "Z0001", "059", "--right", "consulter", "--from", "2031-01-01", "--apply")
    assert added[0] == DONE
    assert [one["rights"] for one in listed(run, "mandate", "list")] == ["CRE", "consulter"]


# What is wrong


WRONG: dict[str, tuple[list[str], int, str]] = {
    "territory": (["mandate", "add", "lille", "Z0001", "999"], USAGE, "999 is no territory"),
    "right": (["mandate", "add", "lille", "Z0001", "059", "--right", "XYZ"], USAGE, "XYZ"),
    "day": (["mandate", "add", "lille", "Z0001", "059", "--until", "31/12/2026"], USAGE, "31/12/2026"),
    "desk code": (["desk", "add", "z1", "--name", "x", "--address", "y"], USAGE, "z1 should have five characters"),
    "desk of production": (["desk", "add", "59123", "--name", "x", "--address", "y"], USAGE, "codes that begin with Z"),
    "address": (
        ["sender", "add", "x", "--name", "x", "--address", "A <a@b.example>", "--sign", __file__],
        USAGE,
        "should be a bare address",
    ),
    "no such file": (
        ["sender", "add", "x", "--name", "x", "--address", "a@b.example", "--sign", "nowhere.pem"],
        USAGE,
        "nowhere.pem",
    ),
    "no certificate": (
        ["sender", "add", "x", "--name", "x", "--address", "a@b.example", "--sign", __file__],
        SET_ASIDE,
        "no CERTIFICATE in it",
    ),
    "sender": (["sender", "suspend", "nobody", "--apply"], SET_ASIDE, "there is no such sender"),
    "sender of a mandate": (["mandate", "add", "nobody", "Z0001", "059", "--apply"], SET_ASIDE, "no sender nobody"),
    "desk of a mandate": (["mandate", "add", "lille", "Z0009", "059", "--apply"], SET_ASIDE, "there is no desk Z0009"),
    "mandate": (["mandate", "suspend", "lille", "Z0001", "111", "--apply"], SET_ASIDE, "there is no such mandate"),
    "desk again": (
        ["desk", "add", "Z0001", "--name", "x", "--address", "y", "--apply"],
        SET_ASIDE,
        "there is such a desk already",
    ),
    "number": (["show", "059112500000059123"], 65, "no such number"),
    "intake": (["show", "99"], 65, "there is no intake 99"),
    "mail": (["verify", "nowhere.eml"], 65, "nowhere.eml: cannot be read"),
    "command": (["frobnicate"], USAGE, "No such command"),
}


@pytest.mark.parametrize(("command", "code", "word"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_a_sentence(run: Run, command: list[str], code: int, word: str) -> None:
    found, out, err = run(*command)
    assert found == code
    assert word in err
    assert "does:" not in out


def test_a_command_without_settings_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--config", str(tmp_path / "none.toml"), "queue"]) == CONFIGURATION
    assert "none.toml" in capsys.readouterr().err


def test_a_register_without_tables_says_what_to_do(run: Run, installation: Installation) -> None:
    for file in installation.folder.glob("register.db*"):
        file.unlink()
    code, _, err = run("sender", "list")
    assert (code, "mailflow init" in err) == (CONFIGURATION, True)


# Certificates


def test_a_good_certificate_is_enrolled_without_a_word(run: Run, pki: Pki, tmp_path: Path) -> None:
    assert enrol(run, pem_file(tmp_path, pki.issue("roubaix")), "--apply")[::2] == (DONE, "")
    assert [one["code"] for one in listed(run, "sender", "list")] == ["lille", "roubaix"]


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault.EXPIRED, "CTRL_SIG_0013"),
        (Fault.NOT_YET_VALID, "CTRL_SIG_0013"),
        (Fault.REVOKED, "CTRL_SIG_0015"),
        (Fault.OTHER_AUTHORITY, "CTRL_SIG_0014"),
        (Fault.TLS_ONLY, "CTRL_SIG_0017"),
        (Fault.RSA_1024, "CTRL_SIG_0006"),
        (Fault.MISSING_CRL, "CTRL_SIG_0016"),
    ],
)
def test_a_doubtful_certificate_is_enrolled_with_a_warning(
    run: Run, pki: Pki, tmp_path: Path, fault: Fault, word: str
) -> None:
    certificate = pem_file(tmp_path, pki.faulty(fault))
    for option in ((), ("--apply",)):
        code, out, err = enrol(run, certificate, *option)
        assert code == DONE
        assert [line.startswith(f"warning: {certificate}, to ") for line in err.splitlines()] == [True, True]
        assert word in err
        assert out.startswith("does: " if option else "would: ")


def test_a_certificate_that_only_signs_is_doubted_for_answers_alone(run: Run, pki: Pki, tmp_path: Path) -> None:
    _, _, err = enrol(run, pem_file(tmp_path, pki.issue("roubaix", usage="sign")))
    (line,) = err.splitlines()
    assert ", to encrypt: CTRL_SIG_0017" in line


def test_what_only_looks_like_a_certificate_is_refused(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.der"
    broken.write_bytes(b"\x30\x03\x02\x01\x01")
    code, out, err = enrol(run, broken, "--apply")
    assert (code, out) == (SET_ASIDE, "")
    assert "broken.der: holds no certificate that can be read" in err
    assert len(listed(run, "sender", "list")) == 1


def test_a_certificate_of_another_sender_is_refused_by_name(run: Run, software: DeskSoftware, tmp_path: Path) -> None:
    code, _, err = enrol(run, pem_file(tmp_path, software.identity), "--apply")
    assert (code, "enrolled for lille already" in err) == (SET_ASIDE, True)
    assert len(listed(run, "sender", "list")) == 1


def test_without_anchors_certificates_are_not_checked_and_that_is_said(
    run: Run, installation: Installation, pki: Pki, tmp_path: Path
) -> None:
    shutil.rmtree(installation.folder / "trust/anchors")
    (installation.folder / "trust/anchors").mkdir()
    code, _, err = enrol(run, pem_file(tmp_path, pki.issue("roubaix")), "--apply")
    assert (code, err.startswith("warning: the certificates were not checked")) == (DONE, True)


# Looking


def test_an_empty_queue(run: Run) -> None:
    assert run("queue")[1].startswith("Nothing is waiting.")
    assert run("queue", "--set-aside")[1] == "Nothing was set aside.\n"
    assert listed(run, "queue") == listed(run, "queue", "--set-aside") == []


def test_duplicates_and_homonyms_are_asked_for(run: Run) -> None:
    assert listed(run, "duplicates", "list", "--territory", "059") == []
    unknown = ("homonym", "release", "DEMZ0001-202601151030-000001.xml")
    for more in ([], ["--apply", "--why", "cousins"]):
        code, _, err = run(*unknown, *more)
        assert (code, "no such file" in err) == (SET_ASIDE, True)
    code, _, err = run(*unknown, "--apply")
    assert (code, "--why" in err) == (USAGE, True)
    code, _, err = run("homonym", "release", "durand.xml")
    assert (code, "refused file" in err) == (USAGE, True)


def test_check_config_finds_everything_in_order_offline(run: Run, installation: Installation) -> None:
    code, out, _ = run("check-config", "--offline")
    assert (code, out.count("ok  "), "FAIL" in out) == (DONE, 11, False)
    assert {finding["ok"] for finding in listed(run, "check-config", "--offline")} == {True}
    (installation.folder / "keys/service.key").chmod(0o644)
    assert run("check-config", "--offline")[0] == CONFIGURATION


def test_every_command_has_help_with_an_example(run: Run) -> None:
    for name, command in walk(cli):
        code, out, _ = run(*name.split(), "--help")
        assert code == DONE
        assert "Example: mailflow" in " ".join(out.split()), name
        assert command.get_short_help_str(200)


# Reference data


def test_reference_data_are_loaded_by_plan_and_shown(run: Run) -> None:
    files = [str(ROOT / "config" / name) for name in ("bailleurs.csv", "commissions.csv")]
    assert listed(run, "reference", "show")[0]["commission"] == ""
    assert "no landlords known in 59" in run("reference", "show")[2]
    assert "no mediation commission known in 59; no landlords known in 59" in run("check-config", "--offline")[1]
    code, out, err = run("reference", "load", *files)
    assert (code, err) == (DONE, "")
    assert "would: load bailleurs.csv: 13 landlords, 13 new or changed, 0 taken away or changed" in out
    assert listed(run, "reference", "show")[0]["edition"] == 1
    code, out, err = run("reference", "load", *files, "--apply")
    assert (code, err) == (DONE, "")
    (territory,) = listed(run, "reference", "show")
    assert (territory["months"], territory["municipalities"], territory["edition"]) == (18, 5, 3)
    (lille,) = listed(run, "reference", "show", "59350")
    assert lille["landlords"] == "Habitat d'exemple, Office public d'exemple, Toits du Nord (exemple)"
    assert "edition 3" in run("check-config", "--offline")[1]


def test_a_file_of_reference_data_that_is_wrong_changes_nothing(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "bailleurs.csv"
    wrong.write_text("commune;siren;bailleur\n59350;1;Un\n", encoding="utf-8")
    code, _, err = run("reference", "load", wrong, "--apply")
    assert code == SET_ASIDE
    assert "bailleurs.csv: line 2, column siren: is no SIREN" in err
    sample = ROOT / "config/bailleurs.csv"
    assert run("reference", "load", sample, sample)[0] == USAGE
    assert run("reference", "show", "99999")[0] == USAGE
    assert listed(run, "reference", "show")[0]["edition"] == 1


def test_a_number_without_attestations_says_so(run: Run, tmp_path: Path) -> None:
    assert "No attestation was issued" in run("attestation", "059112600000159123")[1]
    for more in ([], ["--anew"]):
        code, _, err = run("attestation", "059112600000159123", "--out", tmp_path / "a.pdf", *more)
        assert code == SET_ASIDE
        assert "number" in err
    assert not (tmp_path / "a.pdf").exists()
    assert run("attestation", "059112600000159123", "--anew")[0] == USAGE
