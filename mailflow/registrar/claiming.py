"""Steps 2 to 4: what the rules and mandates say, then whose the reference and the identities are, then the number."""

import contextlib
from collections.abc import Mapping, Sequence

from mailflow.core import identity, numbers, rules
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.life import Life
from mailflow.core.model import Refused, Right
from mailflow.core.numbers import Territory
from mailflow.register import Transaction, requests
from mailflow.register import numbers as counters
from mailflow.registrar.work import Candidate, FileWork, in_turns, may, request_path


def apply_rules(work: FileWork) -> None:
    """Refuse what is wrong by itself or by mandate; the door has run the pure rules on every request already."""
    file = work.file
    mandates = [mandate for mandate in work.mandates if mandate.desk == file.desk]
    for position, request in enumerate(file.requests):
        form = request.form
        if form is None:
            work.outcomes[position] = Refused(anomalies=request.anomalies)
            continue
        anomalies = request.anomalies
        territory = rules.territory_sought(form)
        if not work.blocked and territory and not may(mandates, Right.CREATION, territory):
            anomalies += (
                Anomaly(code=Code.TERRITORY_NOT_MANDATED, path=f"{request_path(position)}/logementRecherche"),
            )
        if work.blocked or any(anomaly.blocks for anomaly in anomalies):
            work.outcomes[position] = Refused(anomalies=anomalies)
            continue
        assert territory is not None, "the rules refuse a request without a territory"
        assert form.deposited_on is not None, "the rules refuse a request without a date of deposit"
        work.outcomes[position] = Candidate(
            file=work,
            position=position,
            request=request,
            form=form,
            territory=territory,
            life=Life.beginning(form.deposited_on),
            keys=_identity_keys(form),
            warnings=anomalies,
        )


def _identity_keys(form: HousingRequest) -> tuple[str, ...]:
    """One key for each person who would sign the lease. Two persons of one request may not share a key."""
    person = form.person
    keys = []
    for somebody in (person.applicant, person.co_applicant) if person else ():
        if somebody is not None:
            assert somebody.surname, "the rules refuse a person without a surname"
            assert somebody.first_name, "the rules refuse a person without a first name"
            assert somebody.born_on, "the rules refuse a person without a date of birth"
            keys.append(identity.exact_key(somebody.surname, somebody.first_name, somebody.born_on))
    return tuple(dict.fromkeys(keys))


async def claim_keys(tx: Transaction, candidates: Sequence[Candidate]) -> None:
    """Make references and identities ours.

    Requests of this chunk that share one are decided in successive turns, so that each is judged by what
    became of those before it.
    """
    chunk = {candidate.id: candidate for candidate in candidates}
    for turn in in_turns(candidates, _keys_of):
        await _claim_turn(tx, turn, chunk)


def _keys_of(candidate: Candidate) -> set[object]:
    persons: set[object] = {(candidate.territory, key) for key in candidate.keys}
    return persons | ({candidate.reference} if candidate.reference else set())


async def _claim_turn(tx: Transaction, candidates: Sequence[Candidate], chunk: Mapping[str, Candidate]) -> None:
    wanted = {c.reference: c for c in candidates if c.reference}
    bound = await requests.bind_references(tx, [(*ref, c.id, c.request.digest) for ref, c in wanted.items()])
    unbound = [reference for reference in wanted if reference not in bound]
    known = await requests.known_references(tx, unbound) if unbound else {}
    for reference, owner in known.items():
        candidate = wanted[reference]
        if owner.digest == candidate.request.digest:
            candidate.follow(owner.request_id, owner.number, owner.life, chunk, replays=True)
        else:
            candidate.refuse(Anomaly(code=Code.REFERENCE_TAKEN, path=candidate.path))

    standing = [c for c in candidates if c.stands]
    claims = [
        requests.IdentityClaim(territory=c.territory, key=key, ordinal=0, request_id=c.id)
        for c in standing
        for key in c.keys
    ]
    ours = await requests.claim_identities(tx, claims) if claims else set()
    lost = {claim.request_id for index, claim in enumerate(claims) if index not in ours}
    losers = [c for c in standing if c.id in lost]
    if not losers:
        return
    holders = await requests.holders(tx, [(c.territory, key) for c in losers for key in c.keys])
    for candidate in losers:
        found = (holders[candidate.territory, key] for key in candidate.keys)
        theirs = next(holder for holder in found if holder.request_id != candidate.id)
        candidate.follow(theirs.request_id, theirs.number, None, chunk, replays=False)
    await requests.release(tx, [c.id for c in losers])


async def give_numbers(tx: Transaction, candidates: Sequence[Candidate]) -> None:
    """Dense sequences by territory and month. The counters stay locked until the commit: this comes late."""
    groups: dict[tuple[Territory, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.territory, numbers.month_key(candidate.life.deposited_on)), []).append(candidate)
    exhausted: list[Candidate] = []
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


async def _allocate(tx: Transaction, territory: Territory, month: str, count: int) -> Sequence[int]:
    """As many sequences as there are left, `count` at most."""
    with contextlib.suppress(counters.SequenceExhausted):
        first = await counters.allocate(tx, territory, month, count)
        return range(first, first + count)
    left: list[int] = []
    with contextlib.suppress(counters.SequenceExhausted):
        while len(left) < count:
            left.append(await counters.allocate(tx, territory, month, 1))
    return left
