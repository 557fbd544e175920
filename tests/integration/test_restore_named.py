"""Of a number that the register lost only the answer to another desk tells, as that of a request that exists."""

from dataclasses import replace
from datetime import date

from mailflow.core import numbers
from mailflow.core.model import Right
from mailflow.mail import entities, recovery
from mailflow.mail.hindsight import survey
from mailflow.mail.recovery import Recovery
from mailflow.register import directory
from tests.support.fake_mailer import Fate
from tests.support.judging import a_dem, dem_name, mailed, mairie, multipart, signed
from tests.support.operating import ACT
from tests.support.pki import shared_pki
from tests.support.restored import Loser, a_letter, resume, unexplained


async def test_a_number_that_only_another_answer_names_goes_to_nobody(loser: Loser) -> None:
    """The answer to the request that has it never left; it was told who asked for the same person again."""
    house = loser.house
    (mandate,) = mairie().enrolment().mandates
    consulting = replace(mandate, rights=frozenset({Right.CONSULT}), starts_on=date(2025, 2, 1))
    async with house.register.begin() as tx:
        change = directory.Change(by="operator", why="test", at=house.now)
        await directory.add_mandate(tx, mairie().enrolment().code, consulting, change)
    backup = await loser.back_up()
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    house.mailbox.deliver(a_letter(3))
    assert (await loser.work()).deferred == 1
    (number,) = await loser.numbers()
    other_file = a_dem("Nomc").replace(b"0199001234", b"0199004321")
    again = mailed(signed(multipart(entities.file_part(dem_name(4), other_file, "application/xml"))))
    house.mailbox.deliver(again.replace(b"<1@mairie.example>", b"<again@mairie.example>"))
    assert (await loser.work()).sent == 1
    await house.register.close()
    loser.use(backup)
    del house.mailbox.folders["Processed"][:]
    processed, audit = loser.trails
    loss = await survey(house.register, processed, audit)
    ours = [shared_pki().service_ec.der]
    went_out = await recovery.read_answers(audit, loss, [mairie().decryption_key], ours, house.now)
    assert not went_out.numbers
    assert went_out.named == {number}
    todo = Recovery(loss=loss, went_out=went_out, jump=0)
    assert (await recovery.recover(house.register, processed, "service", todo, ACT, house.now)).reserved == 1
    await resume(loser)
    house.mailbox.deliver(a_letter(4))
    await loser.work()
    (given,) = await loser.numbers()
    assert numbers.parse(given).sequence == 2
    assert not await unexplained(loser), "the reconciliation knows what is kept"
