"""The receipt part of an answer: what was received and when it was decided, for the desk's own records."""

from typing import Annotated

from pydantic import Field

from mailflow.core.lexical import Moment, Sentence, Token
from mailflow.core.shapes import Items, WireModel

ACKNOWLEDGEMENT = "accuse"


class AcknowledgedFile(WireModel):
    """`fichier`: one file and how its requests fared."""

    name: Sentence | None = Field(default=None, alias="nom")
    """Left out when it is no name of the interface."""
    digest: Sentence = Field(alias="empreinte")
    """SHA-256 (hex) of the file."""
    registered: int = Field(alias="enregistrees", ge=0)
    refused: int = Field(alias="refusees", ge=0)


class Acknowledgement(WireModel):
    """`accuse`."""

    intake: Token = Field(alias="identifiant")
    environment: Token = Field(alias="environnement")
    channel: Token = Field(alias="canal")
    sender: Token = Field(alias="expediteur")
    signer: Sentence = Field(alias="certificatSignataire")
    """SHA-256 fingerprint (hex) of the certificate that signed."""
    content_digest: Sentence = Field(alias="empreinteContenu")
    """SHA-256 (hex) of the signed content received."""
    received_at: Moment = Field(alias="dateReception")
    decided_at: Moment = Field(alias="dateDecision")
    files: Annotated[tuple[AcknowledgedFile, ...], Items("fichier")] = Field(default=(), alias="listeFichier")
