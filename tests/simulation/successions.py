"""Certificates that letters offered: an operator's word on those that wait, and what senders must have been told."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from random import Random

from mailflow.core.succession import Succession, SuccessorReceipt
from mailflow.mail import succession
from mailflow.register import Register, directory, successors
from tests.simulation.answers import Opened, OpenedSuccession
from tests.simulation.letters import Letter
from tests.simulation.world import World

Word = tuple[str, Succession]
"""A sender, and what became of the certificate that it offered."""
SAID = {
    Succession.WAITING: "Il attend la confirmation",
    Succession.ENROLLED: "Il est inscrit",
    Succession.DECLINED: "L'exploitant l'a refusé",
}


async def decide(register: Register, world: World, rng: Random) -> list[Word]:
    """The operator accepts or declines each that waits, and its sender is told."""
    done: list[Word] = []
    change = directory.Change(by="operator", why="simulation", at=world.now)
    async with register.begin() as tx:
        for one in await successors.listed(tx):
            became = rng.choice((Succession.ENROLLED, Succession.DECLINED))
            act = successors.enrol if became is Succession.ENROLLED else successors.decline
            offered = await act(tx, one.sender, one.successor.fingerprint, change)
            receipt = SuccessorReceipt(successor=offered.successor, became=became)
            await succession.announce(tx, one.sender, receipt, "service.example", world.now)
            done.append((one.sender, became))
    for sender, became in done:
        world.tell(f"the operator: the certificate that {sender} offered is {became.value}")
    return done


def findings(
    letters: Iterable[Letter], answers: Iterable[Opened], announced: Iterable[OpenedSuccession], words: Iterable[Word]
) -> Iterator[str]:
    """Each sender is told once that one waits, and once what the operator said; an answer goes to whom it asked."""
    by_id = {letter.message_id: letter for letter in letters}
    expected = {*words, *((one.sender.code, Succession.WAITING) for one in by_id.values() if one.offers)}
    told: dict[tuple[str, Succession], set[str]] = defaultdict(set)
    for one in announced:
        (became,) = (became for became, said in SAID.items() if said in one.text)
        told[one.sender.code, became].add(one.message_id)
        if one.sender.following.fingerprint not in one.text:
            yield f"{one.sender.code} is told of a certificate that nobody offered"
    for word in sorted(expected | told.keys()):
        if len(told[word]) != (word in expected):
            yield f"that a certificate is {word[1].value} was told {word[0]} {len(told[word])} times"
    enrolled = {sender for sender, became in words if became is Succession.ENROLLED}
    for answer in answers:
        letter = by_id.get(answer.in_reply_to)
        if letter and answer.to_next != letter.to_next and (letter.to_next or letter.sender.code not in enrolled):
            yield f"the answer to {letter.message_id} is encrypted to another certificate"
