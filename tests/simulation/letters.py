"""What is sent: mails of desks' programs, good, repeated, at odds with each other, wrong, unproven and poisonous."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum

from mailflow.core.calendar import PARIS as PARIS_TIME
from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode, Territory
from mailflow.core.order import Deregistration, Holder
from mailflow.demo.applications import Person, file_name, request_form
from mailflow.mail.desk import Protection, request_mail
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from tests.simulation.cast import KNOWN, KNOWN_DEPOSIT, MUNICIPALITY, NORD, PARIS, SERVICE, Cast, Software
from tests.support.pki import AT

BREAKS = b"X-Simulation: breaks the judge\r\n"
KILLS = b"X-Simulation: kills the process\r\n"
DEPOSITS = (date(2026, 1, 20), date(2026, 2, 10))
BORN_ON = date(1990, 1, 1)


class Expected(Enum):
    """How a mail must end."""

    ANSWERED = "answered"
    SILENCE = "set aside, because nobody proved who they are"
    STRUCK = "set aside, because it cannot be judged"
    EITHER = "answered, or set aside while its sender was suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request, by what decides whether it is registered."""

    persons: tuple[str, ...]
    """Surnames of those who would sign the lease; no two invented people share one."""
    territory: Territory
    deposited_on: date
    complete: bool
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of a registered request."""

    operation: Operation
    number: str
    holder: str
    """The surname of somebody who is said to hold it."""
    persons: tuple[str, ...] = ()
    """Surnames in the form that comes with it; empty without a form."""
    motive: str | None = None
    """Of a deregistration; without one it is a reactivation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A `DEM` file."""

    desk: DeskCode
    name: str
    content: bytes = field(repr=False)
    dated_at: datetime
    wishes: tuple[Wish, ...] = ()
    order: Order | None = None
    """None: creations are wished for."""

    @property
    def operation(self) -> Operation:
        return self.order.operation if self.order else Operation.CREATION

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail, with what it says."""

    case: str
    raw: bytes = field(repr=False)
    message_id: str
    sender: Software
    documents: tuple[Document, ...]
    expected: Expected
    deliveries: tuple[bytes, ...] = field(repr=False)
    """The octets of each time it arrives: a relay may add a line."""
    about: str | None
    """The registered request that this letter and some others are about: `lives` judges them together."""


