"""Notices and dispatches as a desk reads them: everything inside, nothing in the subject."""

import zlib
from dataclasses import replace
from datetime import date

from mailflow.core.model import Environment, SenderCode
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.jobs.orders import DISPATCHES, NOTICES, Dispatch, Notice
from mailflow.mail.kinds import KINDS
from mailflow.mail.letter import Letter, Letterhead

LETTERHEAD = Letterhead(
    name="Service", address="demandes@service.test", contact="01", environment=Environment.PRODUCTION
)
NOTICE = Notice(
    sender=SenderCode("mairie"),
    desk=DeskCode("59123"),
    requests=((UniqueNumber("059012600000159123"), date(2027, 1, 12)),),
)
DISPATCH = Dispatch(
    sender=SenderCode("mairie"),
    desk=DeskCode("59123"),
    territory="059",
    number=12,
    name="DIS59123-202601160400-000012.xml",
    requests=3,
    content=zlib.compress(b"<file/>"),
)


def letter(kind: str, order: object, environment: Environment = Environment.PRODUCTION) -> Letter:
    adapter = KINDS[kind].order
    return KINDS[kind].write(
        adapter.validate_json(adapter.dump_json(order)), replace(LETTERHEAD, environment=environment), {}
    )


def test_orders_are_kept_whole() -> None:
    assert NOTICES.validate_json(NOTICES.dump_json(NOTICE)) == NOTICE
    assert DISPATCHES.validate_json(DISPATCHES.dump_json(DISPATCH)) == DISPATCH


def test_a_notice_lists_numbers_with_their_last_day_for_people_and_programs() -> None:
    written = letter("notice", NOTICE)
    (attached,) = written.attachments
    assert "  059012600000159123 : dernier jour 12/01/2027" in written.text
    assert attached.name == "preavis-59123-059012600000159123.csv"
    assert attached.content == b"numUnique;echeance;environnement\r\n059012600000159123;2027-01-12;production\r\n"
    assert (written.subject, written.to.sender, written.to.certificate) == ("Préavis d'échéance", "mairie", None)


def test_a_dispatch_carries_its_file_under_its_name() -> None:
    written = letter("dispatch", DISPATCH)
    (attached,) = written.attachments
    assert (attached.name, attached.content) == (DISPATCH.name, b"<file/>")
    assert "dispatching n° 12" in written.text
    assert (written.subject, written.automatic) == ("Dispatching 12", "auto-generated")
