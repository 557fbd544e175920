"""The whole enrolment as a file: exported and imported elsewhere it is the same, and done twice it changes nothing."""

import asyncio
import contextlib
from datetime import date, timedelta
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailflow.core.model import (
    CertificateUse,
    Directory,
    EnrolledDesk,
    EnrolledSender,
    Environment,
    Mandate,
    Right,
    SenderCode,
    Standing,
)
from mailflow.core.numbers import DeskCode, Territory
from mailflow.core.rates import LIMIT_MAX, Budget
from mailflow.demo.certificates import Identity
from mailflow.enrolment.plan import Effect, Outdated, carry_out, steps
from mailflow.enrolment.reader import EnrolmentFault, read
from mailflow.enrolment.writer import write
from mailflow.register import Register, directory
from tests.support.databases import VAULT, Databases
from tests.support.pki import AT, shared_pki
from tests.support.records import execute, rows
from tests.support.trust import enrolled

TODAY = date(2026, 3, 2)
PRODUCTION = Environment.PRODUCTION
CHANGE = directory.Change(by="anna", why="contract 12", at=AT)
DESKS = [DeskCode(code) for code in ("59123", "59777", "75056")]
TERRITORIES = [Territory(code) for code in ("059", "111")]
ADDRESSES = [f"{name}@{host}.example" for name in ("a", "b.c") for host in ("ville", "agglo")]
DAYS = [date(2025, 1, 1), date(2026, 3, 1), TODAY, date(2026, 7, 14)]
NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12) | st.just('"\\ # = [[sender]]')


@cache
def certificates() -> list[Identity]:
    return [shared_pki().issue(f'n{number}, é \\ "') for number in range(4)]


@st.composite
def enrolments(draw: st.DrawFn) -> Directory:
    """Any that commands could have made."""
    standings = st.sampled_from(Standing)
    desks = [
        EnrolledDesk(code=code, name=draw(NAMES), address=draw(NAMES | st.just("")), standing=draw(standings))
        for code in draw(st.lists(st.sampled_from(DESKS), unique=True))
    ]
    owned = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    senders = []
    for number in range(draw(st.integers(0, 3))):
        uses = [
            enrolled(identity, use, draw(standings))
            for owner, identity in zip(owned, certificates(), strict=True)
            if owner == number
            for use in draw(st.lists(st.sampled_from(CertificateUse), min_size=1, unique=True))
        ]
        choices: list[EnrolledDesk | None] = [*desks] or [None]
        keys = st.tuples(st.sampled_from(choices), st.sampled_from(TERRITORIES), st.sampled_from(DAYS))
        mandates = [
            Mandate(
                desk=desk.code,
                territory=territory,
                rights=frozenset(draw(st.lists(st.sampled_from(Right), min_size=1))),
                starts_on=starts_on,
                ends_on=draw(st.none() | st.sampled_from(DAYS)),
            )
            for desk, territory, starts_on in draw(st.lists(keys, max_size=4, unique=True))
            if desk is not None
        ]
        senders.append(
            EnrolledSender(
                code=SenderCode(f"sender-{number}"),
                name=draw(NAMES),
                standing=draw(standings),
                addresses=frozenset(draw(st.lists(st.sampled_from(ADDRESSES)))),
                answer_address=draw(st.sampled_from(ADDRESSES)),
                certificates=tuple(sorted(uses, key=lambda one: (one.fingerprint, one.use))),
                mandates=tuple(sorted(mandates, key=lambda one: (one.desk, one.territory, one.starts_on))),
                legacy_encryption=draw(st.booleans()),
                rates=draw(st.dictionaries(st.sampled_from(Budget), st.integers(1, LIMIT_MAX), max_size=3)),
            )
        )
    return Directory(generation=0, senders=tuple(senders), desks={one.code: one for one in sorted_desks(desks)})


