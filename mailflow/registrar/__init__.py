"""THE use case: `submit` turns submissions, whichever door they came through, into numbers or anomalies.

It takes a chunk of submissions at once, because a chunk is what one transaction decides (DESIGN.md): every
statement then serves all of them. Inside the chunk the order of arrival holds, as if each came alone.

The steps, in the order that keeps the shared counters locked for the shortest time:

1. files: may this sender act for this desk, is the name free, was this very file decided before?
2. requests: the rules, the mandate for the territory;
3. claims: the desk's own reference and each person's identity become ours, or somebody else's already are;
4. numbers: the counters, last of all that can wait for another transaction;
5. records: requests, file receipts, journal.
"""

from collections.abc import Sequence
from datetime import datetime

from mailflow.core.model import Receipt, Submission
from mailflow.register import Transaction, directory
from mailflow.registrar.claiming import apply_rules, claim_keys, give_numbers
from mailflow.registrar.naming import bind_names, open_file
from mailflow.registrar.recording import receipt_of, write_records
from mailflow.registrar.work import Candidate, StaleDirectory, Terms

__all__ = ["StaleDirectory", "Terms", "submit"]


async def submit(tx: Transaction, submissions: Sequence[Submission], terms: Terms, at: datetime) -> tuple[Receipt, ...]:
    """Give each acceptable request its number, once, whichever door it came through.

    One receipt per submission, in order. Nothing holds before the commit. Raises Unavailable,
    and StaleDirectory when a sender was proven against enrolments that have changed since.
    """
    generations = {terms.directory.generation, *(s.submitter.trust_generation for s in submissions)}
    if generations != {await directory.generation(tx)}:
        raise StaleDirectory("the enrolments have changed")
    senders = {sender.code: sender for sender in terms.directory.senders}
    works = [
        [open_file(submission, file, senders[submission.submitter.sender], terms, at) for file in submission.files]
        for submission in submissions
    ]
    flat = [work for group in works for work in group]
    await bind_names(tx, flat)
    for work in flat:
        if work.same_as is None:
            apply_rules(work, at)
    candidates = [c for work in flat for c in work.outcomes.values() if isinstance(c, Candidate)]
    await claim_keys(tx, candidates)
    await give_numbers(tx, [c for c in candidates if c.stands])
    receipts = [receipt_of(work) for work in flat]
    await write_records(tx, flat, receipts, at)
    done = iter(receipts)
    return tuple(Receipt(decided_at=at, files=tuple(next(done) for _ in group)) for group in works)
