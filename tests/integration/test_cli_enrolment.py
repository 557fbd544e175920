"""Enrolments as a file, and certificates that end: what operators type, and what they are told."""

from pathlib import Path

from mailflow.demo.installation import SERVICE, DeskSoftware
from mailflow.demo.pki import DAY, Fault, Pki
from tests.integration.test_cli import (  # noqa: F401  fixtures of the same world
    DONE,
    SET_ASIDE,
    USAGE,
    Run,
    enrol,
    installation,
    listed,
    pem_file,
    pki,
    run,
    software,
    template,
)


def test_certificates_that_end_soon_are_listed_until_another_follows(run: Run, pki: Pki, tmp_path: Path) -> None:  # noqa: F811  the fixtures
    soon = pki.issue("soon", ends=20 * DAY)
    assert listed(run, "sender", "expiring") == []
    enrol(run, pem_file(tmp_path, soon), "--apply")
    (row,) = listed(run, "sender", "expiring")
    facts = ("roubaix", "encrypt sign", soon.fingerprint, f"{soon.certificate.serial_number:x}")
    assert (row["sender"], row["uses"], row["fingerprint"], row["serial"]) == facts
    assert (row["days"], "CN=soon" in row["subject"]) == (19, True)
    assert listed(run, "sender", "expiring", "--days", "19") == []
    assert "No certificate of a sender ends within 19 days" in run("sender", "expiring", "--days", "19")[1]
    follows = pem_file(tmp_path, pki.issue("follows"))
    run("sender", "amend", "roubaix", "--sign", follows, "--encrypt", follows, "--apply")
    assert listed(run, "sender", "expiring") == []


def test_enrolments_are_exported_reviewed_and_imported(run: Run, tmp_path: Path) -> None:  # noqa: F811  the fixtures
    file = tmp_path / "enrolment.toml"
    assert run("enrolment", "export", file)[:2] == (DONE, f"Written to {file}.\n")
    text = file.read_text(encoding="utf-8")
    assert run("enrolment", "export")[:2] == (DONE, text)
    assert listed(run, "enrolment", "export")["sender"][0]["code"] == "lille"
    assert run("enrolment", "import", file, "--apply")[:2] == (DONE, f"The register is as {file} says.\n")
    file.write_text(text.replace('territory = "059"', 'territory = "062"'), encoding="utf-8")
    code, out, _ = run("enrolment", "import", file)
    said = [line[: len("would: + sender lille: the mandate for Z0001 in 062")] for line in out.splitlines()]
    assert (code, said[:2]) == (
        DONE,
        ["would: + sender lille: the mandate for Z0001 in 062", "would: - sender lille: the mandate for Z0001 in 059"],
    )
    code, out, err = run("enrolment", "import", file, "--apply")
    assert (code, out, "1 steps take rights away" in err) == (USAGE, "", True)
    assert [mandate["until"] for mandate in listed(run, "mandate", "list")] == [None]
    assert run("enrolment", "import", file, "--take-away", "--why", "moved", "--apply")[0] == DONE
    assert [mandate["territory"] for mandate in listed(run, "mandate", "list") if not mandate["until"]] == ["062"]
    assert run("enrolment", "import", file, "--apply")[:2] == (DONE, f"The register is as {file} says.\n")


def test_a_file_of_enrolments_that_is_wrong_changes_nothing(run: Run, tmp_path: Path) -> None:  # noqa: F811  the fixtures
    file = tmp_path / "enrolment.toml"
    run("enrolment", "export", file)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"ecole"', '"production"'), encoding="utf-8")
    code, out, err = run("enrolment", "import", file, "--apply")
    place = text.splitlines().index('environment = "ecole"') + 1
    assert (code, out) == (SET_ASIDE, "")
    assert f"mailflow: {file}:\n  line {place}: environment: this register is that of ecole" in err


def test_certificates_in_a_file_are_doubted_like_others(run: Run, pki: Pki, tmp_path: Path) -> None:  # noqa: F811  the fixtures
    file, bad = tmp_path / "enrolment.toml", pki.faulty(Fault.OTHER_AUTHORITY)
    run("enrolment", "export", file)
    with file.open("a", encoding="utf-8") as more:
        more.write('[[sender]]\ncode = "roubaix"\nname = "R"\nstanding = "active"\naddresses = []\n')
        more.write('answers_to = "a@roubaix.example"\nlegacy_encryption = false\n')
        more.write(f'[[sender.certificate]]\nsign = "active"\npem = """\n{bad.pem.decode()}"""\n')
    code, out, err = run("enrolment", "import", file)
    assert (code, f"+ sender roubaix: accept certificate {bad.fingerprint} to sign" in out) == (DONE, True)
    assert f"warning: enrolment.toml {bad.fingerprint[:16]}, to sign: CTRL_SIG_0014" in err


def test_a_certificate_that_a_sender_offered_by_mail_is_accepted_or_declined(
    run: Run,  # noqa: F811  the fixtures
    software: DeskSoftware,  # noqa: F811  the fixtures
    pki: Pki,  # noqa: F811  the fixtures
    tmp_path: Path,
) -> None:
    old_certificate, old_key = software.identity.write(tmp_path / "old")
    offered = []
    for number, name in enumerate(("first", "second")):
        new = pki.issue(name)
        certificate, key = new.write(tmp_path / name)
        making = ("--key", key, "--certificate", certificate, "--follows", old_certificate, "--to", SERVICE)
        code, out, _ = run("desk-client", "successor", *making, "--desk", "Z0001", "--out", tmp_path / name)
        assert code == DONE
        mail = tmp_path / f"{number}.eml"
        sending = ("--from", software.address, "--to", SERVICE, "--out", mail)
        run("desk-client", "send", out.strip(), "--key", old_key, "--certificate", old_certificate, *sending)
        run("ingest", mail, "--apply")
        offered.append(new.fingerprint)
    assert [row["fingerprint"] for row in listed(run, "sender", "successors")] == offered
    code, out, _ = run("sender", "accept", "lille", offered[0][:16])
    assert (code, out.startswith("would: enrol for lille"), offered[0] in out) == (DONE, True, True)
    assert run("sender", "accept", "lille", offered[0][:16], "--why", "called them", "--apply")[0] == DONE
    assert run("sender", "decline", "lille", offered[1][:16], "--why", "not theirs", "--apply")[0] == DONE
    assert listed(run, "sender", "successors") == []
    (sender,) = listed(run, "sender", "list")
    assert [f"{use}:{offered[0][:16]}" in sender["certificates"] for use in ("sign", "encrypt")] == [True, True]
    assert offered[1][:16] not in sender["certificates"]
    assert run("sender", "accept", "lille", offered[1][:16])[0] == USAGE
