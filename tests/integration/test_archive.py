"""Evidence of acceptances: kept with them, verified again from the register alone, and every harm to it is named."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mailflow.core.evidence import Exhibit, ExhibitKind
from mailflow.core.model import Directory
from mailflow.core.revocation import Fetched
from mailflow.demo.pki import DAY
from mailflow.jobs.audit import AUDIT
from mailflow.jobs.retention import RETENTION
from mailflow.jobs.work import run
from mailflow.mail.trust import TrustMaterial
from mailflow.register import Register, watching
from mailflow.register.evidence import Period
from mailflow.review.exporting import Export
from tests.support.answers import ocsp_answer
from tests.support.archives import LONG_AFTER, archived, checked, contents, found, work
from tests.support.chains import forge
from tests.support.doors import House, Shelf
from tests.support.jobs import TERMS
from tests.support.judging import RECEIVED_AT, a_mail, dem_part, mairie
from tests.support.pki import shared_pki
from tests.support.records import rows

__all__ = ["archived"]


async def harm(register: Register, *statements: str, **values: object) -> None:
    """By somebody who may write the database: what keeps the tables is no obstacle."""
    await forge(register, *statements, **values)


async def test_every_accepted_mail_is_proven_from_the_register_alone(archived: House) -> None:
    mails = await checked(archived.register)
    assert [mail.intake for mail in mails] == [1, 2, 3], "what was refused has nothing to prove"
    assert [mail.findings for mail in mails] == [()] * 3
    assert contents(mails) == ["verified"] * 3
    assert all(mail.sealed and mail.steps[-1].passed and len(mail.steps) == 10 for mail in mails)
    assert all(b"DEM59123" in (mail.signed or b"") for mail in mails)
    assert contents(await checked(archived.register, with_keys=False)) == ["not opened"] * 3


async def test_what_mails_share_is_kept_once_and_is_nobodys(archived: House) -> None:
    register = archived.register
    before = await rows(register, "SELECT kind, digest, content FROM exhibit ORDER BY kind")
    assert [row.kind for row in before].count("basis") == 1
    assert {row.kind for row in before} == {*ExhibitKind} - {ExhibitKind.OCSP_ANSWER}
    assert all(Exhibit(ExhibitKind(row.kind), row.content).digest == row.digest for row in before)
    archived.mailbox.deliver(a_mail(dem_part(4, surname="Quart")))
    await work(archived)
    kept = await rows(register, "SELECT signature FROM evidence")
    assert (len(await rows(register, "SELECT digest FROM exhibit")), len(kept)) == (len(before), 4)
    for octets in (*(row.content for row in before), *(row.signature for row in kept)):
        assert not any(name in octets for name in (b"Premier", b"Second", b"Tiers", b"Quart", b"1990"))


class Answered(Shelf):
    """Of the issuer of the sender's certificate there is no list, but a responder has answered about it."""

    async def material(self, directory: Directory) -> TrustMaterial:
        listed = await super().material(directory)
        leaf = mairie().identity
        others = [der for der in listed.crls if x509.load_der_x509_crl(der).issuer != leaf.certificate.issuer]
        answer = ocsp_answer(leaf, shared_pki().issuing_ec, lasts=7 * DAY)
        return replace(listed, crls=tuple(others), fetched=Fetched(answers=(answer,)))


async def test_an_ocsp_answer_that_a_verdict_rests_on_is_evidence_as_well(register: Register, tmp_path: Path) -> None:
    house = House(register, shelf=Answered())
    await house.enrol()
    house.mailbox.deliver(a_mail(dem_part(1, surname="Premier")))
    await work(house)
    assert len(await rows(register, "SELECT digest FROM exhibit WHERE kind = 'ocsp-answer'")) == 1
    (mail,) = await checked(register)
    assert (mail.findings, mail.steps[-1].passed) == ((), True)
    (folder,) = await exported(register, tmp_path / "export")
    assert stranger_says(folder) == 0
    check = folder / "check.sh"
    check.write_text(check.read_text().replace("good", "revoked"))
    assert stranger_says(folder) != 0, "openssl was asked what the responder says"
    await harm(register, "DELETE FROM exhibit WHERE kind = 'ocsp-answer'")
    ((intake, _, detail),) = await found(register)
    assert (intake, "OCSP answer" in detail) == (1, True)


async def test_the_erasure_of_mails_leaves_their_evidence(archived: House) -> None:
    register = archived.register
    assert await run(register, RETENTION, TERMS, archived.now + LONG_AFTER) == 5
    mails = await checked(register)
    assert (contents(mails), [mail.findings for mail in mails]) == (["purged"] * 3, [()] * 3)
    assert all(mail.steps[-1].passed for mail in mails)


