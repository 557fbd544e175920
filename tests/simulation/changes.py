"""Letters about registered requests. Each case has a couple's request of its own; its mails may come in any order."""

from typing import Any

from mailflow.core.model import Operation
from tests.simulation.cast import NORD, Known, Software
from tests.simulation.letters import Case, Order, Writing


def change(post: Writing, sender: Software, known: Known, operation: Operation, holder: int, **said: Any) -> None:
    """A mail of its own, with an order of one of the couple."""
    order = Order(operation=operation, number=known.number, holder=known.persons[holder], **said)
    document = post.order(sender.desks[0][0], order)
    post.letter(operation.value, sender, document, times=post.rng.choice((1, 1, 2)), about=known.number)


def amended_and_ended(post: Writing) -> None:
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    change(post, alpha, known, Operation.AMENDMENT, 0, persons=(known.persons[0], post.surname()))
    change(post, bravo, known, Operation.DEREGISTRATION, 1, motive="RADABA")


def renewed_twice(post: Writing) -> None:
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    change(post, alpha, known, Operation.RENEWAL, 0)
    change(post, bravo, known, Operation.RENEWAL, 1)


def both_leave(post: Writing) -> None:
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    for sender, one in ((alpha, 0), (bravo, 1)):
        leaver = (known.persons[one],)
        change(post, sender, known, Operation.CREATION_AFTER_SEPARATION, one, persons=leaver)


def wanted_by_two(post: Writing) -> None:
    """A couple takes somebody in who files a request of his own."""
    alpha, bravo, *_ = post.cast.senders
    known, person = post.known.pop(), post.surname()
    change(post, alpha, known, Operation.AMENDMENT, 0, persons=(known.persons[0], person))
    post.letter("wanted", bravo, post.document(bravo.desks[0][0], post.wish(NORD, person)), about=known.number)


def ended_and_filed_anew(post: Writing) -> None:
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    change(post, alpha, known, Operation.DEREGISTRATION, 0)
    anew = post.document(bravo.desks[0][0], post.wish(NORD, known.persons[1]))
    post.letter("anew", bravo, anew, about=known.number)
    change(post, bravo, known, Operation.DEREGISTRATION, 1, motive="RADCON")


def removed_or_not(post: Writing) -> None:
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    change(post, alpha, known, Operation.REMOVAL, 0)
    change(post, bravo, known, Operation.RENEWAL, 1)
    change(post, bravo, known, Operation.REMOVAL, 1)


def amended_twice(post: Writing) -> None:
    """The one who is amended away can do nothing any more."""
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    change(post, alpha, known, Operation.AMENDMENT, 0, persons=(known.persons[0],))
    change(post, bravo, known, Operation.AMENDMENT, 1, persons=(known.persons[1], post.surname()))
    change(post, alpha, known, Operation.RENEWAL, 0, persons=known.persons)


def ended_for_no_renewal(post: Writing) -> None:
    """Which is not for a desk to say."""
    alpha, bravo, *_ = post.cast.senders
    known = post.known.pop()
    change(post, alpha, known, Operation.DEREGISTRATION, 0, motive="RADREN")
    change(post, bravo, known, Operation.RENEWAL, 1)
    change(post, bravo, known, Operation.DEREGISTRATION, 1, motive="RADREN")


CHANGES: tuple[Case, ...] = (
    amended_and_ended,
    renewed_twice,
    both_leave,
    wanted_by_two,
    ended_and_filed_anew,
    removed_or_not,
    amended_twice,
    ended_for_no_renewal,
)
