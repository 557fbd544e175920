"""THE use case: `submit` turns submissions, whichever door they came through, into numbers or anomalies.

It takes a chunk of submissions at once, because a chunk is what one transaction decides (DESIGN.md): every
statement then serves all of them. Inside the chunk the order of arrival holds, as if each came alone: files that
share a name or a content are decided in successive turns, and so are requests that share a reference, a number or
a person.

What is asked for is a `Creation` (`CRE`), a `Change` of a registered request (`MOD REN RAD SUP`), or both in one
(`CRS`). All go through the same steps, in the order that keeps the shared counters locked for the shortest time:

1. files: may this sender act for this desk, is the name free, was this very file decided before?
2. requests: the rules, the mandate for the territory; for a change the holder, the state table and what else it needs;
3. claims: the desk's own reference and each person's identity become ours, or somebody else's already are;
   and whose requests may be the same person's;
4. numbers: the counters, last of all that can wait for another transaction;
5. records: requests, their history, file receipts, journal.

The contents of its files and the registered requests that the chunk is about are locked before everything else, since
others claim after they lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from mailflow.core.model import Receipt, Submission
from mailflow.register import Transaction, issuing
from mailflow.registrar.answering import answer_questions
from mailflow.registrar.claiming import apply_rules, claim_keys, give_numbers, lock_subjects
from mailflow.registrar.naming import bind_names, lock_contents, names_and_content, open_files
from mailflow.registrar.recording import write_records
from mailflow.registrar.stopping import need_numbers
from mailflow.registrar.subjects import Subject
from mailflow.registrar.uniqueness import find_near
from mailflow.registrar.work import Change, Creation, FileWork, StaleDirectory, Terms, in_turns, require_current

__all__ = ["StaleDirectory", "Terms", "answer_questions", "need_numbers", "submit"]


async def submit(tx: Transaction, submissions: Sequence[Submission], terms: Terms, at: datetime) -> tuple[Receipt, ...]:
    """Give each acceptable request its number, once, whichever door it came through.

    One receipt per submission, in order. Nothing holds before the commit. Raises Unavailable,
    StaleDirectory when a sender was proven against enrolments that have changed since, and
    `issuing.NumbersStopped` when one of them needs a number while none is given.
    """
    await require_current(tx, terms, [submission.submitter for submission in submissions])
    await issuing.hold(tx)  # before all else that is locked; whether it matters is asked where numbers are taken
    senders = {sender.code: sender for sender in terms.directory.senders}
    works = [open_files(submission, senders[submission.submitter.sender], terms, at) for submission in submissions]
    everything = [work for group in works for work in group]
    await lock_contents(tx, everything)
    subjects = await lock_subjects(tx, everything)
    for turn in in_turns(everything, names_and_content):
        await _decide(tx, turn, subjects, at)
    return tuple(Receipt(decided_at=at, files=tuple(work.receipt for work in group)) for group in works)


async def _decide(tx: Transaction, works: Sequence[FileWork], subjects: Mapping[str, Subject], at: datetime) -> None:
    await bind_names(tx, works)
    for work in works:
        if work.same_as is None:
            apply_rules(work, subjects)
    candidates = [c for work in works for c in work.outcomes.values() if isinstance(c, Creation | Change)]
    await claim_keys(tx, candidates)
    standing = [c for c in candidates if c.stands]
    await find_near(tx, standing, [subject for subject in subjects.values() if subject.persons_moved])
    await give_numbers(tx, [c for c in standing if isinstance(c, Creation) and not c.couple])
    await write_records(tx, works, subjects, at)
