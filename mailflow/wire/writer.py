"""What goes back: the `RET` file, which is the document that a desk sent, returned; and the receipt part."""

from collections.abc import Sequence
from datetime import datetime

from mailflow.core.anomalies import Anomaly, catalogue
from mailflow.core.calendar import PARIS
from mailflow.core.model import (
    Door,
    Environment,
    FileReceipt,
    Operation,
    Outcome,
    Registered,
    Request,
    SenderCode,
)
from mailflow.wire.acknowledgement import ACKNOWLEDGEMENT, AcknowledgedFile, Acknowledgement
from mailflow.wire.codec import EXTENSION, NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, AnomalyElement, Header, InterfaceFile, RequestElement
from mailflow.wire.names import FileNameError, parse_request_name

STATE_ACTIVE = "active"


def write_return(receipt: FileReceipt, *, environment: Environment) -> bytes:
    """The `RET` document for one file; valid against the published schema.

    It is the model written again: a value that the model could not hold is not repeated, its anomaly is. The same
    receipt gives the same bytes, so a repeat is answered alike.
    """
    file = receipt.file
    document = InterfaceFile(
        version=file.version or VERSIONS[-1],
        environment=environment,
        answered_file=_speakable(file.name),
        answered_digest=file.digest,
        header=Header(file_type=Operation.RETURN, dated_at=receipt.decided_at.astimezone(PARIS).replace(microsecond=0)),
        anomalies=_elements(receipt.anomalies),
        requests=tuple(
            _returned(request, outcome) for request, outcome in zip(file.requests, receipt.outcomes, strict=True)
        ),
    )
    return to_bytes(write(document, ROOT, NUU))


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
    files: Sequence[FileReceipt],
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
        files=tuple(_line(receipt) for receipt in files),
    )
    return to_bytes(write(acknowledgement, ACKNOWLEDGEMENT, EXTENSION))


def _returned(request: Request, outcome: Outcome) -> RequestElement:
    registered = isinstance(outcome, Registered)
    return RequestElement(
        reference=request.reference,
        state=STATE_ACTIVE if registered else None,
        number=outcome.number if isinstance(outcome, Registered) else None,
        form=request.form,
        anomalies=_elements(outcome.anomalies),
    )


def _elements(anomalies: tuple[Anomaly, ...]) -> tuple[AnomalyElement, ...]:
    entries = catalogue()
    return tuple(
        AnomalyElement(
            code=anomaly.code,
            path=anomaly.path or None,
            severity=entries[anomaly.code].severity,
            retry=entries[anomaly.code].retry,
            remedy=entries[anomaly.code].remedy_french,
            number=anomaly.number,
            label=entries[anomaly.code].french,
        )
        for anomaly in anomalies
    )


def _line(receipt: FileReceipt) -> AcknowledgedFile:
    registered = sum(isinstance(outcome, Registered) for outcome in receipt.outcomes)
    return AcknowledgedFile(
        name=_speakable(receipt.file.name),
        digest=receipt.file.digest,
        registered=registered,
        refused=len(receipt.outcomes) - registered,
    )


def _speakable(name: str) -> str | None:
    """A file name as it may be repeated: only when it is one of the interface."""
    try:
        return str(parse_request_name(name))
    except FileNameError:
        return None
