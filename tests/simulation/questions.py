"""Letters that ask how files and requests stand. What they ask about may be decided before, afterwards or never."""

from mailflow.core.anomalies import Code
from mailflow.core.numbers import DeskCode
from tests.simulation.cast import KNOWN, Known, Software
from tests.simulation.letters import Asked, Case, Questions, Writing

TIMES = (1, 1, 2)
NOBODY, STRANGE_DESK = "Personne", "59003"
NO_NUMBER = "059032599999959001"


def unsent_name(desk: str) -> str:
    """Of a file that no desk ever sends."""
    return f"DEM{desk}-202601010000-999999.xml"


def ask(post: Writing, sender: Software, *questions: Questions) -> None:
    """A mail that only asks; it may come twice, and is answered each time as things stand then."""
    post.letter("asks", sender, questions=questions, times=post.rng.choice(TIMES))


def somebody(post: Writing) -> tuple[Software, DeskCode]:
    """The creator, who may consult, or who is not concerned."""
    alpha, bravo, *_ = post.cast.senders
    creator, consulting, elsewhere = (alpha, alpha.desks[0]), (bravo, bravo.desks[0]), (alpha, alpha.desks[1])
    sender, (desk, _) = post.rng.choice((creator, creator, consulting, elsewhere))
    return sender, desk


def registered(post: Writing) -> Known:
    """A request that other letters are about, when there is one."""
    return post.rng.choice([known for known in KNOWN if known not in post.known] or KNOWN)


def of_a_number(post: Writing) -> None:
    """Both of the couple are named, of whom one may have left by then, and somebody who never held it."""
    sender, desk = somebody(post)
    known = registered(post)
    asked = [Asked(number=known.number, holder=holder) for holder in (*known.persons, NOBODY)]
    ask(post, sender, post.ask(desk, *asked, Asked(number=NO_NUMBER, holder=known.persons[0])))


def of_several_numbers(post: Writing) -> None:
    sender, desk = somebody(post)
    ask(post, sender, post.ask(desk, *(Asked(number=known.number, holder=known.persons[0]) for known in KNOWN)))


def of_a_file(post: Writing) -> None:
    """Its own desk asks, and another one that may learn nothing of it."""
    sender, desk, territory = post.software()
    document = post.document(desk, post.wish(territory), post.wish(territory, complete=False))
    post.letter("asked-after", sender, document)
    asked = Asked(file=document.name, of=document)
    ask(post, sender, post.ask(desk, asked, Asked(file=unsent_name(desk)), Asked(file=unsent_name(STRANGE_DESK))))
    other = next(one for one in post.cast.senders[:2] if one is not sender)
    ask(post, other, post.ask(other.desks[0][0], asked))


def of_a_reference(post: Writing) -> None:
    sender, desk, territory = post.software()
    reference = f"ref-{len(post.letters)}"
    document = post.document(desk, post.wish(territory, reference=reference))
    post.letter("asked-after", sender, document)
    ask(post, sender, post.ask(desk, Asked(reference=reference, of=document), Asked(reference=f"{reference}-or-not")))


def of_what_comes_along(post: Writing) -> None:
    """Requests first: the question beside them finds them decided."""
    sender, desk, territory = post.software()
    document = post.good(desk, territory)
    questions = post.ask(desk, Asked(file=document.name, of=document))
    post.letter("asks-along", sender, document, questions=(questions,), times=post.rng.choice(TIMES))


def unclearly(post: Writing) -> None:
    """Several files, of which one has a clear question among others."""
    sender, desk = somebody(post)
    known = registered(post)
    faulty = (
        Asked(number=known.number, fault=Code.VALUE_MISSING),
        Asked(number=known.number, holder=known.persons[0], reference="either", fault=Code.QUESTION_UNCLEAR),
        Asked(file="nonsense.xml", fault=Code.FILE_NAME_WRONG),
    )
    clear = Asked(number=known.number, holder=known.persons[1])
    ask(post, sender, post.ask(desk, *faulty), post.ask(desk, faulty[0], clear))


QUESTIONS: tuple[Case, ...] = (
    of_a_number,
    of_a_number,
    of_several_numbers,
    of_a_file,
    of_a_reference,
    of_what_comes_along,
    unclearly,
)
