"""The story that the samples tell, on one day of January 2026, on a register in which nobody is registered yet."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import Address, Applicant, HousingRequest
from mailflow.core.inquiry import RequestStatus, Situation, StatusAnswer
from mailflow.core.model import Operation, Outcome, Refused, Registered, RequestState
from mailflow.core.numbers import Territory, UniqueNumber, compose
from mailflow.core.order import Deregistration, Holder, Lease
from mailflow.wire.envelope import RequestElement
from mailflow.wire.management import QuestionElement
from mailflow.wire.samples.exchange import DECIDED_AFTER, MADE_BEFORE, Exchange, FileSample, QuestionSample
from mailflow.wire.samples.forms import (
    SAMPLE_DEPOSIT,
    SAMPLE_DESK,
    amended_form,
    association_form,
    family_form,
    faulty_form,
    leaver_form,
    plain_form,
)

SAMPLE_TIME = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)
"""When the first mail is received; each other one five minutes after the one before it."""
_BETWEEN = timedelta(minutes=5)
_TODAY, _LAST = date(2026, 1, 15), date(2027, 1, 15)
_AT_REQUEST = "/interfaceNuu/demande"


def _number(deposited_on: date, sequence: int) -> UniqueNumber:
    return compose(Territory("059"), deposited_on, sequence, SAMPLE_DESK)


FAMILY = _number(SAMPLE_DEPOSIT, 1)
ASSOCIATION = _number(date(2025, 2, 3), 1)
HOUSED, INADMISSIBLE, MISTAKEN, HOUSED_TOO = (_number(SAMPLE_DEPOSIT, sequence) for sequence in (2, 3, 4, 5))
LEAVER = _number(SAMPLE_DEPOSIT, 6)
ENDING = _number(date(2025, 2, 10), 2)
"""Its last day is near: its desk is given notice."""


def _active(number: UniqueNumber, expires_on: date, revision: int = 1) -> Registered:
    return Registered(number=number, state=RequestState.ACTIVE, expires_on=expires_on, revision=revision)


def _ended(number: UniqueNumber, state: RequestState, expires_on: date) -> Registered:
    """Its second change, after the creation."""
    return Registered(number=number, state=state, expires_on=expires_on, revision=2)


def _refused(request: int, code: Code, path: str = "", *, number: UniqueNumber | None = None) -> Refused:
    return Refused(anomalies=(Anomaly(code=code, path=f"{_AT_REQUEST}[{request}]{path}", number=number),))


def _file(sequence: int, operation: Operation, *pairs: tuple[RequestElement, Outcome | None]) -> FileSample:
    requests, outcomes = zip(*pairs, strict=True)
    return FileSample(sequence=sequence, operation=operation, requests=requests, outcomes=outcomes)


def _one(
    sequence: int, operation: Operation, element: RequestElement, outcome: Outcome
) -> list[FileSample | QuestionSample]:
    return [_file(sequence, operation, (element, outcome))]


# Who holds the requests

_FAMILY = Holder(surname="Exemple-Martin", born_on=date(1990, 2, 28))
_LEAVER = Holder(surname="Exemple", born_on=date(1988, 7, 1))
_ASSOCIATION = Holder(company_name="Association Exemple Logement")
_ANNA = Applicant(surname="Modèle", first_name="Anna", born_on=date(1985, 4, 3))
_PAUL = Applicant(surname="Spécimen", first_name="Paul", born_on=date(1979, 10, 21))
_ROSE = Applicant(surname="Gabarit", first_name="Rose", born_on=date(2001, 12, 5))
_INES = Applicant(surname="Maquette", first_name="Inès", born_on=date(1994, 6, 17))
_LUC = Applicant(surname="Patron", first_name="Luc", born_on=date(1966, 8, 30))


def _holder(applicant: Applicant) -> Holder:
    return Holder(surname=applicant.surname, born_on=applicant.born_on)


# Files


def _creations(sequence: int, first_reference: int, *pairs: tuple[HousingRequest, Outcome | None]) -> FileSample:
    requests = [
        (RequestElement(reference=f"DOSSIER-2026-{number:04}", form=form), outcome)
        for number, (form, outcome) in enumerate(pairs, start=first_reference)
    ]
    return _file(sequence, Operation.CREATION, *requests)


_OF_ASSOCIATION = _creations(2, 2, (association_form(), _active(ASSOCIATION, date(2026, 2, 3))))


def _batch() -> Iterable[FileSample]:
    """Two files of several requests, some of which are refused."""
    monday, tuesday = date(2026, 1, 13), date(2026, 1, 14)
    nameless = Applicant(first_name="Inconnu", born_on=date(1970, 1, 1))
    of_the_family = Applicant(surname="EXEMPLE", first_name="Noel", born_on=date(1988, 7, 1))
    yield _creations(
        3,
        3,
        (plain_form(_ANNA, monday, telephone="en journée"), _active(HOUSED, date(2027, 1, 13))),
        (plain_form(of_the_family, monday), _refused(2, Code.REQUEST_EXISTS, "/demandeLogement", number=FAMILY)),
        (plain_form(nameless, monday, types=()), None),
        (plain_form(_LUC, date(2025, 2, 10)), _active(ENDING, date(2026, 2, 10))),
    )
    yield _creations(
        4,
        7,
        *(
            (plain_form(who, tuesday), _active(number, date(2027, 1, 14)))
            for who, number in ((_PAUL, INADMISSIBLE), (_ROSE, MISTAKEN), (_INES, HOUSED_TOO))
        ),
    )


def _deregistrations() -> FileSample:
    """Of two who were housed, and of one who cannot be registered."""
    described = Lease(
        landlord="123456782",
        signed_on=date(2026, 1, 14),
        already_tenant=False,
        address=Address(street="5 rue du Bail", postcode="59000", town="Lille"),
        type="T3",
        area=Decimal("62.00"),
        rent=Decimal("480.25"),
        sensitive_area="ZUSNON",
        collective_agreement="AUCUN",
        dalo="NON",
        quota="COLTER",
    )
    listed = Lease(landlord="123456782", signed_on=date(2026, 1, 9), already_tenant=True, dwelling="59X0000001")
    ends: tuple[tuple[UniqueNumber, Applicant, Deregistration, date], ...] = (
        (HOUSED, _ANNA, Deregistration(motive="RADATT", lease=described), date(2027, 1, 13)),
        (INADMISSIBLE, _PAUL, Deregistration(motive="RADIRR", submotive="IRRRES"), date(2027, 1, 14)),
        (HOUSED_TOO, _INES, Deregistration(motive="RADATT", lease=listed), date(2027, 1, 14)),
    )
    return _file(
        8,
        Operation.DEREGISTRATION,
        *(
            (
                RequestElement(number=number, holder=_holder(who), deregistration=why),
                _ended(number, RequestState.DEREGISTERED, expires_on),
            )
            for number, who, why, expires_on in ends
        ),
    )


def _refused_operations() -> Iterable[FileSample]:
    yield _file(
        12,
        Operation.RENEWAL,
        (RequestElement(number=FAMILY, holder=_FAMILY), _refused(1, Code.RENEWAL_TOO_EARLY)),
        (RequestElement(number=MISTAKEN, holder=_holder(_ROSE)), _refused(2, Code.NUMBER_REMOVED)),
    )
    yield _file(
        13,
        Operation.DEREGISTRATION,
        (
            RequestElement(number=FAMILY, holder=_holder(_ROSE), deregistration=Deregistration(motive="RADABA")),
            _refused(1, Code.NUMBER_UNKNOWN, "/numUnique"),
        ),
        (RequestElement(number=FAMILY, holder=_FAMILY), _refused(2, Code.ALREADY_ACTIVE)),
    )


def _questions() -> QuestionSample:
    created = RequestStatus(
        number=ASSOCIATION,
        reference="DOSSIER-2026-0002",
        state=RequestState.ACTIVE,
        expires_on=_LAST,
        operation=Operation.RENEWAL,
        operated_on=_TODAY,
    )
    ended = RequestStatus(
        number=HOUSED_TOO,
        state=RequestState.DEREGISTERED,
        operation=Operation.DEREGISTRATION,
        operated_on=_TODAY,
    )
    received_at = SAMPLE_TIME + _BETWEEN
    known = StatusAnswer(
        situation=Situation.DECIDED,
        since=received_at + DECIDED_AFTER,
        digest=sha256(_OF_ASSOCIATION.content(received_at - MADE_BEFORE)).hexdigest(),
        registered=1,
        refused=0,
        requests=(created,),
    )
    return QuestionSample(
        sequence=1,
        questions=(
            QuestionElement(file_name="DEMZ0001-202601151035-000002.xml"),
            QuestionElement(file_name="DEMZ0001-202601151035-999999.xml"),
            QuestionElement(number=HOUSED_TOO, holder=_holder(_INES)),
            QuestionElement(reference="DOSSIER-2026-0002"),
            QuestionElement(number=HOUSED_TOO, holder=_holder(_ROSE)),
        ),
        answers=(
            known,
            StatusAnswer(situation=Situation.UNKNOWN),
            StatusAnswer(requests=(ended,)),
            StatusAnswer(requests=(created,)),
            StatusAnswer(anomalies=(Anomaly(code=Code.QUESTION_UNKNOWN),)),
        ),
    )


_STORY: dict[str, tuple[str, Iterable[FileSample | QuestionSample]]] = {
    "creation": (
        "une création où figure chaque élément de la demande d'une personne, aussi en JSON",
        [_creations(1, 1, (family_form(), _active(FAMILY, date(2027, 1, 12))))],
    ),
    "association": (
        "une création où figure chaque élément de la demande d'une association, déposée l'année d'avant",
        [_OF_ASSOCIATION],
    ),
    "lot": (
        "deux fichiers, sept créations minimales : cinq enregistrées, dont une avec un avertissement, deux refusées",
        _batch(),
    ),
    "refus": ("une création refusée, avec ses anomalies", [_creations(5, 10, (faulty_form(), None))]),
    "modification": (
        "la modification de la première demande",
        _one(
            6,
            Operation.AMENDMENT,
            RequestElement(number=FAMILY, holder=_FAMILY, form=amended_form()),
            _active(FAMILY, date(2027, 1, 12), revision=2),
        ),
    ),
    "renouvellement": (
        "le renouvellement de la demande de l'association, sans formulaire",
        _one(
            7,
            Operation.RENEWAL,
            RequestElement(number=ASSOCIATION, holder=_ASSOCIATION),
            _active(ASSOCIATION, _LAST, revision=2),
        ),
    ),
    "radiation": (
        "trois radiations : deux attributions, avec leur bail, et une irrecevabilité",
        [_deregistrations()],
    ),
    "reactivation": (
        "la réactivation de la demande radiée comme irrecevable",
        _one(
            9,
            Operation.DEREGISTRATION,
            RequestElement(number=INADMISSIBLE, holder=_holder(_PAUL)),
            _active(INADMISSIBLE, date(2027, 1, 14), revision=3),
        ),
    ),
    "suppression": (
        "la suppression d'une création erronée",
        _one(
            10,
            Operation.REMOVAL,
            RequestElement(number=MISTAKEN, holder=_holder(_ROSE)),
            _ended(MISTAKEN, RequestState.REMOVED, date(2027, 1, 14)),
        ),
    ),
    "separation": (
        "la création à la séparation du couple de la première demande : un nouveau numéro, la même ancienneté",
        _one(
            11,
            Operation.CREATION_AFTER_SEPARATION,
            RequestElement(reference="DOSSIER-2026-0011", number=FAMILY, holder=_LEAVER, form=leaver_form()),
            _active(LEAVER, _LAST),
        ),
    ),
    "refus-operations": (
        "deux fichiers d'opérations que l'état de la demande ou son titulaire empêche",
        _refused_operations(),
    ),
    "copie": (
        "une copie numérique, que la messagerie refuse",
        [
            FileSample(
                sequence=14,
                operation=Operation.COPY,
                requests=(RequestElement(number=FAMILY, holder=_FAMILY),),
                outcomes=(),
            )
        ],
    ),
    "etat": ("des questions sur l'état de fichiers et de demandes", [_questions()]),
}
"""By the folder in which it is published: what it shows, and its files."""

EXCHANGES: tuple[Exchange, ...] = tuple(
    Exchange(
        folder=folder,
        title=title,
        desk=SAMPLE_DESK,
        received_at=SAMPLE_TIME + place * _BETWEEN,
        files=tuple(files),
    )
    for place, (folder, (title, files)) in enumerate(_STORY.items())
)
"""In the order in which they are sent."""
