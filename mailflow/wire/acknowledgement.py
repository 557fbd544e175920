"""The receipt part of an answer: what was received and when it was decided, for the desk's own records."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from mailflow.core.anomalies import Anomaly
from mailflow.core.calendar import PARIS
from mailflow.core.inquiry import QuestionReceipt
from mailflow.core.lexical import Count, Moment, Sentence, Token
from mailflow.core.model import Door, Environment, FileReceipt, Registered, SenderCode
from mailflow.core.shapes import Items, WireModel
from mailflow.wire.codec import EXTENSION, read, to_bytes, write
from mailflow.wire.envelope import AnomalyElement, anomaly_elements
from mailflow.wire.names import speakable_name
from mailflow.wire.xml import XmlLimits, XmlRefused, parse

ACKNOWLEDGEMENT = "accuse"
RECEPTION = "accuseTechnique"
_LIMITS = XmlLimits(bytes_max=16 << 20, nodes_max=1_000_000)


class AcknowledgedFile(WireModel):
    """`fichier`: one file, and how its requests fared or how many questions it asks."""

    name: Sentence | None = Field(default=None, alias="nom")
    """Left out when it is no name of the interface."""
    digest: Sentence = Field(alias="empreinte")
    """SHA-256 (hex) of the file."""
    registered: Count | None = Field(default=None, alias="enregistrees")
    refused: Count | None = Field(default=None, alias="refusees")
    questions: Count | None = None
    """Of a `GES` file, which has nothing but these."""


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
    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")
    """Of the mail as a whole; those of a file are in its `RET`."""
    files: Annotated[tuple[AcknowledgedFile, ...], Items("fichier")] = Field(default=(), alias="listeFichier")


class _Whole(WireModel):
    """Of an `accuse` what we read of it again; a reader's model has nothing that must be there."""

    anomalies: Annotated[tuple[AnomalyElement, ...], Items("anomalie")] = Field(default=(), alias="listeAnomalie")


def read_codes(content: bytes) -> frozenset[str]:
    """The codes of the anomalies of the mail as a whole; none of what is no such document."""
    try:
        root = parse(content, _LIMITS)
    except XmlRefused:
        return frozenset()
    if root.tag != f"{{{EXTENSION}}}{ACKNOWLEDGEMENT}":
        return frozenset()
    document, _ = read(root, _Whole, f"/{ACKNOWLEDGEMENT}")
    return frozenset(anomaly.code for anomaly in document.anomalies if anomaly.code)


class ReceivedFile(WireModel):
    """`fichier`: one file that came, not looked into yet."""

    name: Sentence | None = Field(default=None, alias="nom")
    """Left out when it is no name of the interface."""
    digest: Sentence = Field(alias="empreinte")
    """SHA-256 (hex) of the file."""


class Reception(WireModel):
    """`accuseTechnique`: a mail is here, and nothing is decided yet."""

    intake: Token = Field(alias="identifiant")
    environment: Token = Field(alias="environnement")
    channel: Token = Field(alias="canal")
    sender: Token = Field(alias="expediteur")
    signer: Sentence = Field(alias="certificatSignataire")
    """SHA-256 fingerprint (hex) of the certificate that signed."""
    content_digest: Sentence = Field(alias="empreinteContenu")
    """SHA-256 (hex) of the signed content received."""
    received_at: Moment = Field(alias="dateReception")
    deadline_at: Moment = Field(alias="dateLimite")
    """When the answer is due at the latest."""
    files: Annotated[tuple[ReceivedFile, ...], Items("fichier")] = Field(default=(), alias="listeFichier")


def write_receipt(
    *,
    intake: str,
    environment: Environment,
    door: Door,
    sender: SenderCode,
    signer: str,
    content_digest: str,
    received_at: datetime,
    decided_at: datetime,
    anomalies: Sequence[Anomaly],
    files: Sequence[FileReceipt],
    questions: Sequence[QuestionReceipt] = (),
) -> bytes:
    """The receipt part as a document. The same bytes for the same values; times are given as of Paris."""
    acknowledgement = Acknowledgement(
        intake=intake,
        environment=environment,
        channel=door,
        sender=sender,
        signer=signer,
        content_digest=content_digest,
        received_at=received_at.astimezone(PARIS),
        decided_at=decided_at.astimezone(PARIS),
        anomalies=anomaly_elements(anomalies),
        files=(*map(_line, files), *map(_asked, questions)),
    )
    return to_bytes(write(acknowledgement, ACKNOWLEDGEMENT, EXTENSION))


def write_reception(
    *,
    intake: str,
    environment: Environment,
    door: Door,
    sender: SenderCode,
    signer: str,
    content_digest: str,
    received_at: datetime,
    deadline_at: datetime,
    files: Sequence[tuple[str, str]],
) -> bytes:
    """The technical receipt as a document; `files` are names and digests. The same bytes for the same values."""
    reception = Reception(
        intake=intake,
        environment=environment,
        channel=door,
        sender=sender,
        signer=signer,
        content_digest=content_digest,
        received_at=received_at.astimezone(PARIS),
        deadline_at=deadline_at.astimezone(PARIS),
        files=tuple(ReceivedFile(name=speakable_name(name), digest=digest) for name, digest in files),
    )
    return to_bytes(write(reception, RECEPTION, EXTENSION))


def _line(receipt: FileReceipt) -> AcknowledgedFile:
    registered = sum(isinstance(outcome, Registered) for outcome in receipt.outcomes)
    return AcknowledgedFile(
        name=speakable_name(receipt.file.name),
        digest=receipt.file.digest,
        registered=registered,
        refused=len(receipt.outcomes) - registered,
    )


def _asked(receipt: QuestionReceipt) -> AcknowledgedFile:
    file = receipt.file
    return AcknowledgedFile(name=speakable_name(file.name), digest=file.digest, questions=len(file.questions))
