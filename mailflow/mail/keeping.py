"""Keeps the evidence of mails in the transaction that accepts them."""

from collections.abc import Sequence

from mailflow.core.evidence import Exhibit, ExhibitKind, Proof
from mailflow.errors import Unavailable
from mailflow.mail.trust import TrustMaterial
from mailflow.register import Transaction, evidence


async def keep_proofs(tx: Transaction, proofs: Sequence[Proof], served: TrustMaterial | None) -> None:
    """All of it, and what the register does not have yet of what they share: mostly nothing.

    Revocation data are taken from what is served. Raises Unavailable when it has changed since the verdicts and
    one of theirs is gone: the mails are judged again, by the new ones.
    """
    if not proofs:
        return
    bases = {proof.basis.digest: proof.basis for proof in proofs}.values()
    shared = {one.digest: one for basis in bases for one in basis.exhibits}
    shared |= {proof.checklist.digest: proof.checklist for proof in proofs}
    revocations = {digest for basis in bases for digest in basis.revocations}
    missing = await evidence.missing(tx, shared.keys() | revocations)
    new = [shared[digest] for digest in missing & shared.keys()]
    if wanted := missing & revocations:
        known = _revocation_data(served) if served else {}
        if not wanted <= known.keys():
            raise Unavailable("revocation data have changed since the verdict")
        new += [known[digest] for digest in wanted]
    await evidence.keep(tx, [proof.evidence for proof in proofs], new)


def _revocation_data(served: TrustMaterial) -> dict[bytes, Exhibit]:
    lists = (Exhibit(ExhibitKind.REVOCATION_LIST, der) for der in served.lists)
    answers = (Exhibit(ExhibitKind.OCSP_ANSWER, der) for der in served.fetched.answers)
    return {one.digest: one for one in (*lists, *answers)}
