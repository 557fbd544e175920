"""The kinds of outgoing mails: how the order of each is kept, and who writes what it says. Pure.

A new kind is a type for its order, a function that writes the letter, and a line here (DESIGN.md, "Outgoing mails").
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from mailflow.jobs.orders import (
    CERTIFICATE_ENDING,
    CERTIFICATE_ENDINGS,
    DISPATCH,
    DISPATCHES,
    NOTICE,
    NOTICES,
    SERVICE_CERTIFICATE,
    SERVICE_CERTIFICATES,
)
from mailflow.mail import announcing, answer, receipt
from mailflow.mail.letter import Due, Letter, Letterhead
from mailflow.mail.model import Reply, SuccessionNotice, TechnicalReceipt

Order = TypeVar("Order")

ANSWER = "answer"
"""The answer to a mail; its key is the intake."""
RECEIPT = "receipt"
"""The technical receipt that goes first when an answer is late; its key is the intake."""
SUCCESSION = "certificate-succession"
"""What became of a certificate that a mail offered. Its key: sender, fingerprint, what became of it, to whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[Order]):
    """One kind of outgoing mail."""

    order: TypeAdapter[Order]
    """How what is to be told is kept in the outbox: immutable, all that the letter needs."""
    write: Callable[[Order, Letterhead, Mapping[str, bytes]], Letter]
    """The same letter for the same order; the mapping has the frozen `RET` files of its `records`."""
    records: Callable[[Order], Collection[str]] = lambda _: ()
    """The records of files whose `RET`, once frozen, must be told in the same octets."""
    attestations: Callable[[Order], Sequence[Due]] = lambda _: ()
    """What goes along for the applicants; issued before the letter is composed."""


KINDS: Mapping[str, Kind[Any]] = {
    ANSWER: Kind(
        order=TypeAdapter(Reply), write=answer.write, records=answer.records, attestations=answer.attestations
    ),
    RECEIPT: Kind(order=TypeAdapter(TechnicalReceipt), write=receipt.write),
    NOTICE: Kind(order=NOTICES, write=announcing.write_notice),
    CERTIFICATE_ENDING: Kind(order=CERTIFICATE_ENDINGS, write=announcing.write_certificate_ending),
    SERVICE_CERTIFICATE: Kind(order=SERVICE_CERTIFICATES, write=announcing.write_service_certificate),
    SUCCESSION: Kind(order=TypeAdapter(SuccessionNotice), write=announcing.write_succession),
    DISPATCH: Kind(order=DISPATCHES, write=announcing.write_dispatch),
}
