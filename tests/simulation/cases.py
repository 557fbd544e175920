"""What desks' programs send of their own accord: creations, good, repeated, at odds, wrong, unproven and poisonous."""

from dataclasses import replace

from tests.simulation.cast import NORD, PARIS
from tests.simulation.letters import BREAKS, KILLS, Case, Expected, Writing


def plain(post: Writing) -> None:
    sender, desk, territory = post.software()
    post.letter("plain", sender, post.good(desk, territory))


def several_files(post: Writing) -> None:
    sender, desk, territory = post.software()
    mixed = post.document(desk, post.wish(territory), post.wish(territory, complete=False), post.wish(territory))
    post.letter("several-files", sender, post.good(desk, territory), mixed)


def missing(post: Writing) -> None:
    sender, desk, territory = post.software()
    post.letter("missing", sender, post.document(desk, post.wish(territory, complete=False)), times=2)


def same_mail_twice(post: Writing) -> None:
    sender, desk, territory = post.software()
    post.letter("same-mail-twice", sender, post.good(desk, territory), times=post.rng.choice((2, 3)))


def same_file_in_two_mails(post: Writing) -> None:
    sender, desk, territory = post.software()
    shared = post.document(desk, post.wish(territory), post.wish(territory))
    post.letter("same-file", sender, shared)
    post.letter("same-file", sender, shared, post.good(desk, territory))


def same_name_other_content(post: Writing) -> None:
    sender, desk, territory = post.software()
    first = post.good(desk, territory)
    post.letter("same-name", sender, first)
    post.letter("same-name", sender, post.document(desk, post.wish(territory), name=first.name))


def same_content_other_name(post: Writing) -> None:
    sender, desk, territory = post.software()
    first = post.good(desk, territory)
    other = post.good(desk, territory)
    renamed = replace(first, name=other.name)
    post.letter("same-content", sender, first)
    post.letter("same-content", sender, renamed)


def same_person_at_two_desks(post: Writing) -> None:
    person = post.surname()
    alpha, bravo, *_ = post.cast.senders
    for sender in (alpha, bravo):
        post.letter("same-person", sender, post.document(sender.desks[0][0], post.wish(NORD, person)))
    # In another territory it is another request.
    post.letter("same-person", bravo, post.document(bravo.desks[1][0], post.wish(PARIS, person)))


def couple_and_spouse(post: Writing) -> None:
    one, other = post.surname(), post.surname()
    alpha, bravo, *_ = post.cast.senders
    post.letter("couple", alpha, post.document(alpha.desks[0][0], post.wish(NORD, one, other)))
    post.letter("couple", bravo, post.document(bravo.desks[0][0], post.wish(NORD, other)))


def association_twice(post: Writing) -> None:
    """Each of its requests is registered."""
    name = post.surname()
    alpha, bravo, *_ = post.cast.senders
    for sender in (alpha, bravo):
        wishes = [post.wish(NORD, name, of_association=True) for _ in range(2)]
        post.letter("association", sender, post.document(sender.desks[0][0], *wishes))


def same_reference_same_request(post: Writing) -> None:
    sender, desk, territory = post.software()
    wish = post.wish(territory, reference=f"ref-{len(post.letters)}")
    post.letter("same-reference", sender, post.document(desk, wish))
    post.letter("same-reference", sender, post.document(desk, wish))


def same_reference_other_request(post: Writing) -> None:
    sender, desk, territory = post.software()
    reference = f"ref-{len(post.letters)}"
    for _ in range(2):
        post.letter("reference-taken", sender, post.document(desk, post.wish(territory, reference=reference)))


CASES: tuple[Case, ...] = (
    plain,
    several_files,
    missing,
    same_mail_twice,
    same_file_in_two_mails,
    same_name_other_content,
    same_content_other_name,
    same_person_at_two_desks,
    couple_and_spouse,
    association_twice,
    same_reference_same_request,
    same_reference_other_request,
)


# Cases that harm others


def unsigned(post: Writing) -> None:
    sender, desk, territory = post.software()
    post.letter("unsigned", sender, post.good(desk, territory), expected=Expected.SILENCE)
    signed = post.letters.pop()
    head, _, _ = signed.raw.partition(b"MIME-Version")
    raw = head + b"Content-Type: text/xml; name=" + signed.documents[0].name.encode() + b"\r\n\r\n"
    raw += signed.documents[0].content
    post.letters.append(replace(signed, raw=raw, deliveries=(raw,)))


def stranger(post: Writing) -> None:
    somebody = post.cast.stranger
    post.letter("stranger", somebody, post.good(*somebody.desks[0]), expected=Expected.SILENCE)


def breaking(post: Writing) -> None:
    sender, desk, territory = post.software()
    post.letter("breaking", sender, post.good(desk, territory), expected=Expected.STRUCK, above=BREAKS)


def killing(post: Writing) -> None:
    sender, desk, territory = post.software()
    post.letter("killing", sender, post.good(desk, territory), expected=Expected.STRUCK, above=KILLS)


def late(post: Writing) -> None:
    sender = post.cast.late
    post.letter("late", sender, post.good(*sender.desks[0]))


def suspect(post: Writing) -> None:
    sender = post.cast.suspect
    post.letter("suspect", sender, post.good(*sender.desks[0]), expected=Expected.EITHER)


HARMFUL: tuple[Case, ...] = (unsigned, stranger, breaking, killing, late, late, suspect, suspect)
"""A whole story has them all."""