async def test_a_stranger_checks_an_export_with_openssl_alone(archived: House, tmp_path: Path) -> None:
    register = archived.register
    with_content = await exported(register, tmp_path / "with")
    assert [path.name for path in with_content] == ["1", "2", "3"]
    assert [stranger_says(path) for path in with_content] == [0, 0, 0]
    (basis,) = (tmp_path / "with" / "bases").iterdir()
    at = ["-attime", str(int(RECEIVED_AT.timestamp()))]
    chain = ["-CAfile", basis / "anchors.pem", *at]
    by_hand = ["cms", "-verify", "-binary", "-inform", "DER", "-certfile", basis / "certificates.pem", *chain]
    for mail in with_content:
        said = [by_the_readme(command, mail, basis) for command in readme_commands(tmp_path / "with")]
        assert [done.returncode for done in said] == [0] * 5
        assert said[0].stdout == (mail / "content").read_bytes()
        assert b"messageDigest" in said[2].stdout
    altered = with_content[0] / "content"
    altered.write_bytes(altered.read_bytes().replace(b"DEM", b"MED"))
    assert openssl(*by_hand, "-in", altered.with_name("signature.p7s"), "-content", altered).returncode != 0
    assert stranger_says(with_content[0]) != 0

    await run(register, RETENTION, TERMS, archived.now + LONG_AFTER)
    without = await exported(register, tmp_path / "without")
    assert [(stranger_says(path), (path / "content").exists()) for path in without] == [(0, False)] * 3
    signature = without[1] / "signature.p7s"
    octets = signature.read_bytes()
    signature.write_bytes(octets[:-1] + bytes([octets[-1] ^ 1]))
    assert openssl(*by_hand, "-in", signature, "-content", "/dev/null", "-no_content_verify").returncode != 0
    assert stranger_says(without[1]) != 0
    assert (tmp_path / "without").stat().st_mode & 0o077 == 0, "it is its owner's alone"


async def exported(register: Register, folder: Path) -> list[Path]:
    """The folders of the mails."""
    export = Export(register, folder)
    export.begin()
    for mail in await checked(register):
        await export.add(mail, content=mail.signed)
    return sorted((folder / "mails").iterdir())


def readme_commands(folder: Path) -> list[str]:
    """Those that the README gives, but for OCSP: nothing rests on an answer here."""
    text = (folder / "README.md").read_text(encoding="utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if line.startswith("    ") and " ocsp " not in line]


def by_the_readme(command: str, mail: Path, basis: Path) -> subprocess.CompletedProcess[bytes]:
    received, judged = (int(at.timestamp()) for at in (RECEIVED_AT, RECEIVED_AT + timedelta(minutes=1)))
    arguments = command.replace(" B/", f" {basis}/").replace(" R", f" {received}").replace(" J", f" {judged}")
    return subprocess.run(["/bin/sh", "-c", arguments], cwd=mail, capture_output=True)


def stranger_says(mail: Path) -> int:
    return subprocess.run(["/bin/sh", "check.sh"], cwd=mail, capture_output=True).returncode


def openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True)


async def test_that_evidence_is_gone_is_told_by_night(archived: House) -> None:
    register = archived.register
    await AUDIT.step(register, TERMS, archived.now)
    async with register.read() as tx:
        assert set((await watching.broken(tx)).values()) == {0}
    await harm(register, "DELETE FROM evidence WHERE intake_id = 2")
    await AUDIT.step(register, TERMS, archived.now)
    async with register.read() as tx:
        assert (await watching.broken(tx))["acceptance-has-evidence"] == 1


async def test_a_mail_that_is_gone_without_an_entry_is_named(archived: House) -> None:
    await harm(archived.register, "UPDATE intake SET raw = NULL WHERE id = 2")
    assert await found(archived.register) == [(2, "content missing", "")]


async def test_one_period_or_some_mails(archived: House) -> None:
    register, at, second = archived.register, archived.now, timedelta(seconds=1)
    assert [mail.intake for mail in await checked(register, 2, 3, 4, 99)] == [2, 3]
    assert len(await checked(register, period=Period(since=at, until=at + second))) == 3
    assert await checked(register, period=Period(since=at + second)) == []
    assert await checked(register, period=Period(until=at)) == []


