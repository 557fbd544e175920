"""Every published sample goes through the real worker, at its own time, and is answered as published with it."""

import asyncio
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailflow import app
from mailflow.core.model import CREATIONS, Operation, Registered, Right
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Authority, Pki
from mailflow.mail.desk import OpenedAnswer
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL
from mailflow.settings.load import load
from mailflow.wire.samples import EXCHANGES, Exchange, FileSample, QuestionSample
from mailflow.wire.samples.dispatching import NEIGHBOUR, THAT_NIGHT
from mailflow.wire.samples.files import SENDER
from mailflow.wire.samples.forms import SAMPLE_DESK
from mailflow.wire.samples.story import SAMPLE_TIME
from tests.support.available import require
from tests.support.clock import minutes_until, shifted
from tests.support.guide.mails import DESK, KEYS, SAMPLES, message_id, path_of
from tests.support.mail_world import MailWorld
from tests.support.operating import ids, operate

AUTHORITY_KEY = Path(__file__).parents[1] / "data" / "samples" / "autorite.key"
CHANGING = re.compile(
    rb"(?<=<tns:dateFichier>)[^<]+|(?<=<mf:dateFichier>)[^<]+|(?<=<mf:dateDecision>)[^<]+"
    rb'|(?<=mf:dateEtat=")[^"]+'
    rb"|(?<=<mf:certificatSignataire>)[^<]+|(?<=<mf:empreinteContenu>)[^<]+"
)
"""What is another each time: when it was decided, the key, what is signed."""


