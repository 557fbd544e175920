"""All producers, and the table of what each can do, which DESIGN shows and a test holds true."""

from itertools import groupby

from tests.support.guide.markdown import table
from tests.support.producers.clients import Mutt, Snail
from tests.support.producers.matrix import CELLS, Producer, Signature
from tests.support.producers.python import Cryptography, M2Crypto, PyHanko
from tests.support.producers.tools import Gpgsm, Nss, OpenSsl

PRODUCERS: tuple[type[Producer], ...] = (OpenSsl, Gpgsm, Nss, Mutt, Snail, M2Crypto, Cryptography, PyHanko)


def matrix() -> str:
    """A row for each producer and kind of signature: which mails are accepted, and how the answer is read."""
    head = [
        "producer",
        "signs with",
        "detached",
        "detached, encrypted",
        "opaque",
        "opaque, encrypted",
        "reads the answer",
    ]
    rows = []
    for producer in PRODUCERS:
        legal = set(producer.legal())
        for signature, cells in groupby(CELLS, key=lambda cell: cell.signature):
            made = ["accepted" if cell in legal else "–" for cell in cells]
            if "accepted" in made:
                rows.append([producer.name, signature, *made, producer.opens_after(signature) or "–"])
    return table(head, rows) + "\n" + "".join(map(_cannot, PRODUCERS))


def _cannot(producer: type[Producer]) -> str:
    """What a producer leaves out, and why."""
    why = [f"{what}: {reason}" for what, reason in producer.cannot.items()]
    if producer.opens and producer.opens_after(Signature.ECDSA) not in producer.opens[1:]:
        why.append("no ECDH, so a desk that signs with a curve has an RSA key for what is encrypted")
    return f"- {producer.name} ({producer.package}): {'; '.join(why) or 'can do all'}.\n"
