"""The registrar on rights: who may act for which desk, where and when, and in which environment."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mailflow import registrar
from mailflow.core.anomalies import Code
from mailflow.core.model import Environment, FileReceipt, Registered, RequestFile, Right, Standing
from mailflow.register import Register
from mailflow.registrar import StaleDirectory
from mailflow.wire.envelope import RequestElement
from tests.support.lives import registered, three_desks
from tests.support.outcomes import retries
from tests.support.reception import AT, CORSICA, TODAY, Reception, a_file, a_request, about, number_of, sent
from tests.support.records import rows

DAY = timedelta(days=1)


@pytest.fixture
async def reception(register: Register) -> Reception:
    """One sender, which acts for one desk in two territories."""
    opened = Reception(register)
    await opened.enrol()
    return opened


async def decide(reception: Reception, file: RequestFile, sender: str = "mairie") -> FileReceipt:
    ((receipt,),) = [receipt.files for receipt in await reception.submit(sent(file, sender=sender))]
    return receipt


async def refused(reception: Reception, file: RequestFile, sender: str = "mairie") -> list[Code]:
    """Why the file as a whole was refused; nothing of it is registered."""
    receipt = await decide(reception, file, sender)
    assert all(not hasattr(outcome, "number") for outcome in receipt.outcomes)
    assert len(receipt.outcomes) == len(file.requests)
    assert await rows(reception.register, "SELECT number FROM request") == []
    return [anomaly.code for anomaly in receipt.anomalies]


async def bound(reception: Reception) -> int:
    return len(await rows(reception.register, "SELECT name FROM file"))


def of(desk: str, sequence: int = 1) -> RequestFile:
    """A file with one good request of a desk."""
    return a_file(a_request("A", desk=desk), desk=desk, sequence=sequence)


async def test_a_desk_that_is_not_on_record_is_no_desk_of_the_sender(reception: Reception) -> None:
    assert await refused(reception, of("59999")) == [Code.DESK_NOT_MANDATED]
    assert await bound(reception) == 0


async def test_a_desk_of_another_sender_keeps_its_names(reception: Reception) -> None:
    """Else anybody could use them up."""
    await reception.enrol("conseil", "59777")
    assert await refused(reception, of("59777")) == [Code.DESK_NOT_MANDATED]
    assert await bound(reception) == 0
    assert number_of((await decide(reception, of("59777"), "conseil")).outcomes[0])


async def test_a_desk_of_another_sender_tells_nothing_of_its_files(reception: Reception) -> None:
    await reception.enrol("conseil", "59777")
    assert number_of((await decide(reception, of("59777"), "conseil")).outcomes[0])
    spied = await decide(reception, of("59777"))
    assert ([a.code for a in spied.anomalies], spied.repeated) == ([Code.DESK_NOT_MANDATED], False)


@pytest.mark.parametrize(
    ("starts_on", "ends_on"), [(TODAY + DAY, None), (TODAY - 9 * DAY, TODAY - DAY)], ids=["future", "ended"]
)
async def test_a_mandate_holds_only_in_its_time(reception: Reception, starts_on: date, ends_on: date | None) -> None:
    await reception.enrol(desk="59777", starts_on=starts_on, ends_on=ends_on)
    assert await refused(reception, of("59777")) == [Code.DESK_NOT_MANDATED]


async def test_a_mandate_holds_on_its_first_and_last_day(reception: Reception) -> None:
    await reception.enrol(desk="59777", starts_on=TODAY, ends_on=TODAY)
    assert number_of((await decide(reception, of("59777"))).outcomes[0])


async def test_the_last_day_of_a_mandate_ends_at_midnight_in_paris(reception: Reception) -> None:
    await reception.enrol(desk="59777", starts_on=TODAY, ends_on=TODAY)
    reception.at = datetime(2026, 1, 15, 23, 0, tzinfo=UTC)
    assert await refused(reception, of("59777")) == [Code.DESK_NOT_MANDATED]
    reception.at -= timedelta(seconds=1)
    assert number_of((await decide(reception, of("59777"))).outcomes[0])


async def test_the_right_of_one_mandate_is_not_lent_to_the_territory_of_another(reception: Reception) -> None:
    await reception.enrol(desk="59777", territories=["059"], rights=frozenset({Right.CONSULT}))
    await reception.enrol(desk="59777", territories=["111"])
    receipt = await decide(reception, of("59777"))
    assert [a.code for a in receipt.anomalies] == []
    (outcome,) = receipt.outcomes
    assert [a.code for a in outcome.anomalies] == [Code.TERRITORY_NOT_MANDATED]


async def test_who_may_change_in_one_territory_changes_nothing_in_another(reception: Reception) -> None:
    may_all = frozenset(Right) - {Right.MANAGE}
    await reception.enrol(desk="59777", territories=["059"], rights=frozenset({Right.CREATION, Right.CONSULT}))
    await reception.enrol(desk="59777", territories=["111"], rights=may_all)
    creation = RequestElement(form=a_request("Durand", desk="59777"))
    (created,) = await reception.act("CRE", creation, sequence=1, desk="59777")
    number = number_of(created)
    elements = {
        "MOD": about(number, form=a_request("Durand", at="59512", desk="59777")),
        "RAD": about(number, motive="RADABA"),
        "SUP": about(number),
    }
    for sequence, (operation, element) in enumerate(elements.items(), 2):
        (outcome,) = await reception.act(operation, element, sequence=sequence, desk="59777")
        assert [a.code for a in outcome.anomalies] == [Code.NUMBER_UNKNOWN], operation


async def test_a_mandate_without_creation_registers_nothing(reception: Reception) -> None:
    await reception.enrol(desk="59777", rights=frozenset({Right.CONSULT, Right.RENEWAL}))
    assert await refused(reception, of("59777")) == [Code.OPERATION_NOT_MANDATED]
    assert await bound(reception) == 0


@pytest.mark.parametrize("missing", [Code.DESK_NOT_MANDATED, Code.OPERATION_NOT_MANDATED, Code.DESK_SUSPENDED])
async def test_once_the_right_is_there_the_same_file_serves_and_the_answer_says_so(
    reception: Reception, missing: Code
) -> None:
    match missing:
        case Code.OPERATION_NOT_MANDATED:
            await reception.enrol(desk="59777", territories=["111"], rights=frozenset({Right.CONSULT}))
        case Code.DESK_SUSPENDED:
            await reception.enrol(desk="59777")
            await reception.suspend_desk("59777")
    assert retries(await decide(reception, of("59777"))) == [(missing, "plus_tard")]
    if missing is Code.DESK_SUSPENDED:
        await reception.suspend_desk("59777", Standing.ACTIVE)
    else:
        await reception.enrol(desk="59777", territories=["059"])
    assert number_of((await decide(reception, of("59777"))).outcomes[0])


async def test_in_no_known_territory_and_in_a_refused_file_no_right_is_told(
    reception: Reception,
) -> None:
    nowhere = await decide(reception, a_file(a_request("A", at="99999")))
    assert Code.TERRITORY_NOT_MANDATED not in {a.code for a in nowhere.outcomes[0].anomalies}
    elsewhere = a_request("B", at=CORSICA)
    other = await decide(reception, a_file(elsewhere, sequence=2))
    assert [a.code for a in other.outcomes[0].anomalies] == [Code.TERRITORY_NOT_MANDATED]
    wrong = await decide(reception, a_file(elsewhere, name="wrong.xml"))
    assert wrong.outcomes[0].anomalies == ()


async def test_who_may_not_create_may_do_what_else_it_may(register: Register) -> None:
    opened = await three_desks(register)
    await opened.enrol("agence", "59555", ["059"], rights=frozenset({Right.AMENDMENT, Right.RENEWAL}))
    number = await registered(opened)
    form = a_request("Durand", at="59512", desk="59555")
    (amended,) = await opened.act("MOD", about(number, form=form), sequence=2, desk="59555")
    assert number_of(amended) == number
    opened.wait(days=330)
    (renewed,) = await opened.act("REN", about(number), sequence=3, desk="59555")
    assert number_of(renewed) == number
    (ended,) = await opened.act("RAD", about(number, motive="RADABA"), sequence=4, desk="59555")
    assert not isinstance(ended, Registered)


async def test_a_suspended_desk_is_refused_until_it_is_released(reception: Reception) -> None:
    await reception.suspend_desk("59123")
    assert await refused(reception, of("59123")) == [Code.DESK_SUSPENDED]
    await reception.suspend_desk("59123", Standing.ACTIVE)
    assert number_of((await decide(reception, of("59123"))).outcomes[0])  # the refusal has bound no name


async def test_an_unknown_desk_is_told_before_a_suspension(reception: Reception) -> None:
    """Whether another's desk is suspended is nobody's business."""
    await reception.enrol("conseil", "59777")
    await reception.suspend_desk("59777")
    assert await refused(reception, of("59777")) == [Code.DESK_NOT_MANDATED]


async def test_a_form_of_another_desk_than_the_name_says_is_refused(reception: Reception) -> None:
    await reception.enrol(desk="59777")
    receipt = await decide(reception, a_file(a_request("A", desk="59777"), desk="59123"))
    (outcome,) = receipt.outcomes
    assert [a.code for a in outcome.anomalies] == [Code.DESK_MISMATCH]


async def test_a_wrong_name_is_refused_and_binds_nothing(reception: Reception) -> None:
    assert await refused(reception, a_file(a_request("A"), name="demandes.xml")) == [Code.FILE_NAME_WRONG]
    assert await bound(reception) == 0


@pytest.mark.parametrize(("operation", "code"), [("RET", Code.FILE_TYPE_NOT_INBOUND), ("COP", Code.COPY_NOT_BY_MAIL)])
async def test_what_no_mandate_can_allow_is_refused_for_what_it_is(
    reception: Reception, operation: str, code: Code
) -> None:
    assert code in await refused(reception, a_file(a_request("A"), operation=operation))


# Environments


async def test_production_refuses_the_desks_of_the_school(reception: Reception) -> None:
    await reception.enrol(desk="Z0001")
    assert await refused(reception, of("Z0001")) == [Code.SCHOOL_DESK]
    assert await bound(reception) == 0


async def test_the_school_refuses_all_other_desks(reception: Reception) -> None:
    await reception.enrol(desk="Z0001")
    reception.environment = Environment.SCHOOL
    assert await refused(reception, of("59123")) == [Code.NOT_A_SCHOOL_DESK]
    assert await bound(reception) == 0
    assert number_of((await decide(reception, of("Z0001"))).outcomes[0]) == "0590126000001Z0001"


# Enrolments that change


async def test_what_was_proven_against_older_enrolments_is_proven_again(reception: Reception) -> None:
    terms, submissions = await reception.prepare(sent(of("59123")))
    await reception.suspend_desk("59123")

    async def submit() -> None:
        async with reception.register.begin() as tx:
            await registrar.submit(tx, submissions, terms, AT)

    with pytest.raises(StaleDirectory):
        await submit()
    assert await bound(reception) == 0


async def test_new_terms_do_not_save_an_old_proof(reception: Reception) -> None:
    _, submissions = await reception.prepare(sent(of("59123")))
    await reception.suspend_desk("59123")
    terms = await reception.terms()

    async def submit() -> None:
        async with reception.register.begin() as tx:
            await registrar.submit(tx, submissions, terms, AT)

    with pytest.raises(StaleDirectory):
        await submit()


async def test_nor_do_old_terms_pass_a_new_proof(reception: Reception) -> None:
    old = await reception.terms()
    await reception.suspend_desk("59123")
    terms, submissions = await reception.prepare(sent(of("59123")))
    assert old.directory.generation < terms.directory.generation

    async def submit() -> None:
        async with reception.register.begin() as tx:
            await registrar.submit(tx, submissions, replace(terms, directory=old.directory), AT)

    with pytest.raises(StaleDirectory):
        await submit()
