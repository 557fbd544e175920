"""Creations that were wished for: what was said of each, against what was sent."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from mailflow.core import numbers
from mailflow.core.anomalies import Code
from tests.simulation.answers import Opened, Return
from tests.simulation.cast import CONSULTING
from tests.simulation.letters import Document, Expected, Letter, Wish

Owner = tuple[str, Wish]
"""A desk and its request: one that is sent again, in whatever file, is the same."""


class Requests:
    """What was said of each request, against what was sent."""

    def __init__(self, letters: Iterable[Letter], answers: Iterable[Opened]) -> None:
        self.documents: dict[tuple[str, str], Document] = {}
        for letter in letters:
            if letter.expected in {Expected.ANSWERED, Expected.EITHER} and letter.about is None:
                self.documents |= {(document.name, document.digest): document for document in letter.documents}
        self.returns: dict[tuple[str, str], list[Return]] = defaultdict(list)
        for answer in answers:
            for returned in answer.returns:
                self.returns[returned.name, returned.digest].append(returned)
        self.numbers: dict[str, set[Wish]] = defaultdict(set)
        """What was told, by number."""
        self.holders: dict[object, dict[str, Owner]] = defaultdict(dict)
        """Numbers, and the requests that have them, by what only one may have: person and territory, reference."""
        self.names: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Contents that got numbers, by desk and name of the file."""
        for key, returns in self.returns.items():
            if (document := self.documents.get(key)) is not None:
                self._note(document, returns)

    def _note(self, document: Document, returns: Iterable[Return]) -> None:
        for returned in returns:
            for wish, told in zip(document.wishes, returned.told, strict=True):
                if told.number:
                    self.numbers[told.number].add(wish)
                    for only_one in (*_identities(wish), *_reference(document, wish)):
                        self.holders[only_one][told.number] = (document.desk, wish)
                    self.names[document.desk, document.name].add(document.digest)

    def findings(self) -> Iterator[str]:
        for key, document in self.documents.items():
            if returns := self.returns.get(key):
                yield from self._of_document(document, returns)
        for number, wishes in self.numbers.items():
            if len(wishes) > 1:
                yield f"{number} was given to more than one request"
        for only_one, holders in self.holders.items():
            if len(holders) > 1:
                yield f"{only_one} is held twice: {sorted(holders)}"
        yield from (f"{name} is bound twice" for name, digests in self.names.items() if len(digests) > 1)

    def _of_document(self, document: Document, returns: list[Return]) -> Iterator[str]:
        bound = [returned for returned in returns if Code.FILE_NAME_TAKEN not in returned.codes]
        if len({returned.octets for returned in bound}) > 1:
            yield f"{document.name}: repeats got other RET octets"
        if bound and len(bound) != len(returns):
            yield f"{document.name}: a repeat was refused for its name"
        for returned in returns:
            excuses = [code for code in returned.codes if not self._excuses_file(code, document)]
            yield from (f"{document.name}: {code} without an excuse" for code in excuses)
            if document.desk not in CONSULTING and any(told.hinted for told in returned.told):
                yield f"{document.name}: a desk that may not consult learns that there may be a request"
            for wish, told in zip(document.wishes, returned.told, strict=True):
                yield from self._of_wish(document, returned, wish, told.number, told.codes)

    def _of_wish(
        self, document: Document, returned: Return, wish: Wish, number: str | None, codes: frozenset[str]
    ) -> Iterator[str]:
        if number is not None:
            if not wish.complete:
                yield f"{document.name}: a request with a fault has a number"
            parts = numbers.parse(number)
            if (parts.territory, numbers.month_key(wish.deposited_on)) != (wish.territory, number[3:7]):
                yield f"{document.name}: {number} does not say territory and month of the deposit"
        elif Code.FILE_NAME_TAKEN not in returned.codes and not any(
            self._excuses_request(code, document, wish) for code in codes
        ):
            yield f"{document.name}: an acceptable request has no number ({', '.join(sorted(codes))})"

    def _excuses_file(self, code: str, document: Document) -> bool:
        others = [other for other in self.documents.values() if other is not document and other.desk == document.desk]
        if code == Code.FILE_NAME_TAKEN:
            return any(other.name == document.name and self.returns[other.name, other.digest] for other in others)
        return code == Code.FILE_CONTENT_KNOWN and any(other.digest == document.digest for other in others)

    def _excuses_request(self, code: str, document: Document, wish: Wish) -> bool:
        if code == Code.VALUE_MISSING:
            return not wish.complete
        keys = {Code.REQUEST_EXISTS: _identities(wish), Code.REFERENCE_TAKEN: _reference(document, wish)}
        owners = [owner for key in keys.get(Code(code), ()) for owner in self.holders[key].values()]
        return any(owner != (document.desk, wish) for owner in owners)


def _identities(wish: Wish) -> list[object]:
    return [] if wish.of_association else [(wish.territory, person) for person in wish.persons]


def _reference(document: Document, wish: Wish) -> list[object]:
    return [(document.desk, "reference", wish.reference)] if wish.reference else []
