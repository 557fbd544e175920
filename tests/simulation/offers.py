"""Letters that bring a certificate: to encrypt this answer to (`CER`), or to follow the one that signs (`NCE`)."""

from mailflow.mail.successor import write_successor
from tests.simulation.cast import SERVICE, Software
from tests.simulation.letters import Case, Writing
from tests.support.pki import AT

TIMES = (1, 1, 2)


def proof(sender: Software, service: str = SERVICE) -> tuple[str, bytes]:
    """The next key says which certificate it is to follow, and at which service."""
    return "NCE.pem", write_successor(service, sender.identity.fingerprint, sender.next_signing_key, AT)


def to_another_certificate(post: Writing) -> None:
    sender, desk, territory = post.software()
    certificate = (f"CER{desk}-202603020900.pem", sender.following.pem)
    times = post.rng.choice(TIMES)
    post.letter("to-next", sender, post.good(desk, territory), enclosed=certificate, times=times, to_next=True)


def offered_twice(post: Writing) -> None:
    """With requests, and alone."""
    sender, desk, territory = post.software()
    post.letter("offers", sender, post.good(desk, territory), enclosed=proof(sender), offers=True)
    post.letter("offers", sender, enclosed=proof(sender), times=post.rng.choice(TIMES), offers=True)


def offered_to_another_service(post: Writing) -> None:
    sender, _, _ = post.software()
    post.letter("offers-wrongly", sender, enclosed=proof(sender, "demandes@other.example"))


OFFERS: tuple[Case, ...] = (to_another_certificate, offered_twice, offered_to_another_service)
