"""The rules on addresses, on the identity document, and on an association."""

import re
from collections.abc import Iterator

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.identifiers import is_siren
from mailflow.core.rules.facts import Facts, contacts, filed_on, is_abroad

_POSTCODE = re.compile(r"[0-9]{5}")
# Loose on purpose: these two only warn.
_TELEPHONE = re.compile(r"\+?[0-9](?:[ .()/-]*[0-9]){5,18}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_FRENCH = "1"
_OUTSIDE_THE_UNION = "3"
_OF_NATIONALS = frozenset({"CNI", "PAS"})
_OF_RESIDENCE = frozenset({"TIT", "REC"})


def contact_is_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A postcode in France has five digits; a telephone or e-mail that looks wrong is only worth a warning."""
    for path, contact in contacts(form, facts.at_root):
        for name, address in (("adresse", contact.address), ("adresseCourrier", contact.mail_address)):
            if address and address.postcode and not is_abroad(address) and not _POSTCODE.fullmatch(address.postcode):
                yield Anomaly(code=Code.POSTCODE_WRONG, path=f"{path}/{name}/codePostal")
        for name, number in (("telephone", contact.telephone), ("telephonePortable", contact.mobile)):
            if number and not _TELEPHONE.fullmatch(number):
                yield Anomaly(code=Code.TELEPHONE_DOUBTFUL, path=f"{path}/{name}")
        if contact.email and not _EMAIL.fullmatch(contact.email):
            yield Anomaly(code=Code.EMAIL_DOUBTFUL, path=f"{path}/courriel")


def association_is_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A SIREN has nine digits and the right sum; who speaks for the association can be reached."""
    if form.association is None:
        return
    path = f"{facts.at_root}/personneMorale"
    if form.association.siren and not is_siren(form.association.siren):
        yield Anomaly(code=Code.ASSOCIATION_SIREN_WRONG, path=f"{path}/siren")
    speaker = form.association.contact_person
    if speaker and speaker.telephone and not _TELEPHONE.fullmatch(speaker.telephone):
        yield Anomaly(code=Code.TELEPHONE_DOUBTFUL, path=f"{path}/personneContact/telephone")
    if speaker and speaker.email and not _EMAIL.fullmatch(speaker.email):
        yield Anomaly(code=Code.EMAIL_DOUBTFUL, path=f"{path}/personneContact/courriel")


def identity_document_is_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """It was valid, and is one that somebody of that nationality has. Warnings: the desk has seen it."""
    document = form.identity_document
    if document is None:
        return
    path = f"{facts.at_root}/pieceIdentite"
    if document.valid_until and document.valid_until < filed_on(form, facts):
        yield Anomaly(code=Code.IDENTITY_DOCUMENT_EXPIRED, path=f"{path}/dateFinValidite")
    nationality = form.person.applicant.nationality if form.person and form.person.applicant else None
    unlikely = {_FRENCH: _OF_RESIDENCE, _OUTSIDE_THE_UNION: _OF_NATIONALS}.get(nationality or "", frozenset())
    if document.kind in unlikely:
        yield Anomaly(code=Code.IDENTITY_DOCUMENT_DOUBTFUL, path=f"{path}/typePieceIdentite")
