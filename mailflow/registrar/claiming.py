"""Steps 2 to 4: what the rules and mandates say, then whose the reference and the identities are, then the number."""

import contextlib
from collections.abc import Mapping, Sequence

from mailflow.core import numbers, rules
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.life import Life
from mailflow.core.model import Refused, Right
from mailflow.core.numbers import Territory
from mailflow.core.signers import signers
from mailflow.register import Transaction, requests
from mailflow.register import numbers as counters
from mailflow.registrar.uniqueness import claim_persons
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
            signers=signers(form),
            warnings=anomalies,
        )


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
            candidate.follow(owner.request_id, owner.number, owner.life, chunk, clash=None)
        else:
            candidate.refuse(Anomaly(code=Code.REFERENCE_TAKEN, path=candidate.path))

    await claim_persons(tx, [c for c in candidates if c.stands], chunk)


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
