"""Evidence of acceptances: kept with them, verified again from the register alone, and every harm to it is named."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.core.evidence import Exhibit, ExhibitKind
from mailflow.jobs.retention import RETENTION
from mailflow.jobs.work import run
from mailflow.register import Register
from mailflow.register.evidence import Period
from tests.support.archives import LONG_AFTER, archived, checked, contents, found, work
from tests.support.chains import forge
from tests.support.doors import House
from tests.support.jobs import TERMS
from tests.support.judging import a_mail, dem_part
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
    assert {row.kind for row in before} == {kind.value for kind in ExhibitKind}
    assert all(Exhibit(ExhibitKind(row.kind), row.content).digest == row.digest for row in before)
    archived.mailbox.deliver(a_mail(dem_part(4, surname="Quart")))
    await work(archived)
    kept = await rows(register, "SELECT signature FROM evidence")
    assert (len(await rows(register, "SELECT digest FROM exhibit")), len(kept)) == (len(before), 4)
    for octets in (*(row.content for row in before), *(row.signature for row in kept)):
        assert not any(name in octets for name in (b"Premier", b"Second", b"Tiers", b"Quart", b"1990"))


async def test_the_erasure_of_mails_leaves_their_evidence(archived: House) -> None:
    register = archived.register
    assert await run(register, RETENTION, TERMS, archived.now + LONG_AFTER) == 5
    mails = await checked(register)
    assert (contents(mails), [mail.findings for mail in mails]) == (["purged"] * 3, [()] * 3)
    assert all(mail.steps[-1].passed for mail in mails)


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
