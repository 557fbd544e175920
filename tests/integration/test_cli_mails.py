"""The command line on mails: verify, ingest, queue and show, the desk's client; and `init`."""

import asyncio
import json
import stat
import sys
from datetime import timedelta
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from cryptography import x509

from mailflow import app
from mailflow.cli.main import call
from mailflow.cli.service_keys import service_key_pair
from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.installation import SERVICE, DeskSoftware, Installation
from mailflow.register import outbox
from mailflow.settings import load
from tests.integration.test_cli import (
    CONFIGURATION,
    DONE,
    NOW,
    SET_ASIDE,
    Run,
    installation,
    listed,
    pki,
    run,
    software,
    template,
)

__all__ = ["installation", "pki", "run", "software", "template"]

TEMPORARY = 75


def a_dem(surname: str = "Durand", *, days_ahead: int = 0) -> tuple[str, bytes]:
    day = (NOW + timedelta(days=days_ahead)).date() - timedelta(days=2 if not days_ahead else 0)
    who = Person(surname=surname, first_name="Zoé", born_on=NOW.date().replace(year=1990, day=1))
    form = request_form(who, desk="Z0001", deposited_on=day, municipalities=["59350"])
    return file_name("Z0001", NOW, 1), request_file([form], made_at=NOW - timedelta(minutes=1))


@pytest.fixture
def mail(installation: Installation, software: DeskSoftware, tmp_path: Path) -> Path:
    """A good request mail in a file."""
    file = tmp_path / "good.eml"
    file.write_bytes(installation.request(software, [a_dem()], message_id="<1@lille.example>", at=NOW))
    return file


# verify


def test_verify_tells_every_step_of_a_good_mail(run: Run, mail: Path) -> None:
    code, out, _ = run("verify", mail)
    assert (code, "FAIL" in out) == (DONE, False)
    assert out.endswith("The mail: accepted.\n")
    told = listed(run, "verify", str(mail))
    assert (told["verdict"], told["anomalies"]) == ("accepted", [])
    assert [step["name"] for step in told["steps"]][:3] == ["mime", "decrypted", "signed"]
    assert run("queue")[1].startswith("Nothing is waiting."), "nothing was taken in"


def test_verify_tells_what_is_wrong_and_where(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.eml"
    contents = [a_dem(days_ahead=9)]
    file.write_bytes(installation.request(software, contents, message_id="<2@lille.example>", at=NOW))
    code, out, _ = run("verify", file)
    assert code == SET_ASIDE
    assert "CTRL_DEM_0010 (erreur) /interfaceNuu/demande[1]/demandeLogement/dateCreationDemande" in out
    assert "Durand" not in out


def test_verify_of_a_mail_that_proves_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "unsigned.eml"
    file.write_bytes(b"From: a@b.example\r\n\r\nBonjour\r\n")
    code, out, _ = run("verify", file)
    assert code == SET_ASIDE
    assert "FAIL  signed" in out
    assert "The mail: set aside, never answered." in out


def test_verify_judges_as_of_the_reception(run: Run, mail: Path) -> None:
    late = f"{NOW + timedelta(days=8):%Y-%m-%dT%H:%M:%SZ}"
    code, out, _ = run("verify", mail, "--received-at", late)
    assert (code, "CTRL_SIG_0010" in out) == (SET_ASIDE, True)


def test_verify_reads_standard_input(run: Run, mail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(mail.read_bytes())))
    assert run("verify", "-")[0] == DONE


# ingest, queue, show


def test_ingest_only_plans_unless_told(run: Run, mail: Path) -> None:
    code, out, _ = run("ingest", mail)
    assert (code, out.startswith("would: take in 1 mails")) == (DONE, True)
    assert run("queue")[1].startswith("Nothing is waiting.")


