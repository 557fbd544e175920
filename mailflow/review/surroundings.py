"""What the outcome of a mail hangs on beside the mail: the requests, references and files that it could meet then.

Requests that its own name, that hold one of its persons or somebody alike, or that had the desk's reference; each as
it stood when the mail was decided.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from mailflow.core.form import HousingRequest
from mailflow.core.identity import Profile, compare, near_keys
from mailflow.core.model import Operation, RequestFile, RequestState, Submission
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.rules import territory_sought
from mailflow.core.signers import Signer, numbers_given, signers
from mailflow.register import Transaction, history, identities, likeness, past, requests
from mailflow.register.past import Moment, PastFile, PastRequest
from mailflow.review.comparison import Doubt

Place = tuple[int, int]
"""Of a request: of its file in the mail and of itself in the file, both from 1."""
Key = tuple[Territory, str]
TERRITORY_CHARACTERS = 3
BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The register around one mail, when it was decided."""

    requests: tuple[PastRequest, ...]
    """In the order of their registration."""
    references: tuple[tuple[DeskCode, str, str, str], ...]
    """Desk, reference, request id and digest."""
    files: tuple[PastFile, ...]
    doubts: Mapping[Place, Doubt]


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One request of a mail, with what it may meet."""

    place: Place
    file: RequestFile
    number: str | None
    reference: tuple[DeskCode, str] | None
    territory: Territory | None
    form: HousingRequest | None
    met: set[UniqueNumber] = field(default_factory=set)
    doubt: Doubt | None = None


class Changes:
    """Whom requests held that have changed since a replay's first mail: they cannot be found by what they hold now."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._known: set[Territory] = set()
        self._holders: dict[Key, list[tuple[UniqueNumber, Profile]]] = defaultdict(list)
        self.erased: set[Territory] = set()
        """Where one of them was erased, so that nobody knows whom it held."""

    async def learn(self, tx: Transaction, territories: Set[Territory]) -> None:
        """All changes of these territories, each once."""
        numbers = await history.changed_since(tx, territories - self._known, self._since)
        self._known |= territories
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            stored, lives = await requests.find_all(tx, batch), await history.of_numbers(tx, batch)
            for number, one in stored.items():
                self._add(number, one, lives[number])

    def _add(self, number: UniqueNumber, stored: requests.StoredRequest, kept: Sequence[history.KeptEntry]) -> None:
        if stored.payload is None:
            self.erased.add(stored.territory)
        for entry, content in zip(kept, past.contents(stored, kept), strict=True):
            if entry.entry.life.state is RequestState.ACTIVE and content is not None:
                for signer in signers(HousingRequest.model_validate_json(content)):
                    for key in _keys(signer):
                        self._holders[stored.territory, key].append((number, signer.profile))

    def of(self, territory: Territory, signer: Signer) -> set[UniqueNumber]:
        """Those that held this person, or somebody alike, at some time."""
        there = [one for key in _keys(signer) for one in self._holders.get((territory, key), ())]
        return {number for number, profile in there if _meets(signer, profile)}


def _meets(signer: Signer, other: Profile) -> bool:
    """Whether uniqueness has anything to say of the two."""
    return signer.key == other.key or compare(signer.profile, other) is not None


def _keys(signer: Signer) -> Iterator[str]:
    yield f"exact|{signer.key}"
    yield from near_keys(signer.profile)