MINUTE = timedelta(minutes=1)
FIRST_DECIDED_AT = SAMPLE_TIME + 17 * MINUTE
"""The answer to the first sample is late: see `wait_for_the_first`."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailWorld]:
    """A service of January 2026, at which the key of the samples and a neighbour are enrolled."""
    for server in ("dovecot", "postfix"):
        require(server)
    pki = Pki(at=SAMPLE_TIME)
    key = serialization.load_pem_private_key((KEYS / "desk.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    software = DeskSoftware(
        sender=SENDER,
        desk=SAMPLE_DESK,
        territory="059",
        address=DESK,
        identity=Identity(name="samples", key=key, certificate=certificate(KEYS / "desk.pem")),
        rights=tuple(right.value for right in Right),
    )
    neighbour = DeskSoftware(
        sender="voisin",
        desk=NEIGHBOUR,
        territory="059",
        address="voisin@desk.example",
        identity=pki.issue("voisin"),
        rights=(Right.CREATION.value, Right.CONSULT.value),
    )
    with (
        shifted(SAMPLE_TIME - datetime.now(UTC)),
        MailWorld(tmp_path_factory.mktemp("samples"), pki, (software, neighbour)) as made,
    ):
        trust_samples(pki, made.installation.folder / "trust")
        yield made


def trust_samples(pki: Pki, trust: Path) -> None:
    """The authority of the samples is an anchor, with a list of revocations of its own."""
    key = serialization.load_pem_private_key(AUTHORITY_KEY.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    authority = Authority(identity=Identity(name="samples", key=key, certificate=certificate(KEYS / "autorite.pem")))
    (trust / "anchors" / "samples.pem").write_bytes(authority.identity.pem)
    revoked = x509.load_der_x509_crl(pki.crl(authority))
    (trust / "crls" / "samples.pem").write_bytes(revoked.public_bytes(serialization.Encoding.PEM))


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def rounds() -> Iterator[list[Exchange]]:
    """What is decided together: a desk only speaks of numbers that it has been told."""
    together: list[Exchange] = []
    created: set[str] = set()
    for exchange in EXCHANGES:
        if together and any(speaks_of(file, created) for file in exchange.files):
            yield together
            together, created = [], set()
        together.append(exchange)
        for file in exchange.files:
            outcomes = file.outcomes if isinstance(file, FileSample) else ()
            created |= {outcome.number for outcome in outcomes if isinstance(outcome, Registered)}
    yield together


def speaks_of(file: FileSample | QuestionSample, numbers: set[str]) -> bool:
    if isinstance(file, QuestionSample):
        return True
    return any(request.number in numbers for request in file.requests)


@pytest.fixture(scope="module")
def answers(world: MailWorld) -> dict[str, dict[str, bytes]]:
    """What came back for each sample: the files, by name; the first one was late."""
    first, *_ = EXCHANGES
    post(world, first)
    wait_for_the_first(world)
    for together in rounds():
        for exchange in together:
            if exchange is not first:
                post(world, exchange)
        run(world, max(together[-1].decided_at, FIRST_DECIDED_AT), "run", "--once")
    world.settle()
    came: dict[str, dict[str, bytes]] = {}
    for answer in opened(world, world.software[0]):
        came.setdefault(answer.in_reply_to, {}).update(answer.files)
    return came


def post(world: MailWorld, exchange: Exchange) -> None:
    world.post([path_of(exchange).read_bytes()], received_at=exchange.received_at)


def wait_for_the_first(world: MailWorld) -> None:
    """Its worker ends once it has taken the mail in; an operator holds the mail until it is late."""
    killed = ("--kill", "intake.take_in.after-commit:1", "--later", minutes_until(SAMPLE_TIME))
    code, said = world.start(*killed).wait()
    assert code == -signal.SIGKILL, said
    asyncio.run(act(world, Verb.HOLD))
    run(world, SAMPLE_TIME + 16 * MINUTE, "run", "--once")
    asyncio.run(act(world, Verb.RELEASE))


async def act(world: MailWorld, verb: Verb) -> None:
    """What an operator does to the first mail."""
    async with app.register_of(load(world.installation.config)) as register:
        assert ids(await operate(register, verb, SAMPLE_TIME, intakes=[1], kinds=[MAIL])) == [1]


def run(world: MailWorld, at: datetime, *command: str) -> None:
    """Run a command of the service at that time."""
    code, said = world.start("--later", minutes_until(at), arguments=command).wait()
    assert code == 0, said


def opened(world: MailWorld, software: DeskSoftware) -> list[OpenedAnswer]:
    """All that a desk has got."""
    return [world.installation.open(software, raw, SAMPLE_TIME) for raw in world.dovecot.messages(software.sender)]


@pytest.fixture(scope="module")
def night(world: MailWorld, answers: dict[str, dict[str, bytes]]) -> None:
    """The jobs of the night are done, and their mails have left."""
    for job in ("notices", "dispatch"):
        run(world, THAT_NIGHT, "jobs", "run", job, "--apply")
    run(world, THAT_NIGHT + 10 * MINUTE, "run", "--once")
    world.settle()


def attested(exchange: Exchange) -> int:
    """How many attestations come: one for each creation and renewal."""
    kinds = (*CREATIONS, Operation.RENEWAL)
    files = [file for file in exchange.files if isinstance(file, FileSample) and file.operation in kinds]
    return sum(isinstance(outcome, Registered) for file in files for outcome in file.outcomes)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.folder)
def test_a_sample_is_answered_as_published(answers: dict[str, dict[str, bytes]], exchange: Exchange) -> None:
    published = {
        file.name: file.read_bytes()
        for file in (SAMPLES / exchange.folder).iterdir()
        if file.name.startswith(("RET", "RGE", "accuse"))
    }
    came = {name: content for name, content in answers[message_id(exchange)].items() if "technique" not in name}
    attestations = {name for name in came if name.startswith("ATT")}
    assert came.keys() - attestations == published.keys()
    assert len(attestations) == attested(exchange)
    for name, content in published.items():
        assert CHANGING.sub(b"", came[name]).decode() == CHANGING.sub(b"", content).decode()


@pytest.mark.parametrize(("folder", "place"), [("dispatching", 1), ("preavis", 0), ("accuse-technique", 0)])
def test_what_comes_without_being_asked_for_is_as_published(
    world: MailWorld, answers: dict[str, dict[str, bytes]], night: None, folder: str, place: int
) -> None:
    """To the neighbour or to the desk itself, the night after or before a late answer."""
    ((name, content),) = ((file.name, file.read_bytes()) for file in (SAMPLES / folder).iterdir())
    (came,) = (mail.files for mail in opened(world, world.software[place]) if name in mail.files)
    assert CHANGING.sub(b"", came[name]).decode() == CHANGING.sub(b"", content).decode()