def test_what_was_ingested_is_registered_waits_for_its_server_and_can_be_looked_up(run: Run, mail: Path) -> None:
    code, out, _ = run("ingest", mail, "--apply", "--json")
    progress = json.loads(out)
    assert (progress["received"], progress["registered"], progress["composed"]) == (1, 1, 1)
    assert (code, progress["sent"]) == (TEMPORARY, 0), "there is no mail server"

    (answer,) = listed(run, "queue")
    assert (answer["what"], answer["intake"], answer["state"]) == ("answer", 1, "composed")
    assert answer["left"].startswith("11 h ")

    told = listed(run, "show", "1")
    (number,) = {entry["number"] for entry in told["history"]} - {None}
    assert (told["state"], told["sender"]) == ("answered", "lille")
    assert [entry["kind"] for entry in told["history"]][:2] == ["file-decided", "registered"]

    request = listed(run, "show", number)
    assert (request["number"], request["territory"], request["desk"], request["state"]) == (
        *(number, "059", "Z0001"),
        "active",
    )
    for command in (["show", "1"], ["show", number], ["queue"]):
        code, out, _ = run(*command)
        assert code == DONE
        assert not [secret for secret in ("Durand", "Zoé", "1990", "allée") if secret in out]


def test_the_forecast_and_the_report_tell_of_what_was_ingested(run: Run, mail: Path) -> None:
    assert run("forecast")[:2] == (DONE, "Nothing is waiting.\n")
    run("ingest", mail, "--apply")
    code, out, _ = run("forecast")
    assert code == DONE
    assert out.startswith("Waiting for an answer: 1; the next deadline is in 11 h 5")
    assert [word for word in ("composed", "lille", "Z0001") if word not in out] == []
    assert run("queue")[1].startswith("Waiting for an answer: 1;")
    facts = listed(run, "forecast")
    assert (facts["waiting"], facts["late"], len(facts["histogram"])) == (1, 0, 1)
    assert facts["histogram"][0]["counts"] == [1, 0, 0, 0, 0, 0, 0]

    month = legal_day(NOW)
    assert run("report", "--month", f"{month:%Y-%m}")[:2] == (
        DONE,
        f"{month:%m/%Y}: 0 answers, 0 after their deadline.\n",
    )


@pytest.mark.parametrize(("hours", "code"), [(2, DONE), (13, SET_ASIDE)])
def test_what_left_too_late_is_reported_as_a_breach(
    run: Run, installation: Installation, mail: Path, hours: int, code: int
) -> None:
    run("ingest", mail, "--apply")
    asyncio.run(_left(installation, hours))
    month = f"{legal_day(NOW + timedelta(hours=hours)):%Y-%m}"
    assert run("report", "--month", month)[0] == code
    found = json.loads(run("report", "--month", month, "--json")[1])
    assert (found["answers"], found["breaches"]) == (1, int(code == SET_ASIDE))
    assert [one["intake"] for one in found["worst"]] == [1]
    assert found["percentiles"]["50"] == found["worst"][0]["seconds"] > (hours - 1) * 3600


async def _left(installation: Installation, hours: int) -> None:
    """As if the answer had left so long after the mail came."""
    async with app.register_of(load(installation.config)) as register, register.begin() as tx:
        await outbox.mark_sent(tx, [1], NOW + timedelta(hours=hours))


def test_the_same_mails_given_again_are_known(run: Run, mail: Path) -> None:
    run("ingest", mail, "--apply")
    again = json.loads(run("ingest", mail, "--apply", "--json")[1])
    assert (again["received"], again["registered"], again["answered"]) == (0, 0, 0)


