"""What comes the night after: a `DIS` file for a neighbouring desk, and notice of what ends soon."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime

from mailflow.core.calendar import PARIS
from mailflow.core.form import HousingRequest, without_nir
from mailflow.core.life import Life
from mailflow.core.model import Environment, Operation, Registered, RequestState
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.core.separation import without
from mailflow.wire.dispatch import Dispatched, dispatch_name, write_dispatch
from mailflow.wire.envelope import RequestElement
from mailflow.wire.notice import notice_name, write_notice
from mailflow.wire.samples.exchange import Exchange, FileSample
from mailflow.wire.samples.forms import SAMPLE_DESK
from mailflow.wire.samples.story import ENDING, EXCHANGES

NEIGHBOUR = DeskCode("Z0002")
THAT_NIGHT = datetime(2026, 1, 16, 4, 0, tzinfo=PARIS)


def dispatch_files() -> dict[str, bytes]:
    """The `DIS` file, by its name."""
    content = write_dispatch(list(_stand().values()), environment=Environment.SCHOOL, at=THAT_NIGHT)
    return {dispatch_name(NEIGHBOUR, 1, THAT_NIGHT): content}


def notice_files() -> dict[str, bytes]:
    """The list of what ends soon, by its name."""
    return {notice_name(SAMPLE_DESK, ENDING): write_notice([(ENDING, date(2026, 2, 10))], Environment.SCHOOL)}


def _stand() -> dict[UniqueNumber, Dispatched]:
    """How every request stands in the end, in the order in which they were registered."""
    stand: dict[UniqueNumber, Dispatched] = {}
    forms: dict[UniqueNumber, HousingRequest] = {}
    for exchange, operation, request, outcome in _done():
        number = outcome.number
        if request.form is not None:
            forms[number] = without_nir(request.form)
        stand[number] = _told(exchange, operation, request, outcome, forms[number])
        if operation is Operation.CREATION_AFTER_SEPARATION:
            couple = UniqueNumber(request.number or "")
            forms[couple] = without(forms[couple], "coDemandeur")
            stand[couple] = replace(
                stand[couple],
                form=forms[couple],
                revision=stand[couple].revision + 1,
                changed_at=exchange.decided_at,
                operation=operation,
            )
    return stand


def _done() -> Iterator[tuple[Exchange, Operation, RequestElement, Registered]]:
    """Each operation that is done, in order."""
    for exchange in EXCHANGES:
        for file in exchange.files:
            if isinstance(file, FileSample):
                for request, outcome in zip(file.requests, file.outcomes, strict=False):
                    if isinstance(outcome, Registered):
                        yield exchange, file.operation, request, outcome


def _told(
    exchange: Exchange, operation: Operation, request: RequestElement, outcome: Registered, form: HousingRequest
) -> Dispatched:
    motive = request.deregistration.motive if request.deregistration else None
    return Dispatched(
        number=outcome.number,
        life=Life(
            state=outcome.state,
            motive=motive,
            deposited_on=date.min,  # which is not told
            expires_on=outcome.expires_on,
        ),
        revision=outcome.revision,
        changed_at=exchange.decided_at,
        operation=operation,
        actor=exchange.desk,
        form=form if outcome.state is RequestState.ACTIVE else None,
    )
