"""What desks that may consult know of their territories, from answers and dispatches: all of it, each thing once."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from mailflow.core.numbers import UniqueNumber
from mailflow.mail import holdings
from mailflow.mail.holdings import Holding
from mailflow.register.requests import StoredRequest
from mailflow.wire.writer import STATES
from tests.simulation.answers import Opened, OpenedDispatch
from tests.simulation.cast import CONSULTING, KNOWN, the_cast
from tests.simulation.lives import ACTIVE

Known = tuple[str, date | None, tuple[str, ...] | None]
"""State of a request; its last day and its persons while it is active."""


def names(form: Mapping[str, Any]) -> tuple[str, ...]:
    """Surnames of those who sign it, or the association's name."""
    if "personneMorale" in form:
        return (form["personneMorale"]["raisonSociale"],)
    persons = form["personnePhysique"]
    return tuple(persons[role]["nom"] for role in ("demandeur", "coDemandeur") if role in persons)


class Copies:
    """What each of those desks was sent."""

    def __init__(self, answers: Sequence[Opened], dispatches: Iterable[OpenedDispatch]) -> None:
        self.dispatches: dict[str, dict[int, OpenedDispatch]] = defaultdict(dict)
        self.wrong: list[str] = []
        for one in sorted(dispatches, key=lambda one: one.at):
            first = self.dispatches[one.desk].setdefault(one.sequence, one)
            if first.message_id != one.message_id:
                self.wrong.append(f"dispatch {one.sequence} of {one.desk} has several mails")
            if one.desk not in CONSULTING or one.desk not in [desk for desk, _ in one.sender.desks]:
                self.wrong.append(f"dispatch {one.sequence} of {one.desk} went to {one.sender.code}")
        self.returns: dict[str, list[bytes]] = defaultdict(list)
        self.told_at: dict[str, datetime] = {}
        """When the answer left that gave a number."""
        before = {known.number for known in KNOWN}
        for answer in sorted(answers, key=lambda answer: answer.at):
            for file in answer.returns:
                self.returns[file.name[3:8]].append(file.octets)
                for told in file.told:
                    if told.number and told.number not in before:
                        self.told_at.setdefault(told.number, answer.at)

    def findings(self, stored: Mapping[UniqueNumber, StoredRequest], changed: set[str]) -> Iterator[str]:
        """`stored` is the register, `changed` the numbers in it that more was done to than to create them."""
        yield from self.wrong
        for desk, territory in the_cast().senders[1].desks:
            there = {number: one for number, one in stored.items() if number.startswith(territory)}
            yield from self._of_desk(desk, there, changed)

    def _of_desk(self, desk: str, stored: Mapping[UniqueNumber, StoredRequest], changed: set[str]) -> Iterator[str]:
        mine = self.dispatches[desk]
        if sorted(mine) != list(range(1, len(mine) + 1)):
            yield f"the dispatches of {desk} have holes: {sorted(mine)}"
        known: dict[str, Holding] = {}
        for octets in (*(one.octets for one in mine.values()), *self.returns[desk]):
            known = holdings.apply(known, octets)
        for number in sorted(stored.keys() | {UniqueNumber(number) for number in known}):
            told = [one for one in mine.values() if number in one.numbers]
            if (is_known := _known(known.get(number))) != (stands := _standing(stored.get(number))):
                yield f"{number}: {desk} knows {is_known}, and it is {stands}"
            if number not in changed and len(told) != (not number.endswith(desk)):
                yield f"{number}: {desk} was told {len(told)} times that there is such a request"
            for one in told:
                if number in self.told_at and one.at < self.told_at[number]:
                    yield f"{number}: {desk} learns of it before the desk that it was given to"


def _known(one: Holding | None) -> Known | None:
    if one is None:
        return None
    return one.state, one.expires_on, names(one.form) if one.form else None


def _standing(one: StoredRequest | None) -> Known | None:
    if one is None:
        return None
    state = STATES[one.life.state]
    assert one.payload is not None
    return (state, one.life.expires_on, names(json.loads(one.payload))) if state == ACTIVE else (state, None, None)