class Writing:
    """Writes the letters of one run."""

    def __init__(self, cast: Cast, rng: random.Random) -> None:
        self.cast = cast
        self.rng = rng
        self.letters: list[Letter] = []
        self._persons = 0
        self._files = 0
        self.known = list(KNOWN)
        """Registered requests that no letter is about yet."""

    def write(self, harmful: int, cases: int, changes: "Sequence[Case]") -> list[Letter]:
        """So many of the `HARMFUL` cases, so many of the others, and these changes."""
        for case in (*self.rng.sample(HARMFUL, k=harmful), *self.rng.choices(CASES, k=cases), *changes):
            case(self)
        return self.letters

    def surname(self) -> str:
        self._persons += 1
        high, low = divmod(self._persons, 26)
        return f"Nom{chr(97 + high)}{chr(97 + low)}"

    def software(self) -> tuple[Software, DeskCode, Territory]:
        software = self.rng.choice(self.cast.senders[:2])
        return software, *self.rng.choice(software.desks)

    def wish(self, territory: Territory, *persons: str, complete: bool = True, reference: str | None = None) -> Wish:
        return Wish(
            persons=persons or (self.surname(),),
            territory=territory,
            deposited_on=self.rng.choice(DEPOSITS),
            complete=complete,
            reference=reference,
        )

    def document(self, desk: DeskCode, *wishes: Wish, name: str | None = None) -> Document:
        return self._document(desk, Operation.CREATION, _wished(desk, wishes), name, wishes=wishes)

    def order(self, desk: DeskCode, order: Order) -> Document:
        form = None
        if order.persons:
            # An amendment says the first deposit, who leaves a couple the deposit of the new form.
            day = DEPOSITS[0] if order.operation is Operation.CREATION_AFTER_SEPARATION else KNOWN_DEPOSIT
            wish = Wish(persons=order.persons, territory=NORD, deposited_on=day, complete=True)
            form = HousingRequest.model_validate(_form(desk, wish))
        element = RequestElement(
            number=order.number,
            holder=Holder(surname=order.holder, born_on=BORN_ON),
            form=form,
            deregistration=Deregistration(motive=order.motive) if order.motive else None,
        )
        return self._document(desk, order.operation, [element], None, order=order)

    def _document(
        self,
        desk: DeskCode,
        operation: Operation,
        elements: Sequence[RequestElement],
        name: str | None,
        *,
        wishes: tuple[Wish, ...] = (),
        order: Order | None = None,
    ) -> Document:
        self._files += 1
        dated_at = AT - timedelta(minutes=self._files)
        return Document(
            desk=desk,
            name=name or file_name(desk, dated_at, self._files),
            content=_content(operation, elements, dated_at),
            dated_at=dated_at,
            wishes=wishes,
            order=order,
        )

    def good(self, desk: DeskCode, territory: Territory) -> Document:
        return self.document(desk, self.wish(territory))

    def letter(
        self,
        case: str,
        sender: Software,
        *documents: Document,
        expected: Expected = Expected.ANSWERED,
        times: int = 1,
        above: bytes = b"",
        about: str | None = None,
    ) -> None:
        message_id = f"<{len(self.letters)}.{case}@desk.example>"
        encrypted, opaque = self.rng.random() < 0.3, self.rng.random() < 0.3
        raw = above + request_mail(
            [(document.name, document.content) for document in documents],
            Protection(
                signing_key=sender.signing_key,
                encrypt_to=self.cast.service.der if encrypted else None,
                opaque=opaque,
                legacy=False,
            ),
            sender=sender.address,
            recipient=SERVICE,
            message_id=message_id,
            at=AT,
        )
        relayed = b"Received: from relay.example by mx.example; Mon, 2 Mar 2026 09:00:00 +0000\r\n" + raw
        self.letters.append(
            Letter(
                case=case,
                raw=raw,
                message_id=message_id,
                sender=sender,
                documents=documents,
                expected=expected,
                deliveries=(raw, *(self.rng.choice((raw, relayed)) for _ in range(times - 1))),
                about=about,
            )
        )


Case = Callable[[Writing], None]
"""Writes one letter, or several that have to do with each other."""


def creations(desk: DeskCode, wishes: Sequence[Wish], made_at: datetime) -> bytes:
    """A file of creations."""
    return _content(Operation.CREATION, _wished(desk, wishes), made_at)


def _wished(desk: DeskCode, wishes: Sequence[Wish]) -> list[RequestElement]:
    return [
        RequestElement(reference=wish.reference, form=HousingRequest.model_validate(_form(desk, wish)))
        for wish in wishes
    ]


def _content(operation: Operation, elements: Sequence[RequestElement], dated_at: datetime) -> bytes:
    document = InterfaceFile(
        version=VERSIONS[-1],
        header=Header(file_type=operation, dated_at=dated_at.astimezone(PARIS_TIME)),
        requests=tuple(elements),
    )
    return to_bytes(write(document, ROOT, NUU))


def _form(desk: DeskCode, wish: Wish) -> dict[str, object]:
    applicant, *others = (Person(surname=name, first_name="Zoé", born_on=BORN_ON) for name in wish.persons)
    form = request_form(
        applicant,
        desk=desk,
        deposited_on=wish.deposited_on,
        municipalities=[MUNICIPALITY[wish.territory]],
        co_applicant=others[0] if others else None,
    )
    if not wish.complete:
        del form["logementRecherche"]["listeTypeLogement"]
    return form


# Cases


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
    post.letters.append(
        Letter(
            case=signed.case,
            raw=raw,
            message_id=signed.message_id,
            sender=sender,
            documents=signed.documents,
            expected=Expected.SILENCE,
            deliveries=(raw,),
            about=None,
        )
    )


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
