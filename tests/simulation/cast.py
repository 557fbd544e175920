"""Who takes part in the simulation: the service's keys, the desks' programs, and a stranger. Made once a session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from mailflow.core.model import CertificateUse, Mandate, Right, SenderCode
from mailflow.core.numbers import DeskCode, Territory
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Authority, Pki
from mailflow.mail import cms
from mailflow.mail.cms import DecryptionKey, SigningKey
from mailflow.mail.trust import SigningWindow
from mailflow.register import Register, directory
from tests.simulation.chance import chance_of
from tests.support.pki import AT

SERVICE = "demandes@service.example"
AUDIT = "audit@service.example"
LISTS_LAST = timedelta(days=400)
WINDOW = SigningWindow(before=timedelta(days=7), after=timedelta(minutes=5))
NORD = Territory("059")
PARIS = Territory("111")
MUNICIPALITY = {NORD: "59350", PARIS: "75056"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """A desk's program."""

    code: SenderCode
    desks: tuple[tuple[DeskCode, Territory], ...]
    identity: Identity
    signing_key: SigningKey
    decryption_key: DecryptionKey
    following: Identity
    """A certificate of its own that is not enrolled; `next_…` are with its key."""
    next_signing_key: SigningKey
    next_decryption_key: DecryptionKey

    @property
    def address(self) -> str:
        return f"{self.code}@desk.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A couple's request that is registered before anything happens; it can be renewed, and removed."""

    number: str
    persons: tuple[str, str]
    """Their surnames."""


KNOWN_DEPOSIT = date(2025, 3, 20)
KNOWN = tuple(
    Known(number=f"059{KNOWN_DEPOSIT:%m%y}{n:06}59001", persons=(f"Deja{'abcd'[n - 1]}un", f"Deja{'abcd'[n - 1]}deux"))
    for n in range(1, 5)
)
"""Created by the first desk of `alpha`."""
EVERYTHING = frozenset(Right) - {Right.MANAGE, Right.CONSULT}
CONSULTING = (DeskCode("59002"), DeskCode("75002"))
"""Desks that may learn of what others do in their territories, and are told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody, with what the service trusts."""

    service: Identity
    service_next: Identity
    """Its keys follow those of `service`, in stories that have it so."""
    senders: tuple[Software, ...]
    """Enrolled. The last two: one that is suspended for a while, one whose revocation list comes late."""
    stranger: Software
    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    lists: tuple[bytes, ...]
    late_list: bytes

    @property
    def suspect(self) -> Software:
        return self.senders[-2]

    @property
    def late(self) -> Software:
        return self.senders[-1]


def _software(pki: Pki, code: str, *desks: tuple[str, Territory], by: Authority | None = None) -> Software:
    identity, following = pki.issue(code, by=by), pki.issue(f"{code} next", by=by)
    return Software(
        code=SenderCode(code),
        desks=tuple((DeskCode(desk), territory) for desk, territory in desks),
        identity=identity,
        signing_key=cms.load_signing_key(identity.key_pem, identity.pem),
        decryption_key=cms.load_decryption_key(identity.key_pem, identity.pem),
        following=following,
        next_signing_key=cms.load_signing_key(following.key_pem, following.pem),
        next_decryption_key=cms.load_decryption_key(following.key_pem, following.pem),
    )


@cache
def the_cast() -> Cast:
    """Everybody, each time the same; keys on P-256, because they are quick."""
    with chance_of("cast"):
        return _cast(Pki(at=AT))


def _cast(pki: Pki) -> Cast:
    late = pki.authority("issuing-late", by=pki.root)
    return Cast(
        service=pki.service_ec,
        service_next=pki.issue("service-next", address=SERVICE),
        senders=(
            _software(pki, "alpha", ("59001", NORD), ("75001", PARIS)),
            _software(pki, "bravo", ("59002", NORD), ("75002", PARIS)),
            _software(pki, "suspect", ("59003", NORD)),
            _software(pki, "late", ("59004", NORD), by=late),
        ),
        stranger=_software(pki, "stranger", ("59001", NORD)),
        anchors=pki.anchors,
        intermediates=(pki.issuing_ec.identity.der, late.identity.der),
        lists=(pki.crl(pki.root, lasts=LISTS_LAST), pki.crl(pki.issuing_ec, lasts=LISTS_LAST)),
        late_list=pki.crl(late, lasts=LISTS_LAST),
    )


async def enrol(register: Register, senders: Sequence[Software]) -> None:
    """Put the senders on record with their desks and mandates, as an operator does."""
    change = directory.Change(by="operator", why="simulation", at=AT)
    async with register.begin() as tx:
        for sender in senders:
            await directory.add_sender(
                tx,
                sender.code,
                name=sender.code,
                answer_address=sender.address,
                legacy_encryption=False,
                change=change,
            )
            await directory.add_address(tx, sender.code, sender.address, change)
            for use in CertificateUse:
                identity = sender.identity
                await directory.add_certificate(
                    tx, sender.code, fingerprint=identity.fingerprint, der=identity.der, use=use, change=change
                )
            for desk, territory in sender.desks:
                await directory.add_desk(tx, desk, name=f"Guichet {desk}", address="1 place", change=change)
                mandate = Mandate(
                    desk=desk,
                    territory=territory,
                    rights=EVERYTHING | {Right.CONSULT} if desk in CONSULTING else EVERYTHING,
                    starts_on=date(2026, 1, 1),
                    ends_on=None,
                )
                await directory.add_mandate(tx, sender.code, mandate, change)
