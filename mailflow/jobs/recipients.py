"""Whom the jobs write to. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from mailflow.core.model import Directory, EnrolledSender, Mandate, Right, Standing
from mailflow.core.numbers import DeskCode, Territory


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Who is told what others do in a territory: a sender, for a desk."""

    sender: EnrolledSender
    desk: DeskCode
    territory: Territory
    since: date
    """The first day of the mandate, or of those that it follows without a day between: what was done before is not
    told."""

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.sender.code, self.desk, self.territory)


def _in_force(directory: Directory, day: date) -> Iterator[tuple[EnrolledSender, Mandate]]:
    active = {desk.code for desk in directory.desks.values() if desk.standing is Standing.ACTIVE}
    for sender in directory.senders:
        if sender.standing is Standing.ACTIVE:
            for mandate in sender.mandates:
                if mandate.holds_on(day) and mandate.desk in active:
                    yield sender, mandate


def desks_to_tell(directory: Directory, day: date) -> Mapping[DeskCode, EnrolledSender]:
    """The sender that acts for each desk; of several the one whose mandate began last."""
    found: dict[DeskCode, tuple[date, EnrolledSender]] = {}
    for sender, mandate in _in_force(directory, day):
        if mandate.desk not in found or found[mandate.desk][0] < mandate.starts_on:
            found[mandate.desk] = (mandate.starts_on, sender)
    return {desk: sender for desk, (_, sender) in found.items()}


def streams(directory: Directory, day: date) -> list[Stream]:
    """Those who may learn of others' requests (the right `consulter`), by sender, desk and territory."""
    found: dict[tuple[str, str, str], Stream] = {}
    for sender, mandate in _in_force(directory, day):
        if Right.CONSULT in mandate.rights:
            since = _without_a_break(sender, mandate)
            new = Stream(sender=sender, desk=mandate.desk, territory=mandate.territory, since=since)
            known = found.get(new.key)
            if known is None or new.since < known.since:
                found[new.key] = new
    return [found[key] for key in sorted(found)]


def _without_a_break(sender: EnrolledSender, mandate: Mandate) -> date:
    """Since when the sender may learn of others' requests there: to change a mandate is to end it and add another."""
    same = [m for m in sender.mandates if (m.desk, m.territory) == (mandate.desk, mandate.territory)]
    may = [one for one in same if Right.CONSULT in one.rights]
    since = mandate.starts_on
    while earlier := [m.starts_on for m in may if m.holds_on(since - timedelta(days=1))]:
        since = min(earlier)
    return since
