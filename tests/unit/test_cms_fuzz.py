"""For any bytes: a result or CmsError, and never a proof of other content than was signed."""

import pytest
from asn1crypto import cms as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Kind
from mailflow.mail.cms import CmsError, ber, content_type, decrypt, encrypt, sign, verify
from mailflow.mail.cms.ber import Malformed
from mailflow.mail.cms.certificates import identity, public_key
from mailflow.mail.cms.structures import read_signed_data
from mailflow.mail.model import VerifiedMail
from tests.fuzz.mutations import ROUNDS, mutants
from tests.support.keys import KINDS, decryption_key, holder, signing_key
from tests.support.pki import AT

ENTITY = b"Content-Type: text/plain\r\n\r\nbonjour " + b"x" * 100 + b"\r\n"


def as_asn1crypto_reads(cms: bytes) -> tuple[bytes | None, list[bytes]]:
    """Embedded content and certificates; it joins the chunks of BER by itself."""
    signed = oracle.ContentInfo.load(cms)["content"]
    content = signed["encap_content_info"]["content"]
    bag = [member.chosen.dump() for member in signed["certificates"] if member.name == "certificate"]
    return content.native, bag


def attempt(cms: bytes, detached: bytes | None) -> VerifiedMail | None:
    try:
        return verify(cms, detached, enrolled=lambda _: [holder("p384").der], at=AT)
    except CmsError:
        return None


@given(st.binary(max_size=300), st.none() | st.binary(max_size=20))
def test_any_bytes_prove_nothing(data: bytes, detached: bytes | None) -> None:
    assert attempt(data, detached) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_opened_by_nobody(data: bytes) -> None:
    with pytest.raises(CmsError) as caught:
        decrypt(data, [decryption_key("rsa"), decryption_key("p256")], at=AT)
    assert caught.value.code is Code.DECRYPTION_FAILED


@given(st.binary(max_size=300))
def test_any_bytes_are_no_certificate(data: bytes) -> None:
    for read in (identity, public_key, content_type):
        with pytest.raises(CmsError):
            read(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pss", [True, False])
def test_a_mutated_signature_never_proves_other_content_or_another_signer(kind: Kind, pss: bool) -> None:
    opaque = sign(ENTITY, signing_key(kind, pss=pss), at=AT, detached=False)
    detached = sign(ENTITY, signing_key(kind, pss=pss), at=AT, detached=True)
    survivors = 0
    for cms, content in ((opaque, None), (detached, ENTITY)):
        for mutant in mutants(cms, seed=KINDS.index(kind)):
            mail = attempt(mutant, content)
            if mail is not None:
                survivors += 1
                assert mail.content == ENTITY
                assert [s.certificate for s in mail.signers] == [holder(kind).der]
                assert mail.signers[0].signed_at == AT
    # Some octets are covered by nothing: versions, the digest list, the bag's other members.
    assert survivors < ROUNDS // 4


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_what_is_read_from_a_mutant_is_what_asn1crypto_reads(kind: Kind) -> None:
    der = sign(ENTITY, signing_key(kind), at=AT, detached=False)
    streamed = der.replace(ber.octet_string(ENTITY), ber.der(0x24, *[ber.octet_string(bytes([o])) for o in ENTITY]))
    compared = 0
    for mutant in (der, *mutants(der, seed=11), *mutants(streamed, seed=12)):
        try:
            signed = read_signed_data(mutant)
        except Malformed:
            continue
        try:
            content, bag = as_asn1crypto_reads(mutant)
        except (ValueError, TypeError, KeyError):
            continue  # it looks into more fields than we do
        compared += 1
        assert (signed.content, list(signed.certificates)) == (content, bag)
    assert compared > ROUNDS // 4


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_mutated_certificates_never_raise_anything_else(kind: Kind) -> None:
    codes: set[Code] = set()
    for mutant in mutants(holder(kind).der, seed=7, rounds=2 * ROUNDS):
        for read in (identity, public_key):
            try:
                read(mutant)
            except CmsError as error:
                codes.add(error.code)
    assert Code.CERTIFICATE_UNREADABLE in codes
    assert codes <= {Code.CERTIFICATE_UNREADABLE, Code.KEY_TOO_WEAK}


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384"])
def test_a_mutated_envelope_never_raises_anything_else_and_gcm_never_opens_altered(kind: Kind, legacy: bool) -> None:
    cms = encrypt(ENTITY, [holder(kind).der, holder("p521").der], legacy=legacy)
    codes: set[Code] = set()
    contents: set[bytes] = set()
    for mutant in mutants(cms, seed=KINDS.index(kind)):
        try:
            contents.add(decrypt(mutant, [decryption_key(kind)], at=AT))
        except CmsError as error:
            codes.add(error.code)
    assert Code.DECRYPTION_FAILED in codes
    assert codes <= {Code.DECRYPTION_FAILED, Code.ALGORITHM_REFUSED}
    # CBC opens altered without a trace, which is why nothing counts before the signature inside is proved.
    assert legacy or contents <= {ENTITY}


@settings(max_examples=40)
@given(st.data())
def test_every_prefix_of_a_signature_is_refused(draw: st.DataObject) -> None:
    cms = sign(ENTITY, signing_key("ed25519"), at=AT, detached=False)
    cut = draw.draw(st.integers(0, len(cms) - 1))
    assert attempt(cms[:cut], None) is None
