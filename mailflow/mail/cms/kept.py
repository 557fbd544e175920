"""A signature as it is kept for years: without the content, the certificates and whatever it does not cover.

It is a SignedData with a detached content (RFC 5652 section 5), which any CMS tool checks once it is given the rest.
"""

from mailflow.mail.cms import ber
from mailflow.mail.cms.structures import DATA, ContentType, SignedData, SignerIdentifier, SignerInfo


def detached(signed: SignedData) -> bytes:
    """DER, but for what the signers wrote in another form, whose octets must stay: attributes, names, algorithms.

    Only for signers with signed attributes.
    """
    version = 1 if all(info.signer.subject_key_id is None for info in signed.signers) else 3
    return ber.sequence(
        ber.oid(ContentType.SIGNED),
        ber.der(
            0xA0,
            ber.sequence(
                ber.integer(version),
                ber.set_of(*{info.digest.raw for info in signed.signers}),
                ber.sequence(ber.oid(DATA)),
                ber.set_of(*(_signer(info) for info in signed.signers)),
            ),
        ),
    )


def _signer(info: SignerInfo) -> bytes:
    assert info.signed_attributes is not None, "only such signers are kept"
    return ber.sequence(
        ber.integer(1 if info.signer.subject_key_id is None else 3),
        _named(info.signer),
        info.digest.raw,
        b"\xa0" + info.signed_attributes[1:],
        info.signature_algorithm.raw,
        ber.octet_string(info.signature),
    )


def _named(signer: SignerIdentifier) -> bytes:
    if signer.subject_key_id is not None:
        return ber.der(0x80, signer.subject_key_id)
    assert signer.issuer is not None, "it is named in one way or the other"
    assert signer.serial is not None, "with its issuer"
    return ber.sequence(signer.issuer, ber.integer(signer.serial))
