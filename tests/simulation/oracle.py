"""What must be true at the end of a run, computed from what was sent; every finding is a broken promise.

The order in which mails are decided is not told anywhere, so of requests that exclude each other any one may be
registered; but each refusal must be excused by another request that was sent, and that has its number.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

import sqlalchemy as sa

from mailflow.core import numbers
from mailflow.core.model import Operation
from mailflow.mail.audit import GAPS_MIN
from mailflow.register import requests
from mailflow.register.requests import StoredRequest
from mailflow.register.sequences import passed_over
from mailflow.wire.writer import STATES
from tests.simulation import losses, remains, successions
from tests.simulation.answers import (
    Opened,
    OpenedDispatch,
    OpenedNotice,
    OpenedReceipt,
    OpenedSuccession,
    Return,
    Told,
    read,
)
from tests.simulation.cast import KNOWN, the_cast
from tests.simulation.copies import Copies, names
from tests.simulation.glimpses import Files, Glimpse, glimpses
from tests.simulation.letters import Document, Expected, Letter
from tests.simulation.lives import Life, explanations
from tests.simulation.run import Run
from tests.simulation.service import AUDIT_WAIT, DEADLINE, LEASE, RESERVE, SENDING_MAX
from tests.simulation.wishes import Requests
from tests.simulation.world import STALL, Transfer
from tests.support.pki import AT

SLACK = timedelta(minutes=1)
DECIDED_TWICE = """SELECT intake_id FROM journal GROUP BY intake_id HAVING 1 < sum(
    CASE kind WHEN 'mail-answered' THEN 1 WHEN 'mail-set-aside' THEN 1 WHEN 'mail-rejudged' THEN -1 ELSE 0 END)"""


async def judge(run: Run) -> list[str]:
    """Every broken promise of this run, in words."""
    opened = [read(transfer, the_cast()) for transfer in run.transfers]
    answers = [one for one in opened if isinstance(one, Opened)]
    in_lost_time = [read(transfer, the_cast()) for transfer in run.losses.in_lost_time(run.world.transfers)]
    lost = [one for one in in_lost_time if isinstance(one, Opened)]
    seen = list(glimpses(run.letters, answers))
    found = [
        *_letters_are_answered(run, answers),
        *_one_answer_a_mail(run, answers),
        *_attestations_are_issued_once(run, answers, lost),
        *_copies_are_excused(run),
        *_nothing_is_numbered_while_numbers_are_stopped(run),
        *_receipts_come_first(run, [one for one in opened if isinstance(one, OpenedReceipt)], answers),
        *_notices_are_given_once(run, [one for one in opened if isinstance(one, OpenedNotice)]),
        *Requests(run.letters, answers).findings(),
        *await _lives_are_explained(run, answers, seen),
        *Files(answers).findings(seen),
        *_the_suspect_is_told_nothing(run, answers),
        *await _the_register_agrees(run, answers),
        *await _dispatches_tell_what_others_did(run, answers, [o for o in opened if isinstance(o, OpenedDispatch)]),
        *successions.findings(run.letters, answers, [o for o in opened if isinstance(o, OpenedSuccession)], run.words),
        *run.rotation.findings(opened),
        *losses.findings(run.letters, lost, answers, jumped=run.losses.jumped),
        *run.losses.missed,
        *await remains.judge(run),
    ]
    if run.world.cuts == run.world.stalls == 0 and run.innocents_struck > 2:
        found.append("innocent mails were struck out, although only their surroundings failed")
    return found


# Mails and answers


def _letters_are_answered(run: Run, answers: Iterable[Opened]) -> Iterator[str]:
    letters = {letter.message_id: letter for letter in run.letters}
    told: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        told[answer.in_reply_to].add(answer.message_id)
        letter = letters.get(answer.in_reply_to)
        if letter is None or letter.expected in {Expected.SILENCE, Expected.STRUCK}:
            yield f"somebody was answered who must not be: {answer.in_reply_to}"
        elif letter.sender is not answer.sender:
            yield f"the answer to {letter.message_id} went to somebody else"
        elif _returned(answer) != sorted(letter.files):
            yield f"the answer to {letter.message_id} does not return the files of that mail"
    for letter in run.letters:
        distinct, times = len(told[letter.message_id]), len(letter.deliveries)
        # After a renumbering, or a loss, octets that are known are the same delivery, even if they came twice.
        least = 1 if run.world.renumberings or run.losses.happened else times
        if letter.expected is Expected.ANSWERED and not least <= distinct <= times:
            yield f"{letter.message_id} came {times} times and has {distinct} answers"
        if letter.expected is Expected.EITHER and distinct > times:
            yield f"{letter.message_id} came {times} times and has {distinct} answers"


def _returned(answer: Opened) -> list[tuple[str, str]]:
    """The files of the mail that it returns, by name and digest."""
    files = [(one.name, one.digest) for one in answer.returns]
    return sorted([*files, *((one.name, one.digest) for one in answer.statuses)])


def _one_answer_a_mail(run: Run, answers: Iterable[Opened]) -> Iterator[str]:
    """What left in a lost time has octets that are lost: those that an operator has sent instead are others."""
    octets: dict[str, set[bytes]] = defaultdict(set)
    lost = {id(one) for one in run.losses.in_lost_time(run.world.transfers) if one.message_id in run.sent_again}
    for transfer in run.transfers:
        if id(transfer) not in lost:
            octets[transfer.message_id].add(transfer.raw)
    yield from (f"second answer: other octets under {id_}" for id_, copies in octets.items() if len(copies) > 1)
    identifiers: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        identifiers[answer.intake].add(answer.message_id)
    yield from (f"second answer to intake {intake}" for intake, ids in identifiers.items() if len(ids) > 1)


ATTESTED = {Operation.CREATION, Operation.CREATION_AFTER_SEPARATION, Operation.RENEWAL}


def _attestations_are_issued_once(run: Run, answers: Iterable[Opened], lost: Iterable[Opened]) -> Iterator[str]:
    """Each answer has those of the numbers that it tells, and however often one is told its octets are the same.

    But where it was issued in a time that was lost.
    """
    anew = {one.split()[1].decode() for answer in lost for one in answer.attestations}
    sent = {(document.name, document.digest): document for letter in run.letters for document in letter.documents}
    octets: dict[object, set[bytes]] = defaultdict(set)
    for answer in answers:
        facts: dict[str, object] = {}
        for file in answer.returns:
            document = sent[file.name, file.digest]
            if document.operation in ATTESTED:
                # A creation is attested once, a renewal for each desk that asks for it.
                of = document.digest if document.operation is Operation.RENEWAL else ""
                facts |= {told.number: (told.number, of) for told in file.told if told.number}
        enclosed = {one.split()[1].decode(): one for one in answer.attestations}
        if enclosed.keys() != facts.keys():
            yield f"the answer to {answer.in_reply_to} encloses {sorted(enclosed)} and tells {sorted(facts)}"
        for number, one in enclosed.items():
            if number not in anew:
                octets[facts.get(number)].add(one)
    yield from (f"{fact} has several attestations" for fact, versions in octets.items() if len(versions) > 1)


def _copies_are_excused(run: Run) -> Iterator[str]:
    """An identical copy goes out only by an operator, or when the audit mailbox was asked in vain, then once more after
    a copy had had its time, and of late."""
    by_id: dict[str, list[Transfer]] = defaultdict(list)
    for transfer in run.transfers:
        by_id[transfer.message_id].append(transfer)
    patience = AUDIT_WAIT - STALL - SLACK
    fresh = AUDIT_WAIT / GAPS_MIN + LEASE + STALL + SLACK
    # One that is being sent again when it comes back may be ordered twice, and go out once.
    bounced = {one.message_id for one in run.world.bounces}
    for id_, ordered in run.sent_again.items():
        if (len(by_id[id_]) <= len(ordered) and id_ not in bounced) or by_id[id_][-1].at < ordered[-1]:
            yield f"{id_} was not sent again, as an operator had ordered {len(ordered)} times"
    for id_, copies in by_id.items():
        questions = [question.at for question in run.world.questions if question.message_id == id_]
        for first, second in itertools.pairwise(copies):
            if any(at <= second.at for at in run.sent_again.get(id_, ())):
                continue
            asked = [at for at in questions if first.at <= at < second.at]
            late = [at for at in asked if at - asked[0] >= patience and at <= first.copy_at]
            urgent = [at for at in asked if at >= AT + DEADLINE - RESERVE]
            if not asked or second.at - asked[0] < SENDING_MAX - STALL - SLACK:
                yield f"{id_} was sent again while the first sending could be under way"
            if not late and not urgent:
                yield f"{id_} was sent again although its copy could be seen, or too early"
            deferred = [
                one.at for one in run.world.deferrals if one.message_id == id_ and first.at < one.at < second.at
            ]
            if asked and (second.at - asked[-1] > fresh or any(asked[-1] < at for at in deferred)):
                yield f"{id_} was sent again though nobody had looked for it of late, or since it was deferred"


def _nothing_is_numbered_while_numbers_are_stopped(run: Run) -> Iterator[str]:
    for stop in run.stops:
        if given := stop.after - stop.before:
            yield f"numbers were given although they were stopped since {stop.at}: {sorted(given)}"


def _receipts_come_first(run: Run, receipts: Iterable[OpenedReceipt], answers: Iterable[Opened]) -> Iterator[str]:
    """At most one for a mail, to whom the answer goes, of the files that came, and none once the answer is out."""
    letters = {letter.message_id: letter for letter in run.letters}
    answered: dict[str, datetime] = {}
    for answer in answers:
        answered[answer.intake] = min(answer.at, answered.get(answer.intake, answer.at))
    told: set[str] = set()
    for receipt in receipts:
        letter = letters.get(receipt.in_reply_to)
        if letter is None or letter.expected in {Expected.SILENCE, Expected.STRUCK}:
            yield f"somebody had a receipt who must not: {receipt.in_reply_to}"
        elif letter.sender is not receipt.sender:
            yield f"the receipt of {letter.message_id} went to somebody else"
        elif receipt.digests != {digest for _, digest in letter.files}:
            yield f"the receipt of {letter.message_id} names other files"
        if receipt.intake in told:
            yield f"intake {receipt.intake} has two receipts"
        told.add(receipt.intake)
        if receipt.intake in answered and receipt.at > answered[receipt.intake] + STALL:
            yield f"the receipt of intake {receipt.intake} came after its answer"


def _notices_are_given_once(run: Run, notices: Iterable[OpenedNotice]) -> Iterator[str]:
    """Of each end that is near; nobody has changed that of a request that no letter was about."""
    given: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for notice in notices:
        for number, last in notice.ends:
            given[number].add((notice.message_id, last))
    yield from (f"{number}: told several times that it ends: {sorted(n)}" for number, n in given.items() if len(n) > 1)
    untouched = {known.number for known in KNOWN} - {letter.about for letter in run.letters}
    yield from (f"{number}: nobody was told that it ends" for number in sorted(untouched - given.keys()))


def _the_suspect_is_told_nothing(run: Run, answers: Iterable[Opened]) -> Iterator[str]:
    turns = run.house.suspensions
    for answer in answers:
        suspended = sum(turn <= answer.decided_at for turn in turns) % 2 == 1
        if answer.sender is the_cast().suspect and suspended:
            yield f"{answer.in_reply_to} was decided while its sender was suspended"


# Lives


async def _lives_are_explained(run: Run, answers: Sequence[Opened], seen: Iterable[Glimpse]) -> list[str]:
    """Of each registered request: what was told, and how it stands, by an order of the mails about it."""
    returns: dict[tuple[str, str], set[Return]] = defaultdict(set)
    first: dict[tuple[str, str], datetime] = {}
    for answer in answers:
        for returned in answer.returns:
            key = (returned.name, returned.digest)
            returns[key].add(returned)
            first[key] = min(answer.decided_at, first.get(key, answer.decided_at))
    found, cases = [], _cases(run.letters)
    async with run.house.register.read() as tx:
        for number in (known.number for known in KNOWN):
            keys = [(document.name, document.digest) for document in cases[number]]
            of_each = [returns[key] for key in keys]
            found += [f"{number}: repeats got other RET octets" for several in of_each if len(several) > 1]
            if not all(of_each):
                continue  # that somebody had no answer is told elsewhere
            told = [next(iter(several)).told[0] for several in of_each]
            stand = {one.number: await requests.find(tx, one.number) for one in told if one.number}
            stand[number] = await requests.find(tx, number)
            glimpsed = [one for one in seen if one.of_a_life and one.asked.number == number]
            found += _explained(number, cases[number], told, [first[key] for key in keys], stand, glimpsed)
    return found


def _explained(
    number: str,
    documents: Sequence[Document],
    told: Sequence[Told],
    moments: Sequence[datetime],
    stand: Mapping[str, StoredRequest | None],
    seen: Sequence[Glimpse],
) -> list[str]:
    """`told` and `moments` by the places of `documents`; `seen` is what was told of the request meanwhile."""
    ends = list(explanations(number, documents, told))
    if not ends:
        return [f"{number}: no order of its mails explains {told}"]
    if not any(_as_told(end.lives, number, told, stand) for end in ends):
        return [f"{number}: it does not stand as it was told"]
    if not any(all(one.is_explained(end, moments) for one in seen) for end in ends):
        return [f"{number}: no order of its mails explains that {'; '.join(map(str, seen))}"]
    return []


def _cases(letters: Iterable[Letter]) -> dict[str, list[Document]]:
    cases: dict[str, list[Document]] = defaultdict(list)
    for letter in letters:
        if letter.about is not None:
            cases[letter.about] += letter.documents
    return cases


def _as_told(
    lives: Mapping[object, Life], number: str, told: Sequence[Told], stand: Mapping[str, StoredRequest | None]
) -> bool:
    """Whether the register has these requests as they are said to be, and their persons."""
    for key, life in lives.items():
        name = number if key == number else told[cast("int", key)].number
        stored = stand[name] if name else None
        if stored is None or (STATES[stored.life.state], _names(stored)) != (life.state, life.persons):
            return False
    return True


# The register


async def _the_register_agrees(run: Run, answers: Iterable[Opened]) -> list[str]:
    """Each number there was told, and for the people whom it was told for; the ledger has each mail once."""
    said = Requests(run.letters, answers).numbers
    others = {known.number for known in KNOWN} | _told_of_lives(run, answers)
    found = []
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    async with run.house.register.read() as tx:
        registered = [row.number for row in await tx.all(sa.text("SELECT number FROM request"))]
        for number in registered:
            stored = await requests.find(tx, number)
            assert stored is not None
            names = _names(stored)
            parts = numbers.parse(number)
            sequences[parts.territory, number[3:7]].append(parts.sequence)
            if number not in others and {wish.persons for wish in said.get(number, ())} != {names}:
                found.append(f"{number} is registered and was told to nobody, or to the wrong one")
        found += [f"intake {row.intake_id} was decided twice" for row in await tx.all(sa.text(DECIDED_TWICE))]
        passed = await passed_over(tx)
    found += [f"{number} was told and is not registered" for number in said if number not in registered]
    for (territory, month), taken in sequences.items():
        on_record = {
            n for one in passed[f"{territory} {month}"] for n in range(one.stretch.first, one.stretch.last + 1)
        }
        if sorted({*taken, *on_record}) != list(range(1, len(taken) + len(on_record) + 1)):
            found.append(f"the sequence of {territory} {month} has holes: {sorted(taken)}, {sorted(on_record)}")
    return found


def _names(stored: StoredRequest) -> tuple[str, ...]:
    assert stored.payload is not None
    return names(json.loads(stored.payload))


async def _dispatches_tell_what_others_did(
    run: Run, answers: Sequence[Opened], dispatches: Sequence[OpenedDispatch]
) -> list[str]:
    async with run.house.register.read() as tx:
        registered = [row.number for row in await tx.all(sa.text("SELECT number FROM request"))]
        stored = await requests.find_all(tx, registered)
    changed = {letter.about for letter in run.letters if letter.about} | _told_of_lives(run, answers)
    return list(Copies(answers, dispatches).findings(stored, changed))


def _told_of_lives(run: Run, answers: Iterable[Opened]) -> set[str]:
    """The numbers that were told in cases about registered requests."""
    about = {letter.message_id for letter in run.letters if letter.about is not None}
    files = [file for answer in answers if answer.in_reply_to in about for file in answer.returns]
    return {told.number for file in files for told in file.told if told.number}
