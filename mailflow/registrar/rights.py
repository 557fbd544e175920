"""For which desk a sender may act at all, whatever it asks for."""

from collections.abc import Sequence
from datetime import date

from mailflow.core import numbers
from mailflow.core.anomalies import Code
from mailflow.core.model import EnrolledSender, Environment, Mandate, Standing
from mailflow.core.numbers import DeskCode
from mailflow.registrar.work import Terms


def mandates_for(sender: EnrolledSender, desk: DeskCode, day: date) -> Sequence[Mandate]:
    """The sender's mandates for that desk that hold on `day`."""
    return [mandate for mandate in sender.mandates if mandate.desk == desk and mandate.holds_on(day)]


def desk_refusal(sender: EnrolledSender, desk: DeskCode, terms: Terms, day: date) -> Code | None:
    """Why the sender may do nothing for that desk; None when it may do something.

    The desk stands in signed bytes. So what was sent to the school and forwarded to production, or the other way
    round, is refused here, whoever is enrolled in both.
    """
    school = terms.environment is Environment.SCHOOL
    if numbers.is_school_desk(desk) and not school:
        return Code.SCHOOL_DESK
    if school and not numbers.is_school_desk(desk):
        return Code.NOT_A_SCHOOL_DESK
    if not mandates_for(sender, desk, day):
        return Code.DESK_NOT_MANDATED
    if terms.directory.desks[desk].standing is Standing.SUSPENDED:
        return Code.DESK_SUSPENDED
    return None