def test_what_proves_nothing_is_found_among_what_was_set_aside(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "unsigned.eml"
    file.write_bytes(b"From: a@b.example\r\n\r\nBonjour\r\n")
    assert run("ingest", file, "--apply")[0] == SET_ASIDE
    (row,) = listed(run, "queue", "--set-aside")
    assert (row["intake"], row["reason"]) == (1, "CTRL_SIG_0001")
    assert listed(run, "queue") == []


def test_mails_come_from_folders_and_mailboxes_of_the_usual_kinds(run: Run, mail: Path, tmp_path: Path) -> None:
    raw = mail.read_bytes()
    mbox = tmp_path / "some.mbox"
    mbox.write_bytes(
        b"From a@b.example Mon Mar  2 09:00:00 2026\n" + raw.replace(b"\r\n", b"\n") + b"\n" + b"From x\n\n"
    )
    maildir = tmp_path / "maildir"
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True)
    (maildir / "new/1").write_bytes(raw)
    (maildir / "cur/2:2,S").write_bytes(raw)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.eml").write_bytes(raw)
    (folder / "b.txt").write_bytes(raw)
    for path, count in ((mbox, 2), (maildir, 2), (folder, 1)):
        assert f"take in {count} mails" in run("ingest", path)[1]


# init


@pytest.fixture
def fresh(tmp_path: Path, installation: Installation) -> Path:
    """Settings alone, in a folder of their own."""
    config = tmp_path / "fresh/mailflow.toml"
    config.parent.mkdir()
    config.write_bytes(installation.config.read_bytes())
    return config


def test_init_writes_the_settings_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "new/mailflow.toml"
    assert call(["--config", str(config), "init"]) == DONE
    assert not config.exists()
    assert call(["--config", str(config), "init", "--apply"]) == DONE
    assert config.exists()
    assert "Now edit" in capsys.readouterr().out
    assert call(["--config", str(config), "init", "--apply"]) in (DONE, CONFIGURATION)


def test_init_makes_what_is_missing_closed_to_others_and_nothing_twice(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["--config", str(fresh), "init"]) == DONE
    assert [path.name for path in fresh.parent.iterdir()] == ["mailflow.toml"]
    assert call(["--config", str(fresh), "init", "--apply"]) == DONE
    made = {path: path.read_bytes() for path in fresh.parent.rglob("*") if path.is_file()}
    private = [path for path in made if path.suffix == ".key" or "PRIVATE" in made[path].decode("latin-1")]
    assert len(private) >= 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    capsys.readouterr()
    assert call(["--config", str(fresh), "init", "--apply"]) == DONE
    assert "does: make" not in capsys.readouterr().out
    assert {path: path.read_bytes() for path in made if path.suffix != ".db"} == {
        path: octets for path, octets in made.items() if path.suffix != ".db"
    }


def test_a_key_for_both_uses_is_made_once_and_fit_for_both(fresh: Path) -> None:
    assert call(["--config", str(fresh), "init", "--apply"]) == DONE
    certificate = x509.load_pem_x509_certificate((fresh.parent / "keys/service.pem").read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment) == (True, True)


@pytest.mark.parametrize(("use", "expected"), [("signing", (True, False)), ("decryption", (False, True))])
def test_a_key_for_one_use_is_fit_for_no_other(use: str, expected: tuple[bool, bool]) -> None:
    pair = service_key_pair("Service", SERVICE, use, NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment) == expected


def test_init_completes_what_lacks_a_part(fresh: Path) -> None:
    assert call(["--config", str(fresh), "init", "--apply"]) == DONE
    lookup = next(path for path in fresh.parent.rglob("*.key") if "lookup" in path.name)
    (fresh.parent / "trust/crls").rmdir()
    assert call(["--config", str(fresh), "init", "--apply"]) == DONE
    assert (fresh.parent / "trust/crls").is_dir()
    assert lookup.is_file()


def test_a_register_does_not_open_for_the_other_environment(run: Run, installation: Installation) -> None:
    text = installation.config.read_text(encoding="utf-8")
    installation.config.write_text(text.replace('environment = "ecole"', 'environment = "production"'))
    for command in (["queue"], ["init", "--apply"], ["run", "--once"]):
        code, _, err = run(*command)
        assert code == CONFIGURATION
        assert "environment: should be `ecole`, for which this register was made" in err