def sorted_desks(desks: list[EnrolledDesk]) -> list[EnrolledDesk]:
    return sorted(desks, key=lambda one: one.code)


async def carried_out(register: Register, wanted: Directory, today: date = TODAY) -> list[str]:
    """Make the register so; what was done."""
    async with register.begin() as tx:
        await directory.have_alone(tx)
        known = await directory.read(tx)
        found = steps(known, wanted, today)
        await carry_out(tx, known, found, CHANGE)
    return [str(step) for step in found]


async def present(register: Register) -> Directory:
    async with register.read() as tx:
        return await directory.read(tx)


def exported(known: Directory) -> str:
    return write(known, PRODUCTION)


@given(enrolments())
def test_what_is_written_is_read_again(known: Directory) -> None:
    text = exported(known)
    assert read(text.encode(), PRODUCTION) == known
    assert exported(read(text.encode(), PRODUCTION)) == text


@pytest.fixture
def two_registers(databases: Databases) -> tuple[str, str]:
    """Their URLs."""
    return databases.fresh(migrated=True), databases.fresh(migrated=True)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=enrolments(), second=enrolments())
def test_an_export_makes_the_same_enrolments_elsewhere_and_a_second_time_nothing(
    two_registers: tuple[str, str], first: Directory, second: Directory
) -> None:
    async def live() -> None:
        one, other = (Register.open(url, VAULT) for url in two_registers)
        try:
            for register in (one, other):
                await emptied(register)
            await carried_out(one, first)
            assert exported(await present(one)) == exported(first)
            file = read(exported(await present(one)).encode(), PRODUCTION)
            done = await carried_out(other, file)
            assert not any(line.startswith(Effect.TAKES) for line in done), "nothing is there to be taken"
            assert exported(await present(other)) == exported(await present(one))
            assert await carried_out(other, file) == []
            await turned_into(other, second)
        finally:
            await one.close()
            await other.close()

    asyncio.run(live())


async def emptied(register: Register) -> None:
    for table in ("mandate", "certificate", "sender_address", "spending", "sender", "desk"):
        await execute(register, f"DELETE FROM {table}")


async def turned_into(register: Register, wanted: Directory) -> None:
    """Carried out over others, all that the file has is as it says, and the rest may do nothing."""
    before = await present(register)
    try:
        await carried_out(register, wanted)
    except EnrolmentFault:
        assert await present(register) == before
        return
    now = await present(register)
    names = {sender.code: sender for sender in now.senders}
    for sender in wanted.senders:
        found = names.pop(sender.code)
        assert (found.addresses, found.standing, found.name) == (sender.addresses, sender.standing, sender.name)
        others = set(found.certificates) - set(sender.certificates)
        assert set(sender.certificates) <= set(found.certificates)
        assert {one.standing for one in others} <= {Standing.SUSPENDED}
        assert set(sender.mandates) <= set(found.mandates)
        assert not any(one.holds_on(TODAY) for one in set(found.mandates) - set(sender.mandates))
    assert {sender.standing for sender in names.values()} <= {Standing.SUSPENDED}
    assert all(now.desks[code] == desk for code, desk in wanted.desks.items())
    assert await carried_out(register, wanted, TODAY + timedelta(days=1)) == []


# Files that cannot be carried out

SAMPLE = """\
form = 1
environment = "production"

[[desk]]
code = "59123"
name = "Mairie"
address = "1 place"
standing = "active"

[[sender]]
code = "ville"
name = "Ville"
standing = "active"
addresses = ["a@ville.example"]
answers_to = "a@ville.example"
legacy_encryption = false

[[sender.certificate]]
sign = "active"
pem = '''
PEM'''

[[sender.mandate]]
desk = "59123"
territory = "059"
rights = ["CRE"]
from = 2026-01-01
"""


def a_text(*changes: tuple[str, str]) -> str:
    text = SAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.replace("PEM", certificates()[0].pem.decode())


