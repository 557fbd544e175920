"""The canary's two mails, as a desk's software sees them: the request it sends, the answer it checks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mailflow.core import calendar
from mailflow.core.canary import CANARY_DESKS, CanaryOutcome, is_canary_number
from mailflow.core.form import HousingRequest
from mailflow.core.model import Environment, Operation
from mailflow.core.numbers import CANARY_MUNICIPALITY, DeskCode, UniqueNumber
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.desk import AnswerRefused, Protection, joined, open_answer, request_mail
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.dispatch import NotOfTheService, read_told
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.names import FileName, Kind

BORN_ON = date(1970, 1, 1)
SURNAME = "Canari"
ACTIVE = "active"
PDF = b"%PDF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A canary request, ready to be sent."""

    file_name: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What an answer came to."""

    outcome: CanaryOutcome
    number: UniqueNumber | None


def file_name(environment: Environment, at: datetime) -> str:
    """Of the request that is made `at`; one a second is told apart."""
    local = at.astimezone(calendar.PARIS)
    desk = CANARY_DESKS[environment]
    sequence = f"{local.second * 1000 + local.microsecond // 1000:06}"
    return str(FileName(kind=Kind.REQUEST, desk=desk, minute=f"{local:%Y%m%d%H%M}", sequence=sequence))


def parcel(
    environment: Environment, protection: Protection, *, sender: str, recipient: str, message_id: str, at: datetime
) -> Parcel:
    """A complete request mail: somebody who does not exist seeks a dwelling where there is none."""
    name = file_name(environment, at)
    desk = CANARY_DESKS[environment]
    document = InterfaceFile(
        version=VERSIONS[-1],
        header=Header(file_type=Operation.CREATION, dated_at=at.astimezone(calendar.PARIS).replace(microsecond=0)),
        requests=(RequestElement(form=HousingRequest.model_validate(_form(desk, at))),),
    )
    content = to_bytes(write(document, ROOT, NUU))
    raw = request_mail(
        [(name, content)],
        protection,
        sender=sender,
        recipient=recipient,
        message_id=message_id,
        at=at,
        subject="Canari",
    )
    return Parcel(file_name=name, raw=raw)


def _form(desk: DeskCode, at: datetime) -> dict[str, object]:
    letters = "".join(chr(ord("a") + int(digit)) for digit in f"{int(at.timestamp() * 1000)}")
    return {
        "numGuichet": desk,
        "dateCreationDemande": calendar.legal_day(at).isoformat(),
        "personnePhysique": {
            "demandeur": {
                "civilite": "1",
                "nom": SURNAME,
                "prenom": letters.capitalize(),
                "dateNaissance": BORN_ON.isoformat(),
                "nationalite": "1",
                "situationFamiliale": "C",
                "coordonnees": {
                    "adresse": {"voie": "1 rue du Canari", "codePostal": "59000", "ville": "Lille"},
                    "telephone": "0199000000",
                },
            }
        },
        "pieceIdentite": {"typePieceIdentite": "CNI"},
        "logementRecherche": {
            "demandeElargie": "false",
            "listeTypeLogement": ["T1"],
            "listeLocalisationSouhaite": [{"commune": CANARY_MUNICIPALITY}],
        },
    }


def check(
    raw: bytes, key: DecryptionKey, signed_by: Sequence[bytes], environment: Environment, at: datetime
) -> Checked:
    """Whether this mail tells the canary what it ought to be told.

    1. It is encrypted to the canary and signed with one of these certificates; 2. of this environment; 3. whole; 4. its
    `RET` says of one request that it is active, under a number that stands for nobody; 5. there is an attestation.
    """
    try:
        whole = joined([open_answer(raw, [key], signed_by, at)])
        told = [
            one for name, content in whole.files.items() if name.startswith(Kind.RETURN) for one in read_told(content)
        ]
    except (AnswerRefused, NotOfTheService):
        return Checked(outcome=CanaryOutcome.WRONG, number=None)
    if not told:
        return Checked(outcome=CanaryOutcome.REFUSED, number=None)
    number = UniqueNumber(told[0].number)
    right = (
        whole.environment == environment == told[0].environment
        and not whole.missing
        and len(told) == 1
        and told[0].state == ACTIVE
        and is_canary_number(number)
        and any(content.startswith(PDF) for content in whole.files.values())
    )
    return Checked(outcome=CanaryOutcome.ANSWERED if right else CanaryOutcome.WRONG, number=number)
