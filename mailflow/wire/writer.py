"""The `RET` file: the document that a desk sent, returned with numbers or anomalies."""

from mailflow.core.calendar import PARIS
from mailflow.core.form import without_nir
from mailflow.core.model import (
    Environment,
    FileReceipt,
    Operation,
    Outcome,
    Registered,
    Request,
)
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement, anomaly_elements
from mailflow.wire.names import speakable_name

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
        answered_file=speakable_name(file.name),
        answered_digest=file.digest,
        header=Header(file_type=Operation.RETURN, dated_at=receipt.decided_at.astimezone(PARIS).replace(microsecond=0)),
        anomalies=anomaly_elements(receipt.anomalies),
        requests=tuple(
            _returned(request, outcome) for request, outcome in zip(file.requests, receipt.outcomes, strict=True)
        ),
    )
    return to_bytes(write(document, ROOT, NUU))


def _returned(request: Request, outcome: Outcome) -> RequestElement:
    number = outcome.number if isinstance(outcome, Registered) else None
    return RequestElement(
        reference=request.reference,
        state=STATE_ACTIVE if number else None,
        number=number,
        form=request.form and without_nir(request.form),
        anomalies=anomaly_elements(outcome.anomalies),
    )
