"""What is left at the end of a run, in the mailbox, in the register and in its archive."""

from collections import Counter

from mailflow.register import queues, watching
from mailflow.register.evidence import Period
from mailflow.review.archive import Archive
from tests.simulation import bounces
from tests.simulation.letters import Expected
from tests.simulation.run import Run


async def judge(run: Run) -> list[str]:
    """Every broken promise about it, in words."""
    return [
        *await _nothing_is_left(run),
        *await _acceptances_are_proven(run),
        *await _the_audit_is_content(run),
    ]


async def _nothing_is_left(run: Run) -> list[str]:
    found = []
    if run.world.mailbox.inbox:
        found.append(f"{len(run.world.mailbox.inbox)} mails are still in the inbox")
    arrived = [raw for letter in run.letters for raw in letter.deliveries]
    arrived += [bounced.raw for bounced in run.world.bounces]
    kept = set(run.world.mailbox.messages("Processed"))
    found += [f"a mail is in no folder: {raw[:60]!r}" for raw in arrived if raw not in kept]
    async with run.house.register.read() as tx:
        waiting = await queues.waiting(tx, 1000)
        unsent = await queues.unanswered(tx, 1000)
        aside = [(row, await queues.raw(tx, row.id)) for row in await queues.set_aside(tx, 1000)]
    found += [f"intake {row.id} waits for ever" for row in waiting]
    found += [f"the answer to intake {row.intake_id} is {row.state} for ever" for row in unsent]
    letters = {raw: letter for letter in run.letters for raw in letter.deliveries}
    raws = {raw for _, raw in aside if raw is not None}
    sent = [(transfer.message_id, transfer.at) for transfer in run.transfers]
    found += bounces.findings(run.world.bounces, sent, raws)
    struck = {letters[raw].message_id for raw in raws if raw in letters}
    for letter in run.letters:
        if letter.expected is Expected.ANSWERED and letter.message_id in struck:
            found.append(f"{letter.message_id} was set aside")
        if letter.expected in {Expected.SILENCE, Expected.STRUCK} and letter.message_id not in struck:
            found.append(f"{letter.message_id} was not set aside")
    return found


async def _acceptances_are_proven(run: Run) -> list[str]:
    """Whatever was killed: what was accepted has its evidence, and nothing else has any."""
    archive = Archive(run.house.register, None)
    mails = [mail async for mail in archive.check(Period(), ())]
    return [f"the evidence of intake {mail.intake}: {finding}" for mail in mails for finding in mail.findings]


async def _the_audit_is_content(run: Run) -> list[str]:
    """The last of the jobs has looked at all promises that it knows; the mail of long ago has no answer."""
    async with run.house.register.read() as tx:
        broken = Counter(await watching.broken(tx)) - Counter({"answered-has-an-answer": 1})
    return [f"the audit: {name} is broken {times} times" for name, times in broken.items()]
