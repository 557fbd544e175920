"""The document around requests: `interfaceNuu`, as desks send it and as we return it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from mailflow.core.anomalies import Anomaly, catalogue
from mailflow.core.form import HousingRequest
from mailflow.core.lexical import Count, Day, Moment, Sentence, Token
from mailflow.core.order import Deregistration, Holder
from mailflow.core.shapes import Attribute, Items, WireModel

ROOT = "interfaceNuu"
VERSIONS = ("02.00", "02.01")
"""The accepted values of `versionInterface`; answers repeat the sender's, or carry the last one."""


class Header(WireModel):
    """`entete`."""

    file_type: Token | None = Field(default=None, alias="typeFichier")
    dated_at: Moment | None = Field(default=None, alias="dateFichier")


class AnomalyElement(WireModel):
    """`anomalie`: its first child holds the text."""

    code: Annotated[Token | None, Attribute(extension=False)] = None
    path: Annotated[Sentence | None, Attribute(extension=True)] = Field(default=None, alias="chemin")
    severity: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="gravite")
    retry: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="reprise")
    remedy: Annotated[Sentence | None, Attribute(extension=True)] = Field(default=None, alias="remede")
    number: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="numeroExistant")
    """The number under which the request exists already, where the sender may learn it."""
    label: Sentence | None = Field(default=None, alias="libelle")


class RequestElement(WireModel):
    """`demande`."""

    reference: Annotated[Token | None, Attribute(extension=True)] = None
    """The desk's own reference of the request."""
    state: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="etat")
    """In a return: the state of the request in the register: `active`, `radiee` or `supprimee`."""
    expires_on: Annotated[Day | None, Attribute(extension=True)] = Field(default=None, alias="echeance")
    """In a return: the last day on which an active request is so."""
    revision: Annotated[Count | None, Attribute(extension=True)] = None
    """In a return or dispatch: how many changes the request has had; what is higher is newer, and true."""
    changed_at: Annotated[Moment | None, Attribute(extension=True)] = Field(default=None, alias="dateEtat")
    """In a dispatch: when the request was last changed, by whomever."""
    operation: Annotated[Token | None, Attribute(extension=True)] = None
    """In a dispatch: the last operation that the desk has no other way to learn of."""
    actor: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="acteur")
    """In a dispatch: the desk that did it; absent when it was the service itself."""
    number: Token | None = Field(default=None, alias="numUnique")
    """Of the request that the operation is about, for `CRS` the couple's. In the return of a creation the new one."""
    holder: Holder | None = Field(default=None, alias="titulaire")
    form: HousingRequest | None = Field(default=None, alias="demandeLogement")
    deregistration: Deregistration | None = Field(default=None, alias="radiation")
    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")


class InterfaceFile(WireModel):
    """`interfaceNuu`."""

    version: Annotated[Token | None, Attribute(extension=False)] = Field(default=None, alias="versionInterface")
    environment: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="environnement")
    """In a return: `production` or `ecole`."""
    answered_file: Annotated[Sentence | None, Attribute(extension=True)] = Field(default=None, alias="fichier")
    """In a return: the name of the file that it answers, when that name is one of the interface."""
    answered_digest: Annotated[Sentence | None, Attribute(extension=True)] = Field(default=None, alias="empreinte")
    """In a return: the SHA-256 (hex) of the file that it answers."""
    header: Header | None = Field(default=None, alias="entete")
    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")
    """Of the file as a whole."""
    requests: tuple[RequestElement, ...] = Field(default=(), alias="demande")


def anomaly_elements(anomalies: Sequence[Anomaly], *, decided: bool = False) -> tuple[AnomalyElement, ...]:
    """How anomalies are told in XML: code and path, the French sentence and remedy, what to send again.

    `decided`: they are of a file that has bound its name.
    """
    entries = catalogue()
    return tuple(
        AnomalyElement(
            code=anomaly.code,
            path=anomaly.path or None,
            severity=entries[anomaly.code].severity,
            retry=entries[anomaly.code].retry_in(decided=decided),
            remedy=entries[anomaly.code].remedy_french,
            number=anomaly.number,
            label=entries[anomaly.code].french,
        )
        for anomaly in anomalies
    )
