"""Steps 2 to 4: what the rules and mandates say, then whose the reference and the identities are, then the number."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from mailflow.core import numbers, rules
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import digest_of, without_nir
from mailflow.core.life import Action, Life
from mailflow.core.model import CREATIONS, Operation, Refused, Request, Right
from mailflow.core.numbers import Territory
from mailflow.core.signers import numbers_given, signers
from mailflow.register import Transaction, identities, requests, restoring
from mailflow.register import numbers as counters
from mailflow.registrar import acting
from mailflow.registrar.subjects import Subject, open_subjects, persons_in
from mailflow.registrar.uniqueness import claim_persons
from mailflow.registrar.work import Candidate, Change, Creation, FileWork, Known, element_of, in_turns, may


async def lock_subjects(tx: Transaction, works: Sequence[FileWork]) -> dict[str, Subject]:
    """The registered requests that these files are about, by number."""
    named = [
        (request.number, work.file.operation)
        for work in works
        if not work.blocked and work.file.operation is not Operation.CREATION
        for request in work.file.requests
        if request.number
    ]
    removals = {number for number, operation in named if operation is Operation.REMOVAL}
    return await open_subjects(tx, {number for number, _ in named}, removals)


def apply_rules(work: FileWork, subjects: Mapping[str, Subject]) -> None:
    """Refuse what is wrong by itself or by mandate; the door has run the pure rules on every request already."""
    operation = work.file.operation
    for position, request in enumerate(work.file.requests):
        anomalies = request.anomalies
        if not operation or operation is Operation.CREATION:
            anomalies += _elsewhere(work, position, request)
        if work.blocked or any(anomaly.blocks for anomaly in anomalies):
            work.outcomes[position] = Refused(anomalies=anomalies)
        elif operation is Operation.CREATION:
            work.outcomes[position] = _creation(work, position, request)
        elif (subject := subjects.get(request.number or "")) is None:
            work.outcomes[position] = Refused(anomalies=(*anomalies, acting.unknown(element_of(position))))
        else:
            work.outcomes[position] = _about(subject, work, position, request)


def _elsewhere(work: FileWork, position: int, request: Request) -> tuple[Anomaly, ...]:
    """A creation in a territory for which the desk has no mandate to create."""
    territory = rules.territory_sought(request.form) if request.form else None
    mandates = [mandate for mandate in work.mandates if mandate.desk == work.file.desk]
    if work.blocked or territory is None or may(mandates, Right.CREATION, territory):
        return ()
    path = f"{element_of(position)}/demandeLogement/logementRecherche"
    return (Anomaly(code=Code.TERRITORY_NOT_MANDATED, path=path),)


def _creation(work: FileWork, position: int, request: Request) -> Creation:
    form = request.form
    assert form is not None, "the rules refuse a creation without a form"
    assert form.deposited_on is not None, "the rules refuse a request without a date of deposit"
    territory = rules.territory_sought(form)
    assert territory is not None, "the rules refuse a request without a territory"
    nirs = numbers_given(form)
    claims = signers(form, nirs)
    return Creation(
        file=work,
        position=position,
        request=request,
        territory=territory,
        persons=frozenset(persons_in(territory, claims)),
        warnings=request.anomalies,
        claims=claims,
        form=form,
        nirs=nirs,
        life=Life.beginning(form.deposited_on),
    )


def _about(subject: Subject, work: FileWork, position: int, request: Request) -> Creation | Change:
    """What is done to a registered request; with it, after a separation, the creation of another one."""
    operation, form = work.file.operation, request.form
    assert operation is not None, "a file of no known type is refused"
    # Whoever is named in it by now may be named by what comes before this one in the chunk.
    subject.named |= persons_in(subject.territory, signers(form) if form else ())
    change = Change(
        file=work,
        position=position,
        request=request,
        territory=subject.territory,
        persons=frozenset({subject.number, *subject.named}),
        warnings=request.anomalies,
        subject=subject,
        action=acting.action_of(operation, request),
    )
    if operation not in CREATIONS:
        return change
    assert form is not None, "the rules refuse a creation without a form"
    return Creation(
        file=work,
        position=position,
        request=request,
        territory=subject.territory,
        persons=change.persons,
        warnings=request.anomalies,
        form=form,
        nirs={},
        life=subject.version.life,
        couple=change,
    )


async def claim_keys(tx: Transaction, candidates: Sequence[Creation | Change]) -> None:
    """Make references and identities ours, and judge what is done to registered requests.

    Requests of this chunk that share a reference, a person or a number are decided in successive turns, so that each
    is judged by what became of those before it.
    """
    chunk = {candidate.id: candidate for candidate in candidates}
    for turn in in_turns(candidates, _keys_of):
        await _bind_references(tx, [c for c in turn if isinstance(c, Creation)], chunk)
        judged = [candidate for candidate in turn if candidate.stands and candidate.change]
        for candidate in judged:
            acting.judge(candidate)
        await requests.release(tx, [c.id for c in judged if isinstance(c, Creation) and not c.stands])
        await _claim_turn(tx, [c for c in turn if c.stands], chunk)


def _keys_of(candidate: Creation | Change) -> set[object]:
    reference = candidate.reference if isinstance(candidate, Creation) else None
    return {*candidate.persons, reference} if reference else set(candidate.persons)


async def _bind_references(tx: Transaction, creations: Sequence[Creation], chunk: Mapping[str, Candidate]) -> None:
    wanted = {c.reference: c for c in creations if c.reference}
    bound = await requests.bind_references(tx, [(*ref, c.id, c.request.digest) for ref, c in wanted.items()])
    unbound = [reference for reference in wanted if reference not in bound]
    known = await requests.known_references(tx, unbound) if unbound else {}
    for reference, owner in known.items():
        creation = wanted[reference]
        if owner.digest == creation.request.digest:
            before = Known(number=owner.number, life=owner.life, revision=owner.revision) if owner.number else None
            creation.follow(owner.request_id, before, chunk, clash=None)
        else:
            creation.refuse(Anomaly(code=Code.REFERENCE_TAKEN, path=creation.path))


async def _claim_turn(tx: Transaction, candidates: Sequence[Creation | Change], chunk: Mapping[str, Candidate]) -> None:
    """Exchange the persons of requests: what one gives up is free for all that come after, if it is done at all."""
    changes = [candidate.change for candidate in candidates if candidate.change]
    given_up = [(change.subject.id, signer.key) for change in changes for signer in change.drops]
    withdrawn = await identities.withdraw(tx, given_up)
    await claim_persons(tx, candidates, chunk)
    await give_numbers(tx, [c for c in candidates if isinstance(c, Creation) and c.couple and c.stands])
    done = [candidate.change for candidate in candidates if candidate.change and candidate.stands]
    kept = {change.id for change in changes} - {change.id for change in done}
    await identities.restore(tx, [held for held in withdrawn if held.request_id in kept])
    await identities.settle(tx, [held for held in withdrawn if held.request_id not in kept])
    # Who comes before the removal in the chunk is still to be told of its persons; `remember` has them forgotten.
    removed = [change.subject.id for change in done if change.action is Action.REMOVAL]
    await requests.release(tx, removed, forget=False)
    for change in done:
        change.apply()


async def give_numbers(tx: Transaction, creations: Sequence[Creation]) -> None:
    """Dense sequences by territory and month. The counters stay locked until the commit: this comes late."""
    groups: dict[tuple[Territory, str], list[Creation]] = {}
    for candidate in await _give_reserved(tx, creations):
        groups.setdefault((candidate.territory, numbers.month_key(candidate.life.deposited_on)), []).append(candidate)
    exhausted: list[Creation] = []
    for key, group in sorted(groups.items()):
        sequences = await _allocate(tx, *key, len(group))
        for candidate, sequence in zip(group, sequences, strict=False):
            candidate.number = numbers.compose(
                candidate.territory, candidate.life.deposited_on, sequence, candidate.file.file.desk
            )
        exhausted += group[len(sequences) :]
    for candidate in exhausted:
        candidate.refuse(Anomaly(code=Code.SEQUENCE_EXHAUSTED))
    if exhausted:
        await requests.release(tx, [c.id for c in exhausted])


async def _give_reserved(tx: Transaction, creations: Sequence[Creation]) -> Sequence[Creation]:
    """Requests that had their numbers in a time that the register lost have the same again. Those that had none."""
    if not tx.reserved or not creations:
        return creations
    at = creations[0].file.decided_at
    # The surest first: a reference may have been another request's before.
    for place_of in (_in_its_file, _under_its_reference, _as_the_same_again):
        await _give_kept(tx, [(place, c) for c in creations if not c.number and (place := place_of(tx, c))], at)
    return [c for c in creations if c.number is None]


async def _give_kept(tx: Transaction, standing: Sequence[tuple[restoring.Place, Creation]], at: datetime) -> None:
    by_place = dict(standing)
    places = {place: (one.territory, numbers.month_key(one.life.deposited_on)) for place, one in by_place.items()}
    for place, number in (await restoring.give_reserved(tx, places, at)).items():
        by_place[place].number = number


def _in_its_file(_: Transaction, creation: Creation) -> restoring.Place:
    file = creation.file.file
    return restoring.Place(desk=file.desk, digest=file.digest, position=creation.position)


def _under_its_reference(tx: Transaction, creation: Creation) -> restoring.Place | None:
    return restoring.under_reference(tx, *creation.reference) if creation.reference else None


def _as_the_same_again(tx: Transaction, creation: Creation) -> restoring.Place | None:
    """It was told for the same request in another file, which was decided later."""
    form = creation.request.form
    if not creation.reference or not form:
        return None
    return restoring.under_reference(tx, *creation.reference, digest_of(without_nir(form)))


async def _allocate(tx: Transaction, territory: Territory, month: str, count: int) -> Sequence[int]:
    """As many sequences as there are left, `count` at most."""
    with contextlib.suppress(counters.SequenceExhausted):
        first = await counters.allocate(tx, territory, month, count)
        return range(first, first + count)
    left: list[int] = []
    with contextlib.suppress(counters.SequenceExhausted):
        while True:  # there are fewer than `count`, and a counter never goes back
            left.append(await counters.allocate(tx, territory, month, 1))
    return left
