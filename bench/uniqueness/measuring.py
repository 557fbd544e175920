"""What is measured in a register of one size: how long checks and creations take, and whether near matches are told."""

import itertools
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from bench.uniqueness.desk import Decided, Desk
from bench.uniqueness.planting import KINDS, planted
from bench.uniqueness.population import Household, Population
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.model import Outcome, Refused, Registered
from mailflow.register.likeness import PERSONS_A_TOKEN_MAX

CHUNK = 50
"""As many mails as the worker decides at once."""
WARM_UP = 50


class NotAsExpectedError(Exception):
    """The register decided otherwise than it must: then there is nothing to report."""


async def measure(desk: Desk, population: Population, among: int, samples: int) -> dict[str, Any]:
    """All of it, in a register of the first `among` households and what was measured before."""
    for household in population.strangers(min(WARM_UP, samples), f"warm-up {among}"):
        await _created(desk, household)
    strangers = population.strangers(samples, f"measured {among}")
    frequent = population.frequent(samples, f"measured {among}")
    known = [household for _, household in population.some(samples, among, f"known {among}")]
    crowd = _crowd(population, among, PERSONS_A_TOKEN_MAX + samples // 5 + 1)
    await _decided(desk, crowd[: PERSONS_A_TOKEN_MAX + 1])
    return {
        "load": round(os.getloadavg()[0], 1),
        "new": await _creations(desk, strangers),
        "frequent names": await _creations(desk, frequent),
        "crowded tokens": await _creations(desk, crowd[PERSONS_A_TOKEN_MAX + 1 :]),
        "registered already": await _refusals(desk, known),
        "chunk": await _chunks(desk, population.strangers(samples, f"chunks {among}")),
        "planted": {kind: await _recall(desk, kind, population, among, max(2, samples // 5)) for kind in KINDS},
    }


async def _creations(desk: Desk, households: Iterable[Household]) -> dict[str, Any]:
    """First the checks by themselves, then each creation alone in its transaction."""
    submissions, checked = [], []
    for household in households:
        submission = await desk.sent(household)
        check = await desk.check(submission)
        if check.near is not None:  # else by chance the same person as somebody registered
            submissions.append(submission)
            checked.append((check.exact, check.near, check.opened))
    cpu = desk.cpu_seconds()
    decided = [await desk.decide(submission) for submission in submissions]
    cpu = desk.cpu_seconds() - cpu
    exact, near, opened = zip(*checked, strict=True)
    return {
        "exact": _times(exact),
        "near": _times(near),
        "creation": _times([one.seconds for one in decided]),
        "cpu_ms": 1000 * cpu / len(decided),
        "statements": statistics.median(one.statements for one in decided),
        "opened": {"mean": statistics.mean(opened), "max": max(opened)},
        "told": statistics.mean(bool(_told(one.outcomes[0])) for one in decided),
    }


async def _refusals(desk: Desk, households: Iterable[Household]) -> dict[str, Any]:
    """Persons who have a request."""
    exact, refusal = [], []
    for household in households:
        submission = await desk.sent(replace(household, nir=None))
        exact.append((await desk.check(submission)).exact)
        decided = await desk.decide(submission)
        (outcome,) = decided.outcomes
        if not isinstance(outcome, Refused) or Code.REQUEST_EXISTS not in {a.code for a in outcome.anomalies}:
            raise NotAsExpectedError(f"somebody was registered twice: {outcome}")
        refusal.append(decided.seconds)
    return {"exact": _times(exact), "refusal": _times(refusal)}


async def _chunks(desk: Desk, households: Iterable[Household]) -> dict[str, Any]:
    """Each request in a mail of its own, `CHUNK` of them in a transaction; seconds a request."""
    seconds = []
    waiting = iter(households)
    while chunk := list(itertools.islice(waiting, CHUNK)):
        submissions = [await desk.sent(household) for household in chunk]
        seconds.append((await desk.decide(*submissions)).seconds / len(chunk))
    return {"creation": _times(seconds)}


async def _recall(desk: Desk, kind: str, population: Population, among: int, count: int) -> dict[str, int]:
    """How many near matches of one kind were registered, and how many of these were told with the right number."""
    told, registered = 0, 0
    for one in planted(kind, population, among, count, desk.at):
        outcome = await _created(desk, one.household)
        registered += isinstance(outcome, Registered)
        told += one.owner in {anomaly.number for anomaly in _told(outcome)}
    return {"planted": registered, "told": told}


def _crowd(population: Population, among: int, count: int) -> Sequence[Household]:
    """So many persons of one first name and birth date, in one territory, that their token leads no further."""
    (first,) = population.frequent(1, f"crowd {among}")
    shared = replace(first.persons[0], first_name=f"Jean-Crowd{among}", born_on=date(1970, 1, 1))
    surnames = dict.fromkeys(one.persons[0].surname for one in population.strangers(2 * count, f"crowd {among}"))
    return [replace(first, persons=(replace(shared, surname=surname),)) for surname in list(surnames)[:count]]


async def _created(desk: Desk, household: Household) -> Outcome:
    return (await _decided(desk, [household])).outcomes[0]


async def _decided(desk: Desk, households: Sequence[Household]) -> Decided:
    return await desk.decide(await desk.sent(*households))


def _told(outcome: Outcome) -> list[Anomaly]:
    return [anomaly for anomaly in outcome.anomalies if anomaly.code is Code.REQUEST_MAY_EXIST]


def _times(seconds: Sequence[float]) -> Mapping[str, float]:
    """Milliseconds."""
    in_order = sorted(1000 * one for one in seconds)
    return {
        "samples": len(in_order),
        "median": statistics.median(in_order),
        "p99": in_order[min(len(in_order) - 1, len(in_order) * 99 // 100)],
        "max": in_order[-1],
    }
