"""What revocation lists can say of a path, and which of them count."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import crl as asn1_crl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import UNKNOWN_EXTENSION, Identity
from mailflow.demo.pki import DAY, Authority, Pki
from mailflow.mail.trust import TrustError, TrustUndetermined
from mailflow.mail.trust.revocation import CLOCK_SKEW, RevocationLists
from tests.support.pki import AT

PKI = Pki(at=AT)
ISSUER = PKI.authority("issuer", by=PKI.root)
LEAF = PKI.issue("leaf", by=ISSUER)
SECOND = timedelta(seconds=1)
POINT = [x509.UniformResourceIdentifier("http://crl.example/1")]


def until(lists: Sequence[bytes], *, leaf: Identity = LEAF, issuer: Authority = ISSUER, at: datetime = AT) -> datetime:
    return RevocationLists(lists).check([(leaf.certificate, issuer.identity.certificate)], at)


def vouched(lists: Sequence[bytes], *, leaf: Identity = LEAF, issuer: Authority = ISSUER, at: datetime = AT) -> bool:
    """Whether it is known not to be revoked; raises otherwise."""
    return until(lists, leaf=leaf, issuer=issuer, at=at) >= at


def revoked(lists: Sequence[bytes], *, leaf: Identity = LEAF, issuer: Authority = ISSUER, at: datetime = AT) -> bool:
    """Whether it is refused; fails the test when it is accepted or undetermined instead."""
    with pytest.raises(TrustError) as caught:
        until(lists, leaf=leaf, issuer=issuer, at=at)
    return caught.value.code is Code.CERTIFICATE_REVOKED


def unknown(lists: Sequence[bytes], *, leaf: Identity = LEAF, issuer: Authority = ISSUER, at: datetime = AT) -> str:
    """Why nothing is decided."""
    with pytest.raises(TrustUndetermined) as caught:
        until(lists, leaf=leaf, issuer=issuer, at=at)
    return caught.value.detail


def naming(*serials: int, authority: Authority = ISSUER, on: datetime = AT - DAY) -> Authority:
    """The same authority, which has revoked these."""
    return Authority(identity=authority.identity, revoked=dict.fromkeys(serials, on))


def scoped(**scope: object) -> tuple[x509.IssuingDistributionPoint, bool]:
    none = {"full_name": None, "relative_name": None, "only_some_reasons": None}
    no = dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    return x509.IssuingDistributionPoint(**{**none, **no, **scope}), True  # type: ignore[arg-type]  # by name


def test_a_fresh_list_that_does_not_name_a_certificate_vouches_until_the_next() -> None:
    assert until([PKI.crl(ISSUER)]) == AT - timedelta(hours=1) + 7 * DAY


def test_a_named_certificate_is_revoked_from_whatever_day_on() -> None:
    serial = LEAF.certificate.serial_number
    assert revoked([PKI.crl(naming(serial))])
    assert revoked([PKI.crl(naming(serial, on=AT + 300 * DAY))])


def test_an_old_list_still_refuses_but_no_longer_vouches() -> None:
    old = AT - 30 * DAY
    assert revoked([PKI.crl(naming(LEAF.certificate.serial_number), published=old)])
    assert "ended" in unknown([PKI.crl(ISSUER, published=old)])


def test_a_list_vouches_to_its_last_second() -> None:
    lists = [PKI.crl(ISSUER, published=AT - DAY, lasts=DAY)]
    assert until(lists, at=AT) == AT
    assert unknown(lists, at=AT + SECOND)


def test_a_list_from_the_future_refuses_but_does_not_vouch() -> None:
    future = AT + CLOCK_SKEW + SECOND
    assert unknown([PKI.crl(ISSUER, published=future)])
    assert vouched([PKI.crl(ISSUER, published=future - SECOND)])
    assert revoked([PKI.crl(naming(LEAF.certificate.serial_number), published=future), PKI.crl(ISSUER)])


def test_a_list_from_the_future_does_not_stand_before_that_of_now() -> None:
    lists = [PKI.crl(ISSUER, published=AT + CLOCK_SKEW + SECOND), PKI.crl(ISSUER)]
    assert vouched(lists)
    assert vouched(lists[::-1])


def test_the_newest_list_decides_whatever_the_order_of_files() -> None:
    on_hold = PKI.crl(naming(LEAF.certificate.serial_number), published=AT - 2 * DAY)
    lifted = PKI.crl(ISSUER, published=AT - DAY)
    assert until([on_hold, lifted]) == until([lifted, on_hold])
    revoked_since = PKI.crl(naming(LEAF.certificate.serial_number), published=AT)
    assert revoked([lifted, revoked_since])
    assert revoked([revoked_since, lifted])


def test_without_a_list_of_the_issuer_nothing_is_known() -> None:
    assert "no usable list" in unknown([])
    assert "no usable list" in unknown([PKI.crl(PKI.issuing_ec), PKI.crl(PKI.root)])


def test_a_list_signed_by_another_key_of_the_same_name_counts_for_nothing() -> None:
    impostor = PKI.authority("issuer", by=None)
    assert unknown([PKI.crl(impostor)])
    assert vouched([PKI.crl(naming(LEAF.certificate.serial_number, authority=impostor)), PKI.crl(ISSUER)])


def test_a_list_whose_octets_were_changed_counts_for_nothing() -> None:
    der = bytearray(PKI.crl(naming(LEAF.certificate.serial_number)))
    at = der.index(LEAF.certificate.serial_number.to_bytes(20, "big").lstrip(b"\0"))
    der[at + 5] ^= 1
    assert unknown([bytes(der)])


def test_an_authority_without_the_right_to_sign_lists_cannot() -> None:
    silent = PKI.authority("no lists", by=PKI.root, crl_sign=False)
    leaf = PKI.issue("leaf", by=silent)
    assert unknown([PKI.crl(silent)], leaf=leaf, issuer=silent)


@pytest.mark.parametrize("kind", ["rsa", "p384", "ed25519"])
def test_lists_are_checked_with_the_kind_of_key_that_the_authority_has(kind: str) -> None:
    issuer = PKI.authority("other kind", by=PKI.root, kind=kind)  # type: ignore[arg-type]  # a plain string
    leaf = PKI.issue("leaf", by=issuer)
    assert vouched([PKI.crl(issuer)], leaf=leaf, issuer=issuer)
    assert revoked([PKI.crl(naming(leaf.certificate.serial_number, authority=issuer))], leaf=leaf, issuer=issuer)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        (scoped(only_contains_attribute_certs=True), "attribute"),
        ((UNKNOWN_EXTENSION, True), UNKNOWN_EXTENSION.oid.dotted_string),
    ],
)
def test_a_list_of_a_form_that_is_not_handled_is_missing_not_good(
    extra: tuple[x509.ExtensionType, bool], why: str
) -> None:
    lists = [PKI.crl(ISSUER, extra=[extra])]
    assert why in RevocationLists(lists).unusable[0]
    assert unknown(lists)


def test_an_extension_that_is_unknown_but_not_critical_does_not_matter() -> None:
    assert vouched([PKI.crl(ISSUER, extra=[(UNKNOWN_EXTENSION, False)])])


def test_an_entry_with_a_critical_extension_makes_the_list_unusable() -> None:
    entry = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(AT - DAY)
    entry = entry.add_extension(
        x509.CertificateIssuer([x509.DirectoryName(PKI.root.identity.certificate.subject)]), True
    )
    lists = [PKI.crl(ISSUER, entries=[entry.build()])]
    assert "entry" in RevocationLists(lists).unusable[0]
    assert unknown(lists)


def test_a_list_signed_with_a_weak_hash_is_unusable() -> None:
    lists = [PKI.crl(ISSUER, hash_algorithm=hashes.SHA224())]
    assert "sha224" in RevocationLists(lists).unusable[0]
    assert unknown(lists)


def test_a_list_that_names_no_end_is_unusable() -> None:
    endless = asn1_crl.CertificateList.load(PKI.crl(ISSUER))
    endless["tbs_cert_list"]["next_update"] = None
    assert RevocationLists([endless.dump(force=True)]).unusable == ("no nextUpdate",)


def test_a_list_for_holders_says_nothing_of_authorities_and_the_reverse() -> None:
    for_holders = PKI.crl(ISSUER, extra=[scoped(only_contains_user_certs=True)])
    for_authorities = PKI.crl(ISSUER, extra=[scoped(only_contains_ca_certs=True)])
    below = PKI.authority("below", by=ISSUER).identity
    assert vouched([for_holders])
    assert unknown([for_authorities])
    assert vouched([for_authorities], leaf=below)
    assert unknown([for_holders], leaf=below)


def test_a_list_of_one_distribution_point_counts_for_the_certificates_that_name_it() -> None:
    part = PKI.crl(ISSUER, extra=[scoped(full_name=POINT)])
    points = x509.CRLDistributionPoints([x509.DistributionPoint(POINT, None, None, None)])
    pointing = PKI.issue("pointing", by=ISSUER, extra=[(points, False)])
    assert vouched([part], leaf=pointing)
    assert unknown([part])
    some = frozenset({x509.ReasonFlags.key_compromise})
    partly = x509.CRLDistributionPoints([x509.DistributionPoint(POINT, None, some, None)])
    assert unknown([part], leaf=PKI.issue("partly", by=ISSUER, extra=[(partly, False)]))


def test_a_list_of_another_scope_that_names_a_certificate_still_refuses_it() -> None:
    part = PKI.crl(naming(LEAF.certificate.serial_number), extra=[scoped(full_name=POINT)])
    assert revoked([part, PKI.crl(ISSUER)])


def test_a_list_of_another_scope_does_not_shorten_what_is_known() -> None:
    whole, part = PKI.crl(ISSUER), PKI.crl(ISSUER, lasts=DAY, extra=[scoped(full_name=POINT)])
    assert until([whole, part]) == until([whole])


def test_every_authority_of_a_path_is_asked_about_and_a_known_revocation_beats_an_unknown_state() -> None:
    path = (LEAF.certificate, ISSUER.identity.certificate, PKI.root.identity.certificate)
    good, root = PKI.crl(ISSUER), PKI.crl(PKI.root)
    assert RevocationLists([good, root]).check([path], AT) >= AT
    with pytest.raises(TrustUndetermined):
        RevocationLists([good]).check([path], AT)
    without_authority = PKI.crl(naming(ISSUER.identity.certificate.serial_number, authority=PKI.root))
    for lists in ([good, without_authority], [without_authority]):
        with pytest.raises(TrustError):
            RevocationLists(lists).check([path], AT)


def test_the_first_list_to_end_ends_what_is_known() -> None:
    path = (LEAF.certificate, ISSUER.identity.certificate, PKI.root.identity.certificate)
    lists = [PKI.crl(ISSUER, lasts=2 * DAY), PKI.crl(PKI.root, lasts=DAY)]
    assert RevocationLists(lists).check([path], AT) == AT - timedelta(hours=1) + DAY


def test_lists_that_cannot_be_read_are_told_and_counted_as_missing() -> None:
    lists = RevocationLists([b"", b"nothing", LEAF.der])
    assert len(lists.unusable) == 3
    assert all("unreadable" in why for why in lists.unusable)


SEED = PKI.crl(naming(5, 6, LEAF.certificate.serial_number), extra=[scoped(only_contains_user_certs=True)])


@given(st.data())
def test_a_mutated_list_never_vouches_and_breaks_nothing(data: st.DataObject) -> None:
    der = bytearray(SEED)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((TrustUndetermined, TrustError)):
        until([bytes(der)])


def test_a_name_whose_length_the_library_remarks_on_breaks_nothing() -> None:
    at = SEED.index(b"\x13\x02FR")  # PrintableString, as a BMPString that is one character
    der = SEED[:at] + b"\x1e" + SEED[at + 1 :]
    with pytest.raises(TrustUndetermined):
        until([der])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_unusable(der: bytes) -> None:
    assert unknown([der])


def test_a_list_counts_as_long_as_its_algorithm_is_in_the_table() -> None:
    rsa = PKI.authority("rsa", by=PKI.root, kind="rsa")
    leaf = PKI.issue("of rsa", by=rsa)
    last = datetime(2030, 12, 31, 23, 59, tzinfo=UTC)
    for at, wanted in ((last, vouched), (last + timedelta(minutes=1), unknown)):
        assert wanted([PKI.crl(rsa, published=last, lasts=DAY)], leaf=leaf, issuer=rsa, at=at)


def test_what_an_entry_says_beside_the_reason_need_not_be_understood_unless_it_is_critical() -> None:
    since = x509.InvalidityDate(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))
    entry = x509.RevokedCertificateBuilder().serial_number(LEAF.certificate.serial_number).revocation_date(AT)
    assert revoked([PKI.crl(ISSUER, entries=[entry.add_extension(since, critical=False).build()])])
    assert unknown([PKI.crl(ISSUER, entries=[entry.add_extension(since, critical=True).build()])])
