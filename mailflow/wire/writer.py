"""The `RET` file: the document that a desk sent, returned with numbers or anomalies."""

from mailflow.core.calendar import PARIS
from mailflow.core.form import without_nir
from mailflow.core.model import (
    CREATIONS,
    Environment,
    FileReceipt,
    Operation,
    Outcome,
    Registered,
    Request,
    RequestState,
)
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement, anomaly_elements
from mailflow.wire.names import speakable_name

STATES = {
    RequestState.ACTIVE: "active",
    RequestState.DEREGISTERED: "radiee",
    RequestState.REMOVED: "supprimee",
}
"""`etat` of a returned request."""


def write_return(receipt: FileReceipt, *, environment: Environment) -> bytes:
    """The `RET` document for one file; valid against the published schema.

    It is the model written again: a value that the model could not hold is not repeated, its anomaly is. The same
    receipt gives the same bytes, so a repeat is answered alike.
    """
    file, decided = receipt.file, receipt.record is not None
    document = InterfaceFile(
        version=file.version or VERSIONS[-1],
        environment=environment,
        answered_file=speakable_name(file.name),
        answered_digest=file.digest,
        header=Header(file_type=Operation.RETURN, dated_at=receipt.decided_at.astimezone(PARIS).replace(microsecond=0)),
        anomalies=anomaly_elements(receipt.anomalies, decided=decided),
        requests=tuple(
            _returned(request, outcome, file.operation, decided=decided)
            for request, outcome in zip(file.requests, receipt.outcomes, strict=True)
        ),
    )
    return to_bytes(write(document, ROOT, NUU))


def _returned(request: Request, outcome: Outcome, operation: Operation | None, *, decided: bool) -> RequestElement:
    done = outcome if isinstance(outcome, Registered) else None
    return RequestElement(
        reference=request.reference,
        state=STATES[done.state] if done else None,
        expires_on=done.expires_on if done and done.state is RequestState.ACTIVE else None,
        revision=done.revision if done else None,
        # Of a creation that was refused no number is repeated: it could be taken for the new one.
        number=done.number if done else (None if operation in CREATIONS else request.number),
        holder=request.holder,
        form=request.form and without_nir(request.form),
        deregistration=request.deregistration,
        anomalies=anomaly_elements(outcome.anomalies, decided=decided),
    )
