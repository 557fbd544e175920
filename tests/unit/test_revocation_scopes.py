"""Deltas, lists of others, lists for some reasons, and who may sign them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ReasonFlags

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.certificates import UNKNOWN_EXTENSION, Extensions, Identity
from mailflow.demo.pki import DAY, Authority
from mailflow.mail.cms import ber
from mailflow.mail.trust import TrustError, TrustUndetermined
from mailflow.mail.trust.revocation import SIGNERS_DEPTH_MAX, RevocationLists
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_sender, a_trust, enrolled, signed_by
from tests.support.verdicts import proven

PKI = shared_pki()
ISSUER = PKI.authority("issuer", by=PKI.root)
ROOT_LIST = PKI.crl(PKI.root)
KEY_COMPROMISE = frozenset({ReasonFlags.key_compromise})
OTHER_REASONS = frozenset(ReasonFlags) - KEY_COMPROMISE - {ReasonFlags.unspecified, ReasonFlags.remove_from_crl}


def state(
    leaf: Identity, lists: Sequence[bytes], also: Sequence[Identity] = (), at: datetime = AT, bag: Sequence[bytes] = ()
) -> str:
    """`good`, `revoked` or `unknown`, when this is all that is installed."""
    trust = a_trust(
        a_sender(enrolled(leaf)),
        intermediates=[ISSUER.identity.der, *(identity.der for identity in also)],
        crls=[ROOT_LIST, *lists],
    )
    try:
        proven(trust, signed_by(leaf), at=at, bag=bag)
    except TrustUndetermined:
        return "unknown"
    except TrustError as error:
        return "revoked" if error.code is Code.CERTIFICATE_REVOKED else error.code.name
    return "good"


def entry(
    leaf: Identity, reason: ReasonFlags | None = None, issuer: x509.Name | None = None
) -> x509.RevokedCertificate:
    made = x509.RevokedCertificateBuilder().serial_number(leaf.certificate.serial_number).revocation_date(AT - DAY)
    if reason is not None:
        made = made.add_extension(x509.CRLReason(reason), critical=False)
    if issuer is not None:
        made = made.add_extension(x509.CertificateIssuer([x509.DirectoryName(issuer)]), critical=True)
    return made.build()


def crl(
    *entries: x509.RevokedCertificate,
    by: Authority = ISSUER,
    number: int | None = None,
    base: int | None = None,
    extra: Extensions = (),
    published: datetime = AT - timedelta(hours=1),
    lasts: timedelta = 7 * DAY,
) -> bytes:
    """A list by hand, so that it has the number that a delta asks for."""
    identity = by.identity
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(identity.certificate.subject)
        .last_update(published)
        .next_update(published + lasts)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    for made in entries:
        builder = builder.add_revoked_certificate(made)

    return builder.sign(identity.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def scope(
    *,
    reasons: frozenset[ReasonFlags] | None = None,
    indirect: bool = False,
    relative: x509.RelativeDistinguishedName | None = None,
    names: Sequence[x509.GeneralName] | None = None,
) -> Extensions:
    return [
        (
            x509.IssuingDistributionPoint(
                full_name=names,
                relative_name=relative,
                only_contains_user_certs=not (reasons or indirect or relative or names),
                only_contains_ca_certs=False,
                only_some_reasons=reasons,
                indirect_crl=indirect,
                only_contains_attribute_certs=False,
            ),
            True,
        )
    ]


def points(
    *,
    names: Sequence[x509.GeneralName] | None = None,
    relative: x509.RelativeDistinguishedName | None = None,
    publisher: x509.Name | None = None,
) -> Extensions:
    issuers = [x509.DirectoryName(publisher)] if publisher is not None else None
    return [(x509.CRLDistributionPoints([x509.DistributionPoint(names, relative, None, issuers)]), False)]


LEAF = PKI.issue("leaf", by=ISSUER)

# Deltas


def test_a_delta_revokes_what_the_complete_list_does_not_name() -> None:
    assert state(LEAF, [crl(number=5), crl(entry(LEAF), number=6, base=5)]) == "revoked"
    assert state(LEAF, [crl(number=5), crl(number=6, base=5)]) == "good"


def test_a_delta_alone_vouches_for_nothing_but_revokes() -> None:
    assert state(LEAF, [crl(number=6, base=5)]) == "unknown"
    assert state(LEAF, [crl(entry(LEAF), number=6, base=5)]) == "revoked"


ON_HOLD = entry(LEAF, ReasonFlags.certificate_hold)
LIFTED = entry(LEAF, ReasonFlags.remove_from_crl)


def test_a_delta_takes_a_certificate_off_the_list_that_it_changes() -> None:
    assert state(LEAF, [crl(ON_HOLD, number=5), crl(LIFTED, number=6, base=4)]) == "good"


def test_only_a_delta_takes_off_and_only_what_it_does_not_revoke_as_well() -> None:
    assert state(LEAF, [crl(LIFTED, number=5)]) == "revoked"
    for both in ([LIFTED, ON_HOLD], [ON_HOLD, LIFTED]):
        assert state(LEAF, [crl(ON_HOLD, number=5), crl(*both, number=6, base=4)]) == "revoked"


@pytest.mark.parametrize(
    "delta",
    [
        {"number": 6, "base": 6},
        {"number": 5, "base": 5},
        {"base": 5},
        {"number": 6, "base": 5, "published": AT - 30 * DAY},
        {"number": 6, "base": 5, "lasts": timedelta(minutes=30)},
        {"number": 6, "base": 5, "published": AT + DAY},
        {"number": 6, "base": 5, "extra": scope()},
        {"number": 6, "base": 5, "by": PKI.authority("issuer", by=PKI.root)},
    ],
    ids=["newer base", "not newer", "no number", "old", "ended", "from the future", "other scope", "other signer"],
)
def test_a_delta_that_does_not_fit_takes_nothing_off(delta: dict[str, object]) -> None:
    made = crl(LIFTED, **delta)  # type: ignore[arg-type]  # by name
    other = delta.get("by", ISSUER)
    assert isinstance(other, Authority)
    assert state(LEAF, [crl(ON_HOLD, number=5), made], [other.identity]) == "revoked"


def test_a_hold_that_was_lifted_counts_no_longer_than_the_delta() -> None:
    lists = [crl(ON_HOLD, number=5), crl(LIFTED, number=6, base=5, lasts=DAY)]
    assert state(LEAF, lists) == "good"
    assert state(LEAF, lists, at=AT + 2 * DAY) == "revoked"


def test_what_a_delta_said_before_the_present_complete_list_is_not_asked() -> None:
    earlier = crl(entry(LEAF), number=4, base=3, published=AT - 2 * DAY)
    assert state(LEAF, [crl(number=5), earlier]) == "good"


# Lists for some reasons


def test_lists_for_some_reasons_vouch_only_together() -> None:
    some, others = crl(extra=scope(reasons=KEY_COMPROMISE)), crl(extra=scope(reasons=OTHER_REASONS))
    assert state(LEAF, [some]) == state(LEAF, [others]) == "unknown"
    assert state(LEAF, [some, others]) == "good"
    named = crl(entry(LEAF), extra=scope(reasons=KEY_COMPROMISE))
    assert state(LEAF, [named, others]) == "revoked"


def test_a_list_for_no_reason_at_all_vouches_for_nothing() -> None:
    empty = ber.sequence(ber.der(0x83, b"\x07\x80"))  # the first reason is not used
    nowhere = ber.sequence(ber.der(0xA0, ber.der(0xA0)))
    for octets in (empty, nowhere):
        stated = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.28"), octets)
        assert state(LEAF, [crl(extra=[(stated, True)])]) == "unknown"


# Distribution points

RDN = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "part 1")])


def test_a_point_may_be_named_relative_to_the_issuer() -> None:
    name = x509.Name([*ISSUER.identity.certificate.subject.rdns, RDN])
    part = crl(extra=scope(relative=RDN))
    for stated in (points(relative=RDN), points(names=[x509.DirectoryName(name)])):
        assert state(PKI.issue("pointing", by=ISSUER, extra=stated), [part]) == "good"
    assert state(LEAF, [part]) == "unknown"


def test_a_list_that_names_the_issuer_itself_is_the_one_for_all() -> None:
    for_all = crl(extra=scope(names=[x509.DirectoryName(ISSUER.identity.certificate.subject)]))
    assert state(LEAF, [for_all]) == "good"


# Lists of others

OTHER = PKI.authority("publisher", by=PKI.root)
PUBLISHER = OTHER.identity.certificate.subject
ELSEWHERE = PKI.issue("elsewhere", by=ISSUER, extra=points(publisher=PUBLISHER))
ISSUER_NAME = ISSUER.identity.certificate.subject


def test_a_certificate_may_be_listed_by_another_than_its_issuer() -> None:
    listing = scope(indirect=True)
    assert state(ELSEWHERE, [crl(by=OTHER, extra=listing)], [OTHER.identity]) == "good"
    named = crl(entry(LEAF, issuer=ISSUER_NAME), entry(ELSEWHERE), by=OTHER, extra=listing)
    assert state(ELSEWHERE, [named], [OTHER.identity]) == "revoked"  # the issuer holds for the entry behind it
    of_itself = crl(entry(ELSEWHERE), by=OTHER, extra=listing)
    assert state(ELSEWHERE, [of_itself], [OTHER.identity]) == "good"


def test_another_may_list_only_what_points_there_and_only_in_a_list_that_says_so() -> None:
    assert state(LEAF, [crl(by=OTHER, extra=scope(indirect=True))], [OTHER.identity]) == "unknown"
    assert state(ELSEWHERE, [crl(by=OTHER)], [OTHER.identity]) == "unknown"


def test_the_anchor_may_list_for_those_below_it() -> None:
    root = PKI.root.identity.certificate.subject
    leaf = PKI.issue("at the root", by=ISSUER, extra=points(publisher=root))
    assert state(leaf, [crl(by=PKI.root, extra=scope(indirect=True))]) == "good"


def test_an_entry_whose_issuer_has_no_directory_name_makes_the_list_unusable() -> None:
    odd = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(AT - DAY)
    odd = odd.add_extension(x509.CertificateIssuer([x509.DNSName("x.example")]), critical=True)
    lists = RevocationLists([crl(odd.build(), extra=scope(indirect=True))])
    assert lists.unusable == ("an entry whose issuer has not one name",)


# Who signs


def signer(by: Authority = PKI.root, **rest: object) -> Authority:
    """The same authority with a key for lists alone."""
    return PKI.authority("issuer", by=by, cert_sign=False, **rest)  # type: ignore[arg-type]  # by name


def test_a_list_may_be_signed_by_a_configured_key_of_the_issuer_for_lists() -> None:
    other_key = signer()
    assert state(LEAF, [crl(by=other_key)], [other_key.identity]) == "good"
    assert state(LEAF, [crl(entry(LEAF), by=other_key)], [other_key.identity]) == "revoked"


def test_a_key_for_lists_that_only_the_mail_brings_does_not_count() -> None:
    other_key = signer()
    assert state(LEAF, [crl(by=other_key)], bag=[other_key.identity.der]) == "unknown"


@pytest.mark.parametrize(
    "other_key",
    [
        signer(by=PKI.stranger),
        signer(crl_sign=False),
        signer(kind="rsa-1024"),
        signer(ends=-DAY),
        signer(extra=[(UNKNOWN_EXTENSION, True)]),
        signer(by=PKI.issuing_silent),
    ],
    ids=["another anchor", "not for lists", "weak", "expired", "not understood", "its own state unknown"],
)
def test_a_key_for_lists_that_is_not_good_itself_does_not_count(other_key: Authority) -> None:
    known = [other_key.identity, PKI.issuing_silent.identity]
    assert state(LEAF, [crl(by=other_key), crl(by=PKI.issuing_ec)], known) == "unknown"


def test_a_revoked_key_for_lists_does_not_count() -> None:
    other_key = signer()
    trust = a_trust(
        a_sender(enrolled(LEAF)),
        intermediates=[ISSUER.identity.der, other_key.identity.der],
        crls=[crl(entry(other_key.identity), by=PKI.root), crl(by=other_key)],
    )
    with pytest.raises(TrustUndetermined):
        trust.check_enrolment(LEAF.der, CertificateUse.SIGN, AT)


def test_a_key_for_lists_vouches_for_itself_only_where_its_issuer_says_so() -> None:
    # Issued by the issuer of the holder, with no list but its own.
    alone = signer(by=ISSUER)
    assert state(LEAF, [crl(by=alone)], [alone.identity]) == "unknown"
    said = signer(by=ISSUER, extra=points(publisher=ISSUER_NAME))
    assert state(LEAF, [crl(by=said, extra=scope(indirect=True))], [said.identity]) == "good"


@pytest.mark.parametrize(("signers", "said"), [(SIGNERS_DEPTH_MAX, "good"), (SIGNERS_DEPTH_MAX + 1, "unknown")])
def test_signers_that_vouch_for_one_another_in_a_row_are_followed_so_far(signers: int, said: str) -> None:
    here = [x509.UniformResourceIdentifier("http://crl.example/root")]
    listed = points(names=here)  # at the root, which lists nobody else
    row: list[Authority] = []
    for n in range(signers):
        row.append(PKI.authority(f"publisher {n}", by=PKI.root, extra=listed))
        listed = points(publisher=row[-1].identity.certificate.subject)
    issuer = PKI.authority("listed at the root", by=PKI.root, extra=points(names=here))
    leaf = PKI.issue("far", by=issuer, extra=listed)
    trust = a_trust(
        a_sender(enrolled(leaf)),
        intermediates=[issuer.identity.der, *(publisher.identity.der for publisher in row)],
        crls=[
            crl(by=PKI.root, extra=scope(names=here)),
            *(crl(by=publisher, extra=scope(indirect=True)) for publisher in row),
        ],
    )
    try:
        trust.check_enrolment(leaf.der, CertificateUse.SIGN, AT)
    except TrustUndetermined:
        assert said == "unknown"
    else:
        assert said == "good"
