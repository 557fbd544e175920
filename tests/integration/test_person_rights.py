"""An applicant's rights: all that is known, and its erasure."""

import hashlib
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from mailflow.core.model import Environment, Right
from mailflow.jobs.dispatch import DISPATCH_JOB
from mailflow.jobs.lifetimes import EXPIRY, PURGE
from mailflow.jobs.loose_keys import LOOSE_KEYS
from mailflow.jobs.orders import DISPATCH
from mailflow.jobs.retention import RETENTION
from mailflow.mail.kinds import ANSWER
from mailflow.register import Register, attestations, intake, journal, requests
from mailflow.register import outbox as outbox_of
from mailflow.register.journal import Act
from mailflow.register.key_tables import content_key
from mailflow.register.outbox import Draft
from mailflow.register.tables import outbox
from mailflow.registrar import ending, person
from mailflow.registrar.attesting import attest
from tests.support.jobs import do, night
from tests.support.lives import with_nir
from tests.support.reception import AT, Reception, a_file, a_request, number_of
from tests.support.records import claim, key_rows, rows, settlement

TODAY = date(2026, 2, 1)
TERMS = person.Terms(retention=timedelta(days=90), copies=timedelta(days=30), dispatch=DISPATCH)
ACT = Act(by="me", why="asked for by letter")


@pytest.fixture
async def reception(register: Register) -> Reception:
    opened = Reception(register)
    await opened.enrol("mairie", "59123", ["059"])
    await opened.enrol("agglo", "59777", ["059"], rights=frozenset({Right.CREATION, Right.CONSULT}))
    return opened


async def settle_all(register: Register) -> None:
    mails = await claim(register, at=night(TODAY))
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(mail.id) for mail in mails], night(TODAY))


async def erase(register: Register, number: str) -> person.Erasure:
    async with register.begin() as tx:
        plan = await person.plan_erasure(tx, number)
        assert plan is not None
        await person.erase(tx, plan, ACT, TODAY, night(TODAY))
    return plan


