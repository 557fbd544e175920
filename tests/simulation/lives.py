"""What becomes of registered requests, by a model of a few lines: it knows only what was sent.

The order in which mails are decided is not told anywhere. So for each request there must be one order of the mails
about it in which the model says all that was told, and ends as the register does.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.core.model import Operation
from tests.simulation.answers import Told
from tests.simulation.cast import KNOWN, the_cast
from tests.simulation.letters import Document, Order

CREATOR = the_cast().senders[0].desks[0][0]
ACTIVE, ENDED, REMOVED = "active", "radiee", "supprimee"


@dataclass(slots=True, kw_only=True)
class Life:
    """How a request stands."""

    persons: tuple[str, ...]
    state: str = ACTIVE
    dated_at: datetime | None = None
    """Of the last mail about it."""
    renewed: bool = False
    others_acted: bool = False
    operation: str = Operation.CREATION.value
    """The last that changed it."""


@dataclass(slots=True)
class Model:
    """The requests of one case, by number; those that come to be by the place of their mail."""

    lives: dict[object, Life]

    def decide(self, place: int, document: Document) -> tuple[str | None, frozenset[str]]:
        """The state in which a mail leaves the request that it tells of, and the codes; None for a refusal."""
        if document.order is None:
            (wish,) = document.wishes
            return self._create(place, wish.persons)
        return self._change(place, document, document.order)

    def _create(self, place: int, persons: Sequence[str]) -> tuple[str | None, frozenset[str]]:
        if self._taken(persons):
            return _refused(Code.REQUEST_EXISTS)
        self.lives[place] = Life(persons=tuple(persons))
        return ACTIVE, frozenset()

    def _taken(self, persons: Sequence[str], by_others_than: Life | None = None) -> bool:
        others = [life for life in self.lives.values() if life.state == ACTIVE and life is not by_others_than]
        return any(set(persons) & set(life.persons) for life in others)

    def _change(self, place: int, document: Document, order: Order) -> tuple[str | None, frozenset[str]]:
        life = self.lives[order.number]
        if codes := self._refusal(life, document, order):
            return _refused(*codes)
        warnings: set[Code] = set()
        before = (life.persons, life.state, life.renewed)
        match order.operation:
            case Operation.CREATION_AFTER_SEPARATION:
                life.persons = tuple(person for person in life.persons if person not in order.persons)
                self.lives[place] = Life(persons=order.persons)
            case Operation.DEREGISTRATION:
                life.state = ENDED if order.motive else ACTIVE
            case Operation.REMOVAL:
                life.state = REMOVED
            case Operation.RENEWAL:
                warnings = {Code.RENEWED_ALREADY} if life.renewed else set()
                life.renewed = True
        if order.persons and order.operation is not Operation.CREATION_AFTER_SEPARATION:
            life.persons = order.persons
        if before != (life.persons, life.state, life.renewed):
            life.others_acted |= document.desk != CREATOR
            life.operation = order.operation.value
        life.dated_at = document.dated_at
        created = order.operation is Operation.CREATION_AFTER_SEPARATION
        return ACTIVE if created else life.state, frozenset(code.value for code in warnings)

    def _refusal(self, life: Life, document: Document, order: Order) -> list[Code]:
        reactivates = order.operation is Operation.DEREGISTRATION and order.motive is None
        removes = order.operation is Operation.REMOVAL
        leaves = order.operation is Operation.CREATION_AFTER_SEPARATION
        if order.holder not in life.persons:
            return [Code.NUMBER_UNKNOWN]
        if life.state == REMOVED:
            return [Code.NUMBER_REMOVED]
        if removes and document.desk != CREATOR:
            return [Code.NOT_THE_CREATOR]
        if not removes and (life.state == ACTIVE) == reactivates:
            return [Code.ALREADY_ACTIVE if reactivates else Code.NOT_ACTIVE]
        if order.motive == "RADREN":
            return [Code.MANAGER_ONLY]
        found = [Code.FILE_OVERTAKEN] if life.dated_at and document.dated_at < life.dated_at else []
        if removes and life.others_acted:
            found.append(Code.ACTED_ON_BY_OTHERS)
        if leaves and (len(life.persons) == 1 or order.persons[0] not in life.persons):
            found.append(Code.NOT_OF_THE_COUPLE)
        holders = order.persons or (life.persons if reactivates else ())
        return found or ([Code.REQUEST_EXISTS] if self._taken(holders, by_others_than=life) else [])


def _refused(*codes: Code) -> tuple[None, frozenset[str]]:
    return None, frozenset(code.value for code in codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An order of the mails of a case in which the model says all that was told."""

    order: tuple[int, ...]
    """The places of the mails."""
    lives: Mapping[object, Life]
    """How the requests stand at the end. Those that came to be are named by the place of their mail."""
    stages: tuple[Life, ...]
    """How the registered one stood before the first mail, and after each."""


def explanations(number: str, documents: Sequence[Document], told: Sequence[Told]) -> Iterator[Explanation]:
    """Of what was told of a registered request by the answers to these mails."""
    (known,) = (one for one in KNOWN if one.number == number)
    for order in itertools.permutations(range(len(documents))):
        model, said = Model({number: Life(persons=known.persons)}), dict[int, tuple[str | None, frozenset[str]]]()
        stages = [replace(model.lives[number])]
        for place in order:
            said[place] = model.decide(place, documents[place])
            stages.append(replace(model.lives[number]))
        if all(said[place] == (one.state, one.codes) for place, one in enumerate(told)):
            yield Explanation(order=order, lives=model.lives, stages=tuple(stages))