def test_the_sample_is_right() -> None:
    found = read(a_text().encode(), PRODUCTION)
    assert [sender.code for sender in found.senders] == ["ville"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("form = 1", "form = 2", "line 1: form: should be less than or equal to 1"),
        ('"production"', '"ecole"', "line 2: environment: this register is that of production"),
        ("address = ", "adress = ", "line 7: desk[1].adress (59123): there is no such field"),
        ("address = ", "adress = ", "line 4: desk[1].address (59123): is missing"),
        ('"active"', '"on"', "line 8: desk[1].standing (59123): should be 'active' or 'suspended'"),
        ('code = "59123"', 'code = "5912"', "line 5: desk[1].code (5912): 5912 should have five characters"),
        ('code = "59123"', 'code = "Z9123"', "line 5: desk[1].code (Z9123): codes that begin with Z"),
        ('"Mairie"', '"a\\u001b[1m"', "line 6: desk[1].name (59123): should be one line of printable characters"),
        ('"a@ville.example"]', '"Ville <a@b>"]', "sender[1].addresses[1] (ville): should be a bare address"),
        ("= false", '= "perhaps"', "line 16: sender[1].legacy_encryption (ville): should be"),
        ('sign = "active"\n', "", "line 18: sender[1].certificate[1] (ville): should say what it is for"),
        ('sign = "active"', 'sign = "active"\nfingerprint = "ab"', "is not that of the certificate, which is"),
        ("PEM", "no certificate", "sender[1].certificate[1].pem (ville): should be one certificate, from BEGIN"),
        ("PEM", "PEM\nPEM", "sender[1].certificate[1].pem (ville): should be one certificate, from BEGIN"),
        ('"059"', '"999"', "sender[1].mandate[1].territory (ville): is no territory: three characters"),
        ('["CRE"]', '["CRE", "XYZ"]', "sender[1].mandate[1].rights[2] (ville): should be 'CRE', 'CRS'"),
        ('["CRE"]', "[]", "sender[1].mandate[1].rights (ville): List should have at least 1 item"),
        ("2026-01-01", '"soon"', "sender[1].mandate[1].from (ville): should be a valid date"),
        ('desk = "59123"', 'desk = "59124"', "sender[1].mandate[1].desk (ville): there is no desk 59124 in the file"),
        ('"059"', '"000"', "sender[1].mandate[1] (ville): the sender canary, the desks 00000"),
        ("[[sender.mandate]]", "[[sender.mandate]", "is not a TOML file: "),
        ("[[sender.mandate]]", "mandate = [[sender.mandate]]", "is not a TOML file: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_right_form(old: str, new: str, says: str) -> None:
    with pytest.raises(EnrolmentFault) as caught:
        read(a_text((old, new)).encode(), PRODUCTION)
    assert says in str(caught.value)


def test_what_is_there_twice_is_named() -> None:
    head, sender = a_text().split("[[sender]]")
    _, _, mandate = sender.partition("[[sender.mandate]]")
    with pytest.raises(EnrolmentFault) as caught:
        read(f"{head}[[sender]]{sender}\n[[sender.mandate]]{mandate}\n[[sender]]{sender}".encode(), PRODUCTION)
    said = str(caught.value)
    assert "sender[2].code (ville): ville is there twice" in said
    assert f"sender[2].certificate[1].pem (ville): certificate {certificates()[0].fingerprint} is there twice" in said
    assert "sender[1].mandate[2] (ville): a mandate for 59123 in 059 from 2026-01-01 is there twice" in said


CUT_OFF = st.builds(lambda at, by: a_text().encode()[:at] + by, st.integers(0, 1500), st.binary(max_size=9))


@given(st.binary(max_size=200) | CUT_OFF)
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    with contextlib.suppress(EnrolmentFault):
        read(octets, PRODUCTION)


def test_a_number_too_long_is_no_fault_of_ours() -> None:
    with pytest.raises(EnrolmentFault, match="is not a TOML file"):
        read(b"form = " + b"9" * 5000, PRODUCTION)


# What no command can do, and what is marked


async def test_a_mandate_may_only_end_earlier(register: Register) -> None:
    known = read(a_text().encode(), PRODUCTION)
    await carried_out(register, known)
    for change in (('["CRE"]', '["CRE", "MOD"]'), ('["CRE"]', '["MOD"]')):
        with pytest.raises(EnrolmentFault, match="has CRE; only its end can be changed"):
            await carried_out(register, read(a_text(change).encode(), PRODUCTION))
    ends = read(a_text(("2026-01-01", "2026-01-01\nuntil = 2026-12-31")).encode(), PRODUCTION)
    assert await carried_out(register, ends) == [
        "- sender ville: the mandate for 59123 in 059 from 2026-01-01 ends with 2026-12-31"
    ]
    with pytest.raises(EnrolmentFault, match="has CRE until 2026-12-31; only its end can be changed"):
        await carried_out(register, known)


async def test_another_senders_certificate_is_refused_by_name(register: Register) -> None:
    await carried_out(register, read(a_text().encode(), PRODUCTION))
    with pytest.raises(EnrolmentFault, match=r"sender other: certificate [0-9a-f]{64} is enrolled for ville already"):
        await carried_out(register, read(a_text(('code = "ville"', 'code = "other"')).encode(), PRODUCTION))


async def test_what_the_file_does_not_have_may_do_nothing_more_and_is_on_record(register: Register) -> None:
    await carried_out(register, read(a_text().encode(), PRODUCTION))
    fingerprint = certificates()[0].fingerprint
    changed = a_text(('["a@ville.example"]', "[]"), ("Mairie", "Hôtel de ville"))
    bare = changed.partition("[[sender.certificate]]")[0]
    assert await carried_out(register, read(bare.encode(), PRODUCTION)) == [
        "~ desk 59123: Mairie, 1 place becomes Hôtel de ville, 1 place",
        "- sender ville: accept no more mail from a@ville.example",
        f"- suspend of the sender ville certificate {fingerprint} to sign",
        "- sender ville: the mandate for 59123 in 059 from 2026-01-01 ends with 2026-03-01",
    ]
    nobody = bare.partition("[[desk]]")[0]
    assert await carried_out(register, read(nobody.encode(), PRODUCTION)) == [
        "- suspend the sender ville, which the file does not have",
        "- suspend the desk 59123, which the file does not have",
    ]
    kept = await rows(register, "SELECT kind, detail FROM journal ORDER BY id")
    assert [row.kind for row in kept][-6:] == [
        "desk-amended",
        "address-removed",
        "certificate-suspended",
        "mandate-ended",
        "sender-suspended",
        "desk-suspended",
    ]
    assert all('"by": "anna"' in row.detail and '"why": "contract 12"' in row.detail for row in kept)


async def test_a_plan_made_from_other_enrolments_is_not_carried_out(register: Register) -> None:
    known = await present(register)
    found = steps(known, read(a_text().encode(), PRODUCTION), TODAY)
    async with register.begin() as tx:
        await directory.add_desk(tx, DeskCode("75056"), name="Paris", address="", change=CHANGE)
    before = await present(register)
    with pytest.raises(Outdated):
        async with register.begin() as tx:
            await carry_out(tx, known, found, CHANGE)
    assert await present(register) == before


async def test_a_plan_that_fails_half_way_leaves_nothing_done(register: Register) -> None:
    known = await present(register)
    wanted = read(a_text().encode(), PRODUCTION)
    found = steps(known, wanted, TODAY)
    with pytest.raises(directory.AlreadyEnrolled):
        async with register.begin() as tx:
            await carry_out(tx, known, [*found, found[0]], CHANGE)
    assert await present(register) == known
    assert await rows(register, "SELECT id FROM journal WHERE kind LIKE '%-added'") == []