EXHIBIT = "UPDATE exhibit SET content = :content WHERE kind = "
ALL_OF_IT = [("evidence altered", ""), ("not proven", "signature over the attributes"), ("content altered", "")]
HARM = {
    "a certificate": (f"{EXHIBIT}'certificate'", [("exhibit altered", "certificate")]),
    "a revocation list": (f"{EXHIBIT}'revocation-list'", [("exhibit altered", "revocation list")]),
    "the enrolment": (f"{EXHIBIT}'enrolment'", [("exhibit altered", "enrolment")]),
    "the policy": (f"{EXHIBIT}'policy'", [("exhibit altered", "policy")]),
    "the basis": (f"{EXHIBIT}'basis'", [("exhibit altered", "basis")]),
    "the verdict": (f"{EXHIBIT}'checklist'", [("exhibit altered", "verdict")]),
    "no certificates": ("DELETE FROM exhibit WHERE kind = 'certificate'", [("exhibit missing", "certificate")]),
    "no lists": ("DELETE FROM exhibit WHERE kind = 'revocation-list'", [("exhibit missing", "revocation list")]),
    "no verdict": ("DELETE FROM exhibit WHERE kind = 'checklist'", [("exhibit missing", "verdict")]),
    "no evidence": ("DELETE FROM evidence", [("evidence missing", "")]),
    "the signature": ("UPDATE evidence SET signature = :content", ALL_OF_IT),
    "when it came": (
        "UPDATE evidence SET received_at = (SELECT at FROM journal WHERE id = 1)",
        [("evidence altered", "")],
    ),
    "what it rests on": (
        "UPDATE evidence SET basis = checklist",
        [("evidence altered", ""), ("not proven", "basis: KeyError")],
    ),
    "the entry": (
        "UPDATE journal SET detail = '{\"evidence\": \"00\"}' WHERE kind = 'mail-answered' AND intake_id < 4",
        [("journal entry altered", ""), ("evidence altered", "")],
    ),
    "no entry": ("DELETE FROM journal WHERE kind = 'mail-answered'", [("not in the journal", "")]),
}


@pytest.mark.parametrize("what", HARM)
async def test_whatever_is_altered_is_named_for_each_mail(archived: House, what: str) -> None:
    statement, expected = HARM[what]
    await harm(archived.register, statement, content=b"other")
    seen = await found(archived.register)
    for mail in (1, 2, 3):
        told = dict.fromkeys((fault, _role(detail)) for intake, fault, detail in seen if intake == mail)
        assert len(told) == len(expected)
        assert all(
            fault == wanted and says in detail for (fault, detail), (wanted, says) in zip(told, expected, strict=True)
        )


def _role(detail: str) -> str:
    """Without the digest that it ends with."""
    role, _, digest = detail.rpartition(" ")
    return role if len(digest) == 64 else detail


async def test_values_that_are_none_are_told(archived: House) -> None:
    async with archived.register.read() as tx:
        never, octets = ("'yesterday'", "7") if tx.has_only_writer else ("'infinity'", "'7'")
    await harm(
        archived.register,
        f"UPDATE evidence SET received_at = {never} WHERE intake_id = 1",
        f"UPDATE evidence SET signature = {octets}, basis = 'text' WHERE intake_id = 2",
        "UPDATE journal SET detail = '[]' WHERE kind = 'mail-answered' AND intake_id = 3",
        f"UPDATE journal SET detail = '[', at = {never} WHERE kind = 'mail-answered' AND intake_id = 4",
    )
    seen = [(intake, fault) for intake, fault, _ in await found(archived.register)]
    none = [(1, "evidence missing"), (2, "evidence altered"), (2, "exhibit missing"), (3, "not in the journal")]
    assert seen == none


async def test_signed_attributes_and_verdicts_of_others_do_not_pass(archived: House) -> None:
    """What is right by itself, in the wrong place."""
    register = archived.register
    await harm(register, "UPDATE evidence SET signature = (SELECT signature FROM evidence WHERE intake_id = 2)")
    assert [(intake, fault) for intake, fault, _ in await found(register)] == [
        (1, "evidence altered"),
        (1, "content altered"),
        (3, "evidence altered"),
        (3, "content altered"),
    ]


async def test_a_list_that_is_gone_before_the_commit_has_the_mail_judged_again(archived: House) -> None:
    register = archived.register
    await harm(register, "DELETE FROM exhibit WHERE kind = 'revocation-list'")
    archived.mailbox.deliver(a_mail(dem_part(4, surname="Quart")))
    judges = archived.judges

    def lists_are_replaced() -> None:
        assert judges.served is not None
        judges.served, judges.trouble = replace(judges.served, crls=()), lambda: None

    judges.trouble = lists_are_replaced
    await work(archived)
    assert judges.chunks[-2:] == [1, 1], "it was judged twice"
    mails = await checked(register)
    assert [mail.findings for mail in mails] == [()] * 4, "the lists were kept again with the fourth"
