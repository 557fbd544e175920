"""What the desks of the demo send: good requests, bad ones, and some that nobody may answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.certificates import Kind
from mailflow.demo.installation import SERVICE, DeskSoftware, Installation
from mailflow.demo.pki import Fault, Pki
from mailflow.mail import entities

MARTIN = Person(surname="Martin", first_name="Camille", born_on=date(1987, 5, 14))
NGUYEN = Person(surname="Nguyen", first_name="Anaïs", born_on=date(1991, 11, 3))
LEFEBVRE = Person(surname="Lefèbvre", first_name="Jean-Marc", born_on=date(1969, 2, 28))
OSEI = Person(surname="Osei", first_name="Kwame", born_on=date(1995, 8, 30))
PEREIRA = Person(surname="Pereira da Silva", first_name="Inês", born_on=date(1979, 1, 9))
LILLE, ROUBAIX, PARIS_11 = "59350", "59512", "75111"


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One mail of the demo, and what became of it."""

    what: str
    software: DeskSoftware
    message_id: str
    raw: bytes = field(repr=False)
    answered: bool
    """Whether it is to be answered at all."""
    sent_at: float = 0.0
    seconds: float | None = None
    results: tuple[str, ...] = ()


def desks(pki: Pki) -> tuple[DeskSoftware, DeskSoftware, DeskSoftware]:
    """A town hall, the Paris region, and a software house that acts for a third desk with an old client."""
    certificates: dict[str, Kind] = {"mairie-lille": "rsa", "region-idf": "p256", "editeur-sud": "rsa"}
    identities = {
        name: pki.issue(name, kind=kind, address=f"{name}@desks.example") for name, kind in certificates.items()
    }
    return (
        DeskSoftware(
            sender="mairie-lille",
            desk="Z5935",
            territory="059",
            address="mairie-lille@desks.example",
            identity=identities["mairie-lille"],
            former=(pki.faulty(Fault.REVOKED),),
        ),
        DeskSoftware(
            sender="region-idf",
            desk="Z1110",
            territory="111",
            address="region-idf@desks.example",
            identity=identities["region-idf"],
        ),
        DeskSoftware(
            sender="editeur-sud",
            desk="Z5901",
            territory="059",
            address="editeur-sud@desks.example",
            identity=identities["editeur-sud"],
            legacy=True,
        ),
    )


class Story:
    """Writes the mails of the demo, numbered as they come."""

    def __init__(self, installation: Installation, software: Sequence[DeskSoftware], at: datetime) -> None:
        self._installation = installation
        self._lille, self._region, self._editor = software
        self._at = at
        self._today = legal_day(at)
        self._count = 0

    def first_round(self) -> list[Exchange]:
        """Independent mails, all at once."""
        lille, region, editor = self._lille, self._region, self._editor
        couple = self._form(lille, LEFEBVRE, [LILLE, ROUBAIX], co_applicant=PEREIRA)
        incomplete = self._form(editor, OSEI, [ROUBAIX])
        del incomplete["personnePhysique"]["demandeur"]["nom"]
        del incomplete["logementRecherche"]["listeTypeLogement"]
        too_many = self._form(editor, OSEI, [f"59{n:03}" for n in range(1, 12)])
        future = self._form(lille, OSEI, [LILLE])
        future["dateCreationDemande"] = (self._today + timedelta(days=40)).isoformat()
        return [
            self._one(lille, "one person, detached, encrypted", self._form(lille, MARTIN, [LILLE])),
            self._one(lille, "a couple, content inside the signature", couple, opaque=True),
            self._mail(
                region,
                "two files in one mail, P-256",
                [self._file(region, self._form(region, who, [PARIS_11])) for who in (NGUYEN, OSEI)],
            ),
            self._one(editor, "surname and type of dwelling missing", incomplete),
            self._one(editor, "eleven municipalities, signed only", too_many, encrypted=False),
            self._one(lille, "a deposit date in the future", future),
            self._mail(lille, "broken XML", [(self._name(lille), b"<interfaceNuu><entete></interfaceNuu>")]),
            self._mail(lille, "a desk without mandate", [self._file(region, self._form(region, OSEI, [PARIS_11]))]),
            *self._never_answered(),
        ]

    def second_round(self, first: Exchange) -> list[Exchange]:
        """What depends on the first round: the very same mail, and the same person at another desk."""
        again = replace(first, what="the very same mail again", seconds=None, results=())
        elsewhere = self._form(self._editor, MARTIN, [ROUBAIX])
        return [again, self._one(self._editor, "a person registered at another desk", elsewhere)]

    def _never_answered(self) -> list[Exchange]:
        pki, lille = self._installation.pki, self._lille
        form = self._form(lille, OSEI, [LILLE])
        stranger = replace(lille, identity=pki.issue("somebody-else", kind="rsa"))
        revoked = replace(lille, identity=pki.faulty(Fault.REVOKED))
        message_id = self._message_id(lille)
        headers = [("From", lille.address), ("To", SERVICE), ("Subject", "Demandes"), ("Message-ID", message_id)]
        unsigned = entities.mail(headers, entities.file_part(*self._file(lille, form), "application/xml"))
        return [
            self._one(stranger, "signed by somebody not enrolled", form, answered=False),
            self._one(revoked, "signed with a revoked certificate", form, answered=False),
            Exchange(what="not signed", software=lille, message_id=message_id, raw=unsigned, answered=False),
        ]

    def _form(
        self, software: DeskSoftware, applicant: Person, places: Sequence[str], co_applicant: Person | None = None
    ) -> dict[str, Any]:
        return request_form(
            applicant,
            desk=software.desk,
            deposited_on=self._today,
            municipalities=places,
            co_applicant=co_applicant,
        )

    def _name(self, software: DeskSoftware) -> str:
        self._count += 1
        return file_name(software.desk, self._at, self._count)

    def _file(self, software: DeskSoftware, form: dict[str, Any]) -> tuple[str, bytes]:
        return self._name(software), request_file([form], made_at=self._at)

    def _message_id(self, software: DeskSoftware) -> str:
        self._count += 1
        return f"<{self._count}.{self._at:%Y%m%d%H%M%S}@{software.address.rpartition('@')[2]}>"

    def _one(
        self,
        software: DeskSoftware,
        what: str,
        form: dict[str, Any],
        *,
        answered: bool = True,
        encrypted: bool = True,
        opaque: bool = False,
    ) -> Exchange:
        file = self._file(software, form)
        return self._mail(software, what, [file], answered=answered, encrypted=encrypted, opaque=opaque)

    def _mail(
        self,
        software: DeskSoftware,
        what: str,
        files: list[tuple[str, bytes]],
        *,
        answered: bool = True,
        encrypted: bool = True,
        opaque: bool = False,
    ) -> Exchange:
        message_id = self._message_id(software)
        raw = self._installation.request(
            software, files, message_id=message_id, at=self._at, encrypted=encrypted, opaque=opaque
        )
        return Exchange(what=what, software=software, message_id=message_id, raw=raw, answered=answered)