async def around(tx: Transaction, submission: Submission, moment: Moment, changes: Changes) -> Surroundings:
    """What the mail could meet. A dozen statements, however much is in it."""
    asked = _asked(submission)
    await changes.learn(tx, {one.territory for one in asked if one.territory is not None})
    named = await past.requests_at(tx, {one.number for one in asked if one.number}, moment)
    await _meet_persons(tx, asked, named, changes)
    known = await requests.known_references(tx, {one.reference for one in asked if one.reference})
    owners = {owner.number for owner in known.values() if owner.number}
    met = {number for one in asked for number in one.met} | owners
    there = named | await past.requests_at(tx, met - named.keys(), moment)
    names = {(file.desk, file.name) for file in submission.files}
    digests = {(file.desk, file.digest) for file in submission.files}
    files = await past.files_at(tx, names, digests, moment)
    released = await past.released_beside(tx, met)
    for one in asked:
        one.doubt = _doubt(one, there, files, released, known)
        if one.doubt is None and one.territory in changes.erased:
            one.doubt = Doubt.RIVAL_ERASED
    return Surroundings(
        requests=tuple(
            sorted(
                (request for request in there.values() if not request.erased),
                key=lambda request: (request.stored.registered_at, request.stored.number),
            )
        ),
        references=tuple(
            (desk, reference, owner.request_id, owner.digest)
            for (desk, reference), owner in known.items()
            if owner.number in there and not there[owner.number].erased
        ),
        files=tuple(files),
        doubts={one.place: one.doubt for one in asked if one.doubt is not None},
    )


def _asked(submission: Submission) -> list[_Asked]:
    found = []
    for place, file in enumerate(submission.files, 1):
        creation = file.operation is Operation.CREATION
        for position, request in enumerate(file.requests, 1):
            blocked = any(anomaly.blocks for anomaly in (*file.anomalies, *request.anomalies))
            number = None if creation or blocked else request.number
            form = None if blocked else request.form
            reference = (file.desk, request.reference) if form is not None and request.reference else None
            territory = Territory(number[:TERRITORY_CHARACTERS]) if number else None
            if creation and form is not None:
                territory = territory_sought(form)
            found.append(
                _Asked(
                    place=(place, position),
                    file=file,
                    number=number,
                    reference=reference,
                    territory=territory,
                    form=form,
                )
            )
    return found


async def _meet_persons(
    tx: Transaction, asked: Sequence[_Asked], named: Mapping[UniqueNumber, PastRequest], changes: Changes
) -> None:
    """Whoever holds, or held, a person of each request, or somebody alike; the request that it names is one of them."""
    persons = [
        (one, one.territory, signer)
        for one in asked
        if one.territory is not None
        for signer in _persons(one, named.get(UniqueNumber(one.number or "")))
    ]
    claims = [
        identities.IdentityClaim(territory=territory, key=signer.key, ordinal=0, request_id="", nir=signer.nir)
        for _, territory, signer in persons
    ]
    sought = [likeness.Sought(territory=there, keys=near_keys(signer.profile)) for _, there, signer in persons]
    rivals, near = await identities.rivals(tx, claims), await likeness.find(tx, sought)
    for (one, territory, signer), others, alike in zip(persons, rivals, near, strict=True):
        one.met |= {rival.number for rival in others if rival.number}
        one.met |= {known.number for known in alike.known if _meets(signer, Profile(known.identity))}
        one.met |= changes.of(territory, signer)
    for one in asked:
        if one.number and one.number in named:
            one.met.add(UniqueNumber(one.number))


def _persons(one: _Asked, subject: PastRequest | None) -> Iterator[Signer]:
    """Those that it brings, and those of the request that it names: a reactivation claims them again."""
    if one.form is not None:
        yield from signers(one.form, numbers_given(one.form))
    if subject is not None and subject.stored.payload is not None:
        yield from signers(HousingRequest.model_validate_json(subject.stored.payload), subject.nirs_now)


def _doubt(
    one: _Asked,
    there: Mapping[UniqueNumber, PastRequest],
    files: Iterable[PastFile],
    released: set[tuple[str, str]],
    known: Mapping[tuple[DeskCode, str], requests.KnownReference],
) -> Doubt | None:
    """Why a difference in its outcome may come from what could not be rebuilt."""
    met = [there[number] for number in one.met if number in there]
    same = [file for file in files if file.desk == one.file.desk and one.file.digest == file.digest]
    if any(not file.receipt for file in same):
        return Doubt.FILE_ERASED
    if any(request.erased for request in met):
        return Doubt.ERASED
    if any((number, one.file.desk) in released for number in one.met):
        return Doubt.HOMONYM
    if any(request.rebuilt and request.nirs_now for request in met):
        return Doubt.NIR
    return Doubt.REFERENCE if one.reference is not None and one.reference not in known else None
