"""What is sent, and how it is written: mails with requests, with orders about registered ones, with questions."""

import hashlib
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from io import BytesIO
from typing import Any

from mailflow.core.anomalies import Code
from mailflow.core.calendar import PARIS as PARIS_TIME
from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode, Territory
from mailflow.core.order import Deregistration, Holder
from mailflow.demo.applications import Person, file_name, request_form
from mailflow.mail.desk import Protection, request_mail
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.management import QuestionElement
from mailflow.wire.names import question_name
from mailflow.wire.questions import write_questions
from tests.simulation.cast import KNOWN, KNOWN_DEPOSIT, MUNICIPALITY, NORD, SERVICE, Cast, Software
from tests.support.pki import AT

BREAKS = b"X-Simulation: breaks the judge\r\n"
KILLS = b"X-Simulation: kills the process\r\n"
DEPOSITS = (date(2026, 1, 20), date(2026, 2, 10))
BORN_ON = date(1990, 1, 1)
FOR_NEXT_KEY = 0.3
"""How likely a mail is encrypted to the service's next key, in a story that has one."""
ZIPPED = 0.1
"""How likely the files of a mail come in a zip."""


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
    """Surnames of those who would sign the lease, no two invented people share one; or the name of an association."""
    territory: Territory
    deposited_on: date
    complete: bool
    reference: str | None = None
    of_association: bool = False
    """Which may have as many requests as it likes."""


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
class Asked:
    """One question of a `GES` file, with what decides how it is answered."""

    file: str | None = None
    number: str | None = None
    holder: str | None = None
    """A surname, with `number`."""
    reference: str | None = None
    of: Document | None = None
    """The file that `file` names, or whose only request has the `reference`; None when there is none."""
    fault: Code | None = None
    """What is wrong with the question itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """A `GES` file."""

    desk: DeskCode
    name: str
    content: bytes = field(repr=False)
    asked: tuple[Asked, ...]

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
    questions: tuple[Questions, ...] = ()
    to_next: bool = False
    """Whether the answer is to be encrypted to the certificate that came along, which is the sender's next one."""
    offers: bool = False
    """Whether that one was offered, with proof, to follow the one that signs."""
    for_next_key: bool = False
    """Whether it is encrypted to the service's next key: it is sent when that was announced."""

    @property
    def files(self) -> set[tuple[str, str]]:
        """What is to be returned, by name and digest."""
        documents = {(document.name, document.digest) for document in self.documents}
        return documents | {(questions.name, questions.digest) for questions in self.questions}


class Writing:
    """Writes the letters of one run."""

    def __init__(self, cast: Cast, rng: random.Random, *, keys_follow: bool = False) -> None:
        """`keys_follow`: the service's next key will be announced."""
        self.cast = cast
        self.rng = rng
        self.keys_follow = keys_follow
        self.letters: list[Letter] = []
        self._persons = 0
        self._files = 0
        self.known = list(KNOWN)
        """Registered requests that no letter is about yet."""

    def write(self, cases: "Sequence[Case]") -> list[Letter]:
        for case in cases:
            case(self)
        return self.letters

    def surname(self) -> str:
        self._persons += 1
        high, low = divmod(self._persons, 26)
        return f"Nom{chr(97 + high)}{chr(97 + low)}"

    def software(self) -> tuple[Software, DeskCode, Territory]:
        software = self.rng.choice(self.cast.senders[:2])
        return software, *self.rng.choice(software.desks)

    def wish(self, territory: Territory, *persons: str, complete: bool = True, **said: Any) -> Wish:
        return Wish(
            persons=persons or (self.surname(),),
            territory=territory,
            deposited_on=self.rng.choice(DEPOSITS),
            complete=complete,
            **said,
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

    def ask(self, desk: DeskCode, *asked: Asked) -> Questions:
        self._files += 1
        at = AT - timedelta(minutes=self._files)
        questions = [
            QuestionElement(
                file_name=one.file,
                number=one.number,
                holder=Holder(surname=one.holder, born_on=BORN_ON) if one.holder else None,
                reference=one.reference,
            )
            for one in asked
        ]
        name = question_name(desk, self._files, at)
        return Questions(desk=desk, name=name, content=write_questions(questions, at), asked=asked)

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
        questions: tuple[Questions, ...] = (),
        enclosed: tuple[str, bytes] | None = None,
        **said: bool,
    ) -> None:
        message_id = f"<{len(self.letters)}.{case}@desk.example>"
        encrypted, opaque = self.rng.random() < 0.3, self.rng.random() < 0.3
        service, for_next_key = self.cast.service, False
        if self.keys_follow and self.rng.random() < FOR_NEXT_KEY:
            service, for_next_key, encrypted = self.cast.service_next, True, True
        files = [*((one.name, one.content) for one in documents), *((one.name, one.content) for one in questions)]
        if self.rng.random() < ZIPPED:
            files = [("envoi.zip", _zip(files))]
        raw = above + request_mail(
            [*files, enclosed] if enclosed else files,
            Protection(
                signing_key=sender.signing_key,
                encrypt_to=service.der if encrypted else None,
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
                questions=questions,
                for_next_key=for_next_key,
                **said,
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


def _zip(files: Sequence[tuple[str, bytes]]) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _form(desk: DeskCode, wish: Wish) -> dict[str, Any]:
    applicant, *others = (Person(surname=name, first_name="Zoé", born_on=BORN_ON) for name in wish.persons)
    form: dict[str, Any] = request_form(
        applicant,
        desk=desk,
        deposited_on=wish.deposited_on,
        municipalities=[MUNICIPALITY[wish.territory]],
        co_applicant=others[0] if others else None,
    )
    if wish.of_association:
        address = form.pop("personnePhysique")["demandeur"]["coordonnees"]["adresse"]
        form["personneMorale"] = {
            "raisonSociale": applicant.surname,
            "siren": "123456782",
            "personneContact": {"nom": "Zoé", "telephone": "0199001234"},
            "coordonnees": {"adresse": address},
        }
    if not wish.complete:
        del form["logementRecherche"]["listeTypeLogement"]
    return form