async def test_an_export_tells_everything_and_whom_it_was_told_to(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await do(register, DISPATCH_JOB, "2026-01-16")
    async with register.read() as tx:
        known = await person.export(tx, number)
        assert await person.export(tx, "059012600099959123") is None
    assert known is not None
    assert known["content"]["personnePhysique"]["demandeur"]["nom"] == "Durand"
    assert [entry["operation"] for entry in known["history"]] == ["CRE"]
    assert [entry["kind"] for entry in known["journal"]] == ["registered"]
    (told,) = known["told_to"]
    assert told == {"desk": "59777", "sender": "agglo", "dispatch": 1, "at": told["at"]}
    assert told["at"].date() == date(2026, 1, 16)


async def test_an_export_names_what_each_thing_is(reception: Reception) -> None:
    register = reception.register
    bare = "290025935012387"
    number = number_of(await reception.outcome(with_nir(a_request("Durand"), bare), sequence=1))
    facts = attestations.Facts(number=number, stated="{}")
    made = attestations.Made(facts=facts, edition=1, intake_id=1, content=b"%PDF")
    async with register.begin() as tx:
        await attestations.freeze(tx, [made], AT)
        known = await person.export(tx, number)
    assert known is not None
    assert list(known) == [
        *("number", "territory", "desk", "sender", "registered_at", "life", "content", "nir"),
        *("history", "told_to", "attestations", "journal"),
    ]
    told = {what: known[what] for what in ("number", "territory", "desk", "sender", "registered_at", "nir")}
    assert told == {
        "number": number,
        "territory": "059",
        "desk": "59123",
        "sender": "mairie",
        "registered_at": AT,
        "nir": {"demandeur": bare},
    }
    assert (known["life"]["deposited_on"], known["life"]["state"]) == (date(2026, 1, 12), "active")
    digest = hashlib.sha256(made.content).hexdigest()
    assert known["attestations"] == [{"issued_at": AT, "digest": digest, "edition": 1}]
    (beginning,) = known["history"]
    assert list(beginning) == ["at", "operation", "life", "by", "said", "content_before"]
    assert (beginning["at"], beginning["by"]["desk"], beginning["life"]["state"]) == (AT, "59123", "active")
    (entry,) = known["journal"]
    assert (entry["at"], entry["kind"], entry["number"], entry["desk"]) == (AT, "registered", number, "59123")


async def test_what_the_service_itself_did_is_told_as_such(reception: Reception) -> None:
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await erase(reception.register, number)
    async with reception.register.read() as tx:
        known = await person.export(tx, number)
        (entry,) = [kept.entry for kept in await journal.of_number(tx, number) if kept.entry.kind == "person-erased"]
    assert known is not None
    assert [one["by"] == "the service" for one in known["history"]] == [False, True]
    assert dict(entry.detail) == {"by": ACT.by, "why": ACT.why, "mails": 0, "shared": 1}


async def test_what_time_has_erased_is_proven_too(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await settle_all(register)
    await do(register, EXPIRY, "2027-02-20")
    await do(register, PURGE, "2028-03-01")
    await do(register, RETENTION, "2028-03-01")
    proof = await prove(register, number)
    assert (proof.erased_at, proof.is_complete) == (night(date(2028, 3, 1)), True)


async def test_an_erasure_ends_the_request_and_leaves_number_days_and_states(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await settle_all(register)
    plan = await erase(register, number)
    assert (plan.deregisters, plan.content, len(plan.mails), plan.shared) == (True, True, 1, ())
    async with register.read() as tx:
        stored = await requests.find(tx, number)
        kinds = [kept.entry.kind for kept in await journal.of_number(tx, number)]
        known = await person.export(tx, number)
    assert stored is not None
    assert (stored.payload, stored.life.state, stored.life.motive, stored.life.ended_on) == (
        None,
        "deregistered",
        "RADABA",
        TODAY,
    )
    assert kinds == ["registered", "deregistered", "person-erased"]
    assert known is not None
    assert known["content"] is None
    assert await key_rows(register) == []
    assert await rows(register, "SELECT token FROM active_identity") == []


async def test_a_request_is_attested_as_it_stands_and_once_it_has_ended_no_more(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    async with register.read() as tx:
        known = await attest(tx, number, Environment.PRODUCTION)
        assert await attest(tx, "059012600099959123", Environment.PRODUCTION) is None
    assert known is not None
    attested = known.attested
    assert (known.number, known.environment, attested.desk_name) == (number, Environment.PRODUCTION, "59123")
    assert (attested.deposited_on, attested.renewed_on, attested.expires_on) == (
        date(2026, 1, 12),
        None,
        date(2027, 1, 12),
    )
    assert attested.form == a_request("Durand")
    async with register.begin() as tx:
        await ending.end(tx, [number], "RADABA", AT, TODAY)
        stored = await requests.find(tx, number)
        assert await attest(tx, number, Environment.PRODUCTION) is None
    assert stored is not None
    assert stored.payload is not None
    await erase(register, number)
    async with register.read() as tx:
        assert await attest(tx, number, Environment.PRODUCTION) is None


async def test_what_nobody_has_registered_cannot_be_erased(reception: Reception) -> None:
    async with reception.register.read() as tx:
        assert await person.plan_erasure(tx, "059012600099959123") is None


async def test_a_mail_that_others_share_is_left_to_retention(reception: Reception) -> None:
    register = reception.register
    outcomes = await reception.outcomes(a_file(a_request("A"), a_request("B")))
    await settle_all(register)
    plan = await erase(register, number_of(outcomes[0]))
    assert (plan.mails, len(plan.shared)) == ((), 1)
    async with register.read() as tx:
        other = await requests.find(tx, number_of(outcomes[1]))
    assert other is not None
    assert other.payload is not None


async def prove(register: Register, number: str) -> person.Proof:
    async with register.read() as tx:
        proof = await person.prove_erasure(tx, number, TERMS)
    assert proof is not None
    return proof


async def test_an_erasure_is_proven_by_what_is_there(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    before = await prove(register, number)
    assert (before.is_complete, before.erased_at, before.ends_on) == (False, None, None)
    assert {what: left for what, left in before.looked_for.items() if left} == {
        "contents": 1, "content keys": 1, "claims on an identity": 1, "persons to be compared": 1,
    }  # fmt: skip
    assert before.mails == {"mail 1": None}
    await settle_all(register)
    await erase(register, number)
    proof = await prove(register, number)
    assert proof.is_complete
    assert (proof.erased_at, proof.ends_on) == (night(TODAY), date(2026, 2, 1) + timedelta(days=90 + 30))
    async with register.read() as tx:
        assert await person.prove_erasure(tx, "059012600099959123", TERMS) is None


async def test_a_key_that_came_back_is_found(reception: Reception) -> None:
    """A copy of the key store was restored."""
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await settle_all(register)
    restored = await key_rows(register)
    await erase(register, number)
    async with register.keys.begin() as store:
        await store.run(sa.insert(content_key), [dict(row._mapping) for row in restored])
    proof = await prove(register, number)
    assert not proof.is_complete
    assert {what: left for what, left in proof.looked_for.items() if left} == {
        "content keys": 1,
        "content keys of erased mails": 1,
    }
    await do(register, LOOSE_KEYS, TODAY + timedelta(days=60))
    assert (await prove(register, number)).is_complete


async def test_mails_that_hold_it_yet_are_named_with_their_end(reception: Reception) -> None:
    register = reception.register
    outcomes = await reception.outcomes(a_file(a_request("A"), a_request("B")))
    number = number_of(outcomes[0])
    await do(register, DISPATCH_JOB, "2026-01-16")
    await settle_all(register)
    await erase(register, number)
    proof = await prove(register, number)
    assert (proof.is_complete, any(proof.looked_for.values())) == (False, False)
    (mail, until), (dispatched, not_yet) = proof.mails.items()
    assert (mail, until) == ("mail 1", TODAY + timedelta(days=91))
    assert (dispatched.startswith("dispatch"), not_yet, proof.ends_on) == (True, None, None)


async def test_what_is_held_is_kept_without_an_end_until_it_leaves(reception: Reception) -> None:
    """A dispatch that came back, and an answer that a server refused: retention leaves both to somebody."""
    register = reception.register
    number = number_of(await reception.outcome(a_request("A"), sequence=1))
    await do(register, DISPATCH_JOB, "2026-01-16")
    await settle_all(register)
    answer = Draft(
        kind=ANSWER, key="1", intake_id=1, recipient="a@b.test", domain="b.test", dated_at=AT, payload=b"order"
    )
    async with register.begin() as tx:
        await outbox_of.queue(tx, [answer], AT)
        shared = {"state": "held", "next_at": None, "sent_at": night(TODAY), "raw": b"octets", "body_digest": "d"}
        await tx.run(sa.update(outbox).values(**shared))
    assert set((await prove(register, number)).mails.values()) == {None}
    async with register.begin() as tx:
        await tx.run(sa.update(outbox).values(state="sent"))
    assert set((await prove(register, number)).mails.values()) == {TODAY + timedelta(days=91)}


async def test_erasing_twice_does_no_more(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await settle_all(register)
    await erase(register, number)
    again = await erase(register, number)
    assert (again.deregisters, again.content, again.mails, again.shared) == (False, False, (), ())
    assert len(await rows(register, "SELECT * FROM history")) == 2
