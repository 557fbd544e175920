"""Mail that other programs make is accepted, whatever they can make; and they read what we answer."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email import message_from_bytes
from pathlib import Path

import pytest

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.certificates import Kind
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from tests.support.available import missing, require
from tests.support.mail_world import MailWorld
from tests.support.producers.matrix import Cell, Letter, Opens, Place, Producer, Signature, opening
from tests.support.producers.roster import PRODUCERS

KINDS: dict[Signature, Kind] = {Signature.RSA: "rsa", Signature.PSS: "rsa", Signature.ECDSA: "p256"}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A mail on its way."""

    producer: Producer
    cell: Cell
    software: DeskSoftware
    message_id: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.producer.name}: {self.cell}"


def software(pki: Pki) -> dict[tuple[Kind, Opens | None], DeskSoftware]:
    """A sender for each way in which some producer signs and has its answers encrypted."""
    found: dict[tuple[Kind, Opens | None], DeskSoftware] = {}
    for producer in PRODUCERS:
        for signature, kind in KINDS.items():
            opens = producer.opens_after(signature)
            if (kind, opens) in found:
                continue
            name, curve = f"logiciel-{len(found)}", opens is not None and opens.endswith("ECDH")
            address = f"{name}@desk.example"
            apart = opens is not None and curve is not (kind == "p256")
            found[kind, opens] = DeskSoftware(
                sender=name,
                desk=f"Z{len(found) + 1:04}",
                territory="059",
                address=address,
                identity=pki.issue(name, kind=kind, address=address),
                decrypts=pki.issue(f"{name}-opens", kind="rsa", usage="encrypt", address=address) if apart else None,
                legacy=opens in (Opens.RSA_LEGACY, Opens.CURVE_LEGACY),
            )
    return found


@pytest.mark.parametrize("producer", PRODUCERS, ids=lambda producer: producer.name)
def test_the_producer_is_here(producer: type[Producer]) -> None:
    require(producer.program)


@pytest.mark.slow
def test_mail_of_every_producer_is_accepted_and_its_answer_read(tmp_path: Path) -> None:
    for server in ("dovecot", "postfix", "openssl"):
        require(server)
    pki = Pki(at=datetime.now(UTC))
    senders = software(pki)
    service = {"rsa": pki.service_rsa, "curve": pki.service_ec}
    decryption = []
    keys = tmp_path / "service" / "keys"
    keys.mkdir(parents=True)
    for identity in service.values():
        identity.write(keys)
        decryption.append({"key_file": f"keys/{identity.name}.key", "certificate_file": f"keys/{identity.name}.pem"})
    changes = {"keys": {"decryption": decryption}}
    with MailWorld(tmp_path, pki, tuple(senders.values()), changes=changes) as world, ExitStack() as stack:
        sent: list[Sent] = []
        for kind in PRODUCERS:
            if not missing(kind.program):
                used = {senders[KINDS[one], kind.opens_after(one)].sender for one in Signature}
                place = a_place(tmp_path / kind.__name__, pki, [one for one in world.software if one.sender in used])
                producer = stack.enter_context(closing(kind(place)))
                sent += mails(producer, senders, first=len(sent))
        world.post([one.raw for one in sent])
        _, said = world.run()
        world.settle()
        assert list(faults(sent, world)) == [], said


def a_place(folder: Path, pki: Pki, software: Sequence[DeskSoftware]) -> Place:
    """Where a producer finds the keys of the desks and the certificates of the others."""
    folder.mkdir()
    place = Place(folder, software, {"rsa": pki.service_rsa, "curve": pki.service_ec})
    authorities = {
        "root": pki.root.identity.pem,
        "issuing-rsa": pki.issuing_rsa.identity.pem,
        "issuing-curve": pki.issuing_ec.identity.pem,
    }
    for name, pem in authorities.items():
        place.write(f"{name}.pem", pem)
    place.write("chain.pem", authorities["issuing-rsa"] + authorities["issuing-curve"])
    place.write("authorities.pem", b"".join(authorities.values()))
    return place


def mails(producer: Producer, senders: dict[tuple[Kind, Opens | None], DeskSoftware], *, first: int) -> Iterator[Sent]:
    """What the producer can make, each with a request of its own. It may give the mail an identifier itself."""
    at = datetime.now(UTC)
    for number, cell in enumerate(producer.legal(), first):
        software = senders[KINDS[cell.signature], producer.opens_after(cell.signature)]
        applicant = Person(
            surname=f"Essai{chr(97 + number // 26)}{chr(97 + number % 26)}", first_name="Ève", born_on=date(1988, 4, 2)
        )
        form = request_form(applicant, desk=software.desk, deposited_on=legal_day(at), municipalities=["59350"])
        letter = Letter(
            sender=software.sender,
            address=software.address,
            message_id=f"<{number}@desk.example>",
            file_name=file_name(software.desk, at, number),
            octets=request_file([form], made_at=at),
        )
        raw = producer.write(letter, cell)
        message_id = str(message_from_bytes(raw)["Message-ID"])
        yield Sent(producer=producer, cell=cell, software=software, message_id=message_id, raw=raw)


def faults(sent: list[Sent], world: MailWorld) -> Iterator[str]:
    """What did not come to a number that the producer reads, in sentences."""
    answers = {
        str(message_from_bytes(raw)["In-Reply-To"]): raw
        for software in world.software
        for raw in world.dovecot.messages(software.sender)
    }
    for one in sent:
        if (raw := answers.get(one.message_id)) is None:
            yield f"{one}: no answer"
            continue
        opened = world.installation.open(one.software, raw, datetime.now(UTC))
        returned = b"".join(octets for name, octets in opened.files.items() if name.startswith("RET"))
        _, given, rest = returned.partition(b"numUnique>")
        if not given:
            yield f"{one}: refused, {opened.text}"
            continue
        if one.producer.opens:
            read = one.producer.read(opening(one.software), raw)
            if rest.partition(b"<")[0] not in read:
                yield f"{one}: read {read!r}"
