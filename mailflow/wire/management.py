"""`gestion`: what travels beside requests. A `GES` file asks after files and requests, an `RGE` answers.

The document is ours, in our namespace; an `RGE` is the `GES` returned, each `question` with its `reponse`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailflow.core.lexical import Count, Day, Moment, Sentence, Token
from mailflow.core.order import Holder
from mailflow.core.shapes import Attribute, Items, WireModel
from mailflow.wire.envelope import AnomalyElement, Header

MANAGEMENT = "gestion"


class ManagementType(StrEnum):
    """`entete/typeFichier` of a `gestion`."""

    STATUS = "etat"
    """Asks how files and requests stand."""
    ROLL_OVER = "certificat"
    """Brings a new certificate; not offered yet."""
    ANSWER = "RGE"


class ManagementHeader(Header):
    """`entete`; its `typeFichier` is a `ManagementType`."""


class StatusElement(WireModel):
    """`demande`: how one request stands."""

    reference: Token | None = None
    """The desk's own reference, where the file gave one."""
    number: Token | None = Field(default=None, alias="numUnique")
    state: Token | None = Field(default=None, alias="etat")
    """`active`, `radiee` or `supprimee`."""
    expires_on: Day | None = Field(default=None, alias="echeance")
    """The last day on which an active request is so."""
    operation: Token | None = Field(default=None, alias="derniereOperation")
    operated_on: Day | None = Field(default=None, alias="dateOperation")
    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")
    """Of a request that was refused, or registered with warnings: codes and paths."""


class AnswerElement(WireModel):
    """`reponse`."""

    situation: Token | None = None
    """Of a file: `inconnu`, `en_attente`, `retenu` (a person has to look at it) or `decide`."""
    received_at: Moment | None = Field(default=None, alias="dateReception")
    """Of a file that waits."""
    decided_at: Moment | None = Field(default=None, alias="dateDecision")
    """Of a file that is decided."""
    digest: Sentence | None = Field(default=None, alias="empreinte")
    """SHA-256 (hex) of the content that is known under that name."""
    registered: Count | None = Field(default=None, alias="enregistrees")
    refused: Count | None = Field(default=None, alias="refusees")
    requests: Annotated[tuple[StatusElement, ...], Items("demande")] = Field(default=(), alias="listeDemande")
    """The request asked after, or those of the file in its order."""
    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")


class QuestionElement(WireModel):
    """`question`: after a file, after a request with its holder, or after a request by the desk's own reference."""

    file_name: Sentence | None = Field(default=None, alias="fichier")
    """Of a `DEM` file of the same desk."""
    number: Token | None = Field(default=None, alias="numUnique")
    holder: Holder | None = Field(default=None, alias="titulaire")
    reference: Token | None = None
    answer: AnswerElement | None = Field(default=None, alias="reponse")
    """In an `RGE`."""


class ManagementFile(WireModel):
    """`gestion`."""

    environment: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="environnement")
    """In an `RGE`: `production` or `ecole`."""
    answered_file: Annotated[Sentence | None, Attribute(extension=True)] = Field(default=None, alias="fichier")
    """In an `RGE`: the name of the file that it answers, when that name is one of the interface."""
    answered_digest: Annotated[Sentence | None, Attribute(extension=True)] = Field(default=None, alias="empreinte")
    """In an `RGE`: the SHA-256 (hex) of the file that it answers."""
    header: ManagementHeader | None = Field(default=None, alias="entete")
    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")
    """Of the file as a whole."""
    questions: Annotated[tuple[QuestionElement, ...], Items("question")] = Field(default=(), alias="listeQuestion")
