"""The desk's client: a desk asks, makes mails that the service accepts, and reads what it answers."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from mailflow import app
from mailflow.demo.installation import SERVICE, DeskSoftware, Installation
from mailflow.register import outbox
from mailflow.settings import load
from tests.integration.test_cli import DONE, SET_ASIDE, Run, installation, pki, run, software, template
from tests.integration.test_cli_mails import a_dem, mail

__all__ = ["installation", "mail", "pki", "run", "software", "template"]


def test_a_desk_makes_a_mail_that_the_service_accepts(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    certificate, key = software.identity.write(tmp_path)
    name, octets = a_dem()
    (tmp_path / name).write_bytes(octets)
    for options in ([], ["--opaque"], ["--legacy", "--encrypt-to", installation.folder / "keys/service.pem"]):
        made = tmp_path / "made.eml"
        code, _, err = run(
            *("desk-client", "send", tmp_path / name, "--key", key, "--certificate", certificate, "--out", made),
            *("--from", software.address, "--to", SERVICE, *options),
        )
        assert code == DONE
        assert err == "warning: the files are of a school desk: only the school takes them, and nothing becomes real\n"
        assert run("verify", made)[0] == DONE


def test_a_desk_reads_its_answer(
    run: Run, installation: Installation, software: DeskSoftware, mail: Path, tmp_path: Path
) -> None:
    raw = answer_of(run, installation, mail)
    (tmp_path / "answer.eml").write_bytes(raw)
    certificate, key = software.identity.write(tmp_path)
    reading = ["desk-client", "read", tmp_path / "answer.eml", "--key", key, "--certificate", certificate]
    service = ["--service", installation.folder / "keys/service.pem"]
    code, out, _ = run(*reading, *service, "--out", tmp_path / "read", "--json")
    told = json.loads(out)
    assert (code, told["in_reply_to"]) == (DONE, "<1@lille.example>")
    assert sorted(file.name for file in (tmp_path / "read").iterdir()) == told["files"]
    assert "numéro unique 059" in run(*reading, *service)[1]
    code, _, err = run(*reading, "--service", certificate)
    assert (code, "mailflow: " in err) == (SET_ASIDE, True)


def answer_of(run: Run, installation: Installation, mail: Path) -> bytes:
    """The answer to the mail, the last that was ingested, as it is frozen in the register."""
    run("ingest", mail, "--apply")

    async def read() -> bytes:
        async with app.register_of(load(installation.config)) as register, register.begin() as tx:
            at = app.now() + timedelta(hours=2)
            *_, row = await outbox.claim_composed(tx, "test", 9, at, at, size_bytes_max=1 << 30)
            return row.raw

    return asyncio.run(read())


def test_a_desk_asks_and_reads_what_is_answered(
    run: Run, installation: Installation, software: DeskSoftware, mail: Path, tmp_path: Path
) -> None:
    certificate, key = software.identity.write(tmp_path)
    run("ingest", mail, "--apply")
    name, _ = a_dem()
    asking = ["desk-client", "ask", "--desk", software.desk, "--out", tmp_path / "asked"]
    code, out, _ = run(*asking, "--file", name, "--reference", "D-1", "--number", "1", "--surname", "X", "--json")
    told = json.loads(out)
    assert (code, told["questions"]) == (DONE, 3)
    sending = ["--key", key, "--certificate", certificate, "--from", software.address, "--to", SERVICE]
    run("desk-client", "send", told["file"], *sending, "--out", tmp_path / "asked.eml")
    (tmp_path / "answer.eml").write_bytes(answer_of(run, installation, tmp_path / "asked.eml"))
    reading = ["desk-client", "read", tmp_path / "answer.eml", "--key", key, "--certificate", certificate]
    code, out, err = run(*reading, "--service", installation.folder / "keys/service.pem", "--json")
    by_file, by_reference, by_number = json.loads(out)["questions"]
    assert by_file["reponse"]["situation"] == "decide"
    assert by_file["reponse"]["listeDemande"][0]["etat"] == "active"
    for unknown in (by_reference, by_number):
        assert [one["code"] for one in unknown["reponse"]["listeAnomalie"]] == ["CTRL_GES_0001"]
    assert err == "warning: this answer is of the environment ecole: nothing in it is real\n"


@pytest.mark.parametrize("options", [[], ["--file", "x", "--desk", "12"], ["--surname", "X"]])
def test_a_desk_that_asks_nothing_or_nonsense_is_told_so(run: Run, tmp_path: Path, options: list[str]) -> None:
    desk = [] if "--desk" in options else ["--desk", "Z0001"]
    code, _, err = run("desk-client", "ask", *desk, *options, "--out", tmp_path / "asked")
    assert code != DONE
    assert err
    assert not list(tmp_path.glob("asked/*"))


def test_files_of_the_school_and_of_real_desks_do_not_go_together(
    run: Run, software: DeskSoftware, tmp_path: Path
) -> None:
    certificate, key = software.identity.write(tmp_path)
    names = ["DEMZ0001-202601151030-000001.xml", "DEM59123-202601151030-000001.xml", "notes.xml"]
    for name in names:
        (tmp_path / name).write_bytes(b"<a/>")
    sending = ["--key", key, "--certificate", certificate, "--from", software.address, "--to", SERVICE]
    sent = [*sending, "--out", tmp_path / "made.eml"]
    assert run("desk-client", "send", *(tmp_path / name for name in names), *sent)[0] == SET_ASIDE
    assert run("desk-client", "send", *(tmp_path / name for name in names[1:]), *sent) == (DONE, "", "")


def test_what_is_wrong_with_a_question_is_told_before_it_is_sent(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    run("desk-client", "ask", "--desk", software.desk, "--out", tmp_path, "--file", "no-name")
    (asked,) = tmp_path.glob("GES*.xml")
    raw = installation.request(software, [(asked.name, asked.read_bytes())], message_id="<9@a.example>", at=app.now())
    (tmp_path / "asked.eml").write_bytes(raw)
    code, out, _ = run("verify", tmp_path / "asked.eml")
    assert code == SET_ASIDE
    assert "CTRL_ENV_0001 (erreur) /gestion/listeQuestion/question[1]/fichier" in out
