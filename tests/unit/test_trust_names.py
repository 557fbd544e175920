"""Names, constraints on them, policies and signatures of a path, beyond what the PKI test suite of NIST asks."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.certificates import UNKNOWN_EXTENSION, Extensions, Identity, Kind, build, make_key, name_of
from mailflow.demo.pki import DAY, Authority
from mailflow.mail.cms import ber
from mailflow.mail.trust import PathPolicy, TrustError
from mailflow.mail.trust import path as path_module
from mailflow.mail.trust.certificate import check_issued, check_leaf
from mailflow.mail.trust.constraints import COMPARISONS_MAX
from mailflow.mail.trust.names import comparable
from mailflow.mail.trust.path import SIGNATURES_MAX, Paths
from mailflow.mail.trust.policies import ANY_POLICY, POLICIES_MAX, POLICY_MAPPINGS
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_trust

PKI = shared_pki()


def path_of(
    leaf: Identity,
    *authorities: Authority,
    policy: PathPolicy | None = None,
    bag: Sequence[x509.Certificate] = (),
    at: datetime = AT,
) -> int:
    """How long the path is that is found; raises TrustError."""
    known = [authority.identity.certificate for authority in authorities]
    return len(Paths([PKI.root.identity.certificate], known).find(leaf.certificate, bag, at, policy or PathPolicy()))


def why(leaf: Identity, *authorities: Authority, **rest: object) -> str:
    with pytest.raises(TrustError) as caught:
        path_of(leaf, *authorities, **rest)  # type: ignore[arg-type]  # handed on
    assert caught.value.code is Code.PATH_REFUSED
    return caught.value.detail


# Names


@given(st.text(min_size=1, max_size=20))
def test_case_and_white_space_do_not_tell_names_apart(text: str) -> None:
    def name(value: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, value)])

    if len(text.encode()) > 60 or not text.isascii():
        return
    assert comparable(name(f"a {text}")) == comparable(name(f"  A   {text.upper()} "))
    assert comparable(name(f"a{text}b")) != comparable(name(f"a{text}c"))


# Constraints


def constrained(
    permitted: Sequence[x509.GeneralName] | None = None, excluded: Sequence[x509.GeneralName] | None = None
) -> Authority:
    return PKI.authority("constrained", by=PKI.root, extra=[(x509.NameConstraints(permitted, excluded), True)])


def named(authority: Authority, *names: x509.GeneralName) -> Identity:
    return PKI.issue("named", by=authority, extra=[(x509.SubjectAlternativeName(names), False)])


def network(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text))


def host(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_address(text))


MAIL, DNS, URI = x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("subtree", "inside", "outside"),
    [
        (MAIL("mairie.example"), MAIL("a@Mairie.example"), MAIL("a@sub.mairie.example")),
        (MAIL(".mairie.example"), MAIL("a@sub.mairie.example"), MAIL("a@mairie.example")),
        (MAIL("a@mairie.example"), MAIL("a@MAIRIE.example"), MAIL("A@mairie.example")),
        (DNS("mairie.example"), DNS("www.mairie.example"), DNS("notmairie.example")),
        (URI("mairie.example"), URI("https://mairie.example/x"), URI("https://www.mairie.example/x")),
        (URI(".mairie.example"), URI("https://www.mairie.example/x"), URI("https://mairie.example/x")),
        (DNS(".mairie.example"), DNS("www.mairie.example"), DNS("notmairie.example")),
        (network("192.0.2.0/24"), host("192.0.2.9"), host("198.51.100.1")),
        (network("192.0.2.0/24"), host("192.0.2.0"), host("2001:db8::1")),
    ],
)
def test_a_name_lies_inside_or_outside_a_subtree(
    subtree: x509.GeneralName, inside: x509.GeneralName, outside: x509.GeneralName
) -> None:
    permitting, excluding = constrained([subtree]), constrained(None, [subtree])
    assert path_of(named(permitting, inside), permitting)
    assert "does not permit" in why(named(permitting, outside), permitting)
    assert "excludes" in why(named(excluding, inside), excluding)
    assert path_of(named(excluding, outside), excluding)


@pytest.mark.parametrize(
    ("subtree", "name"), [(DNS(""), DNS("www.mairie.example")), (URI(""), URI("https://mairie.example/x"))]
)
def test_an_empty_subtree_is_all_names_of_its_form(subtree: x509.GeneralName, name: x509.GeneralName) -> None:
    permitting, excluding = constrained([subtree]), constrained(None, [subtree])
    assert path_of(named(permitting, name), permitting)
    assert "excludes" in why(named(excluding, name), excluding)


@pytest.mark.parametrize(
    ("subtree", "name"),
    [
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4"))),
        (URI("mairie.example"), URI("urn:x")),
        (URI("mairie.example"), URI("https://[x/")),
        (URI("mairie.example"), URI("https://192.0.2.1/")),
        (URI("mairie.example"), URI("https://[2001:db8::1]/")),
        (MAIL("mairie.example"), MAIL("mairie.example")),
    ],
)
def test_a_constrained_name_that_cannot_be_compared_is_refused(
    subtree: x509.GeneralName, name: x509.GeneralName
) -> None:
    for authority in (constrained([subtree]), constrained(None, [subtree])):
        assert "nameConstraints on" in why(named(authority, name), authority)
        assert path_of(named(authority, DNS("x.example")), authority)


def test_an_address_in_the_subject_is_constrained_as_one_beside_it() -> None:
    authority = constrained([MAIL("mairie.example")])
    leaf = PKI.issue("plain", by=authority)

    def with_address(address: str) -> Identity:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, address)])
        builder = x509.CertificateBuilder(
            authority.identity.certificate.subject,
            subject,
            leaf.key.public_key(),
            7,
            leaf.certificate.not_valid_before_utc,
            leaf.certificate.not_valid_after_utc,
        )

        signed = builder.sign(authority.identity.key, hashes.SHA256())
        return Identity(name="x", key=leaf.key, certificate=signed)

    assert path_of(with_address("a@mairie.example"), authority)
    assert "does not permit" in why(with_address("a@ailleurs.example"), authority)
    assert "nameConstraints on" in why(with_address("é@mairie.example"), authority)


def test_constraints_that_the_library_reads_in_part_are_refused() -> None:
    base = ber.der(0x82, b"mairie.example")
    subtree = ber.sequence(base, ber.der(0x80, b"\x01"))  # minimum 1
    extra: Extensions = [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.30"), ber.sequence(ber.der(0xA0, subtree))), True)
    ]
    authority = PKI.authority("minimum", by=PKI.root, extra=extra)
    assert "minimum" in why(named(authority, DNS("www.mairie.example")), authority)


def test_names_and_constraints_beyond_measure_are_refused() -> None:
    many = [DNS(f"n{n}.example") for n in range(400)]
    assert len(many) ** 2 > COMPARISONS_MAX
    authority = constrained(None, many)
    leaf = named(authority, *(DNS(f"m{n}.example") for n in range(400)))
    assert "too many" in why(leaf, authority)


# Policies


def policies(*oids: str) -> tuple[x509.CertificatePolicies, bool]:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]), False


def test_a_path_holds_under_a_demanded_policy_or_not_at_all() -> None:
    authority = PKI.authority("with policy", by=PKI.root, extra=[policies("1.2.3", "1.2.4")])
    leaf = PKI.issue("with policy", by=authority, extra=[policies("1.2.3")])
    without = PKI.issue("without", by=authority)

    def demanding(*oids: str) -> PathPolicy:
        return PathPolicy(policies=frozenset(oids), explicit=True)

    assert path_of(leaf, authority, policy=demanding("1.2.3", "1.2.9"))
    for refused in (demanding("1.2.4"), demanding("1.2.9")):
        assert "no valid certificate policy" in why(leaf, authority, policy=refused)
    assert "no valid certificate policy" in why(without, authority, policy=demanding("1.2.3"))
    assert path_of(without, authority)


@pytest.mark.parametrize(("stated", "holds"), [(0, False), (1, True), (None, True)])
def test_a_holder_may_itself_demand_a_policy(stated: int | None, holds: bool) -> None:
    limits = x509.PolicyConstraints(stated, None if stated is not None else 0)
    leaf = PKI.issue("x", by=PKI.issuing_ec, extra=[(limits, True)])
    if holds:
        assert path_of(leaf, PKI.issuing_ec)
    else:
        assert "no valid certificate policy" in why(leaf, PKI.issuing_ec)


def mappings(octets: bytes) -> Extensions:
    return [policies(ANY_POLICY), (x509.UnrecognizedExtension(POLICY_MAPPINGS, octets), True)]


def mapping(ours: str, theirs: str) -> bytes:
    return ber.sequence(ber.oid(ours), ber.oid(theirs))


@pytest.mark.parametrize(
    "octets",
    [
        b"\x05\x00",
        ber.sequence(ber.sequence(ber.oid("1.2.3"))),
        ber.sequence(*(mapping("1.2.3", f"1.2.4.{n}") for n in range(POLICIES_MAX + 1))),
    ],
)
def test_mappings_that_cannot_be_read_are_refused(octets: bytes) -> None:
    authority = PKI.authority("mapping", by=PKI.root, extra=mappings(octets))
    assert "policyMappings" in why(PKI.issue("x", by=authority, extra=[policies("1.2.3")]), authority)


def test_any_policy_can_be_mapped_and_several_to_one() -> None:
    octets = ber.sequence(mapping("1.2.3", "1.9.1"), mapping("1.2.4", "1.9.1"))
    authority = PKI.authority("mapping", by=PKI.root, extra=mappings(octets))
    leaf = PKI.issue("x", by=authority, extra=[policies("1.9.1")])
    for wanted in ("1.2.3", "1.2.4"):
        assert path_of(leaf, authority, policy=PathPolicy(policies=frozenset({wanted}), explicit=True))
    refused = PathPolicy(policies=frozenset({"1.9.1"}), explicit=True)
    assert "no valid certificate policy" in why(leaf, authority, policy=refused)


def test_policies_beyond_measure_are_refused() -> None:
    leaf = PKI.issue("x", by=PKI.issuing_ec, extra=[policies(*(f"1.2.3.{n}" for n in range(POLICIES_MAX + 1)))])
    assert f"{POLICIES_MAX + 1} certificate policies" in why(leaf, PKI.issuing_ec)


# Usage


def test_the_settings_may_demand_that_a_certificate_is_for_mail_by_name() -> None:
    by_name, by_silence = PKI.issue("named"), PKI.issue("silent", extended_usage=None)
    strict = PathPolicy(mail_usage_required=True)
    check_leaf(by_name.der, by_name.certificate, CertificateUse.SIGN, AT, strict)
    check_leaf(by_silence.der, by_silence.certificate, CertificateUse.SIGN, AT)
    with pytest.raises(TrustError) as caught:
        check_leaf(by_silence.der, by_silence.certificate, CertificateUse.SIGN, AT, strict)
    assert caught.value.code is Code.KEY_USAGE_REFUSED


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_a_holder_need_not_state_what_its_key_is_for(kind: Kind) -> None:
    issuer, key = PKI.issuing_ec.identity, make_key(kind)
    silent = build(
        "silent holder",
        key,
        issuer=issuer,
        validity=(AT - DAY, AT + DAY),
        serial=None,
        extensions=[],
        pss=False,
        hash_algorithm=None,
    )
    for use in CertificateUse:
        check_leaf(silent.der, silent.certificate, use, AT)


def test_an_anchor_that_demands_what_nobody_understands_anchors_nothing() -> None:
    odd = PKI.authority("odd", by=None, extra=[(UNKNOWN_EXTENSION, True)])
    leaf = PKI.issue("x", by=odd)
    with pytest.raises(TrustError) as caught:
        Paths([odd.identity.certificate], []).find(leaf.certificate, (), AT, PathPolicy())
    assert UNKNOWN_EXTENSION.oid.dotted_string in caught.value.detail


def test_an_authority_need_not_state_what_its_key_is_for() -> None:
    key = make_key("p256")
    silent = build(
        "silent authority",
        key,
        issuer=PKI.root.identity,
        validity=(AT - DAY, AT + DAY),
        serial=None,
        extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)],
        pss=False,
        hash_algorithm=None,
    )
    authority = Authority(identity=silent)
    leaf = PKI.issue("x", by=authority)
    assert path_of(leaf, authority) == 3
    trust = a_trust(
        intermediates=[silent.der], crls=[PKI.crl(PKI.root), PKI.crl(authority)], anchors=[PKI.root.identity.der]
    )
    trust.check_enrolment(leaf.der, CertificateUse.SIGN, AT)


def test_a_certificate_of_an_old_version_is_refused() -> None:
    issuer = PKI.issuing_rsa
    certificate = asn1_x509.Certificate.load(PKI.issue("x", kind="rsa").der)
    certificate["tbs_certificate"]["version"] = "v1"
    certificate["tbs_certificate"]["extensions"] = None
    assert isinstance(issuer.identity.key, rsa.RSAPrivateKey)
    signed = certificate["tbs_certificate"].dump(force=True)
    certificate["signature_value"] = issuer.identity.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    made = x509.load_der_x509_certificate(certificate.dump(force=True))
    leaf = Identity(name="x", key=issuer.identity.key, certificate=made)
    assert why(leaf, issuer) == "a certificate of an old version"


# Signatures


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521", "ed25519"])
def test_authorities_may_have_every_kind_of_key_of_the_table(kind: str) -> None:
    authority = PKI.authority("some kind", by=PKI.root, kind=kind)  # type: ignore[arg-type]  # a plain string
    assert path_of(PKI.issue("x", by=authority), authority) == 3


def test_the_dated_table_of_algorithms_holds_for_the_whole_path() -> None:
    root = PKI.authority("rsa root", by=None, kind="rsa")
    leaf = PKI.issue("x", by=root, ends=PKI.at.replace(year=2035) - PKI.at)
    paths = Paths([root.identity.certificate], [])
    assert paths.find(leaf.certificate, (), datetime(2030, 12, 31, tzinfo=UTC))
    with pytest.raises(TrustError, match=r"1\.2\.840\.113549\.1\.1\.11"):
        paths.find(leaf.certificate, (), datetime(2031, 1, 1, tzinfo=UTC))


def test_a_certificate_that_states_two_signature_algorithms_is_refused() -> None:
    certificate = asn1_x509.Certificate.load(PKI.issue("x").der)
    certificate["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}
    der = certificate.dump(force=True)
    leaf = Identity(name="x", key=PKI.root.identity.key, certificate=x509.load_der_x509_certificate(der))
    assert "does not hold" in why(leaf, PKI.issuing_ec)


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
def test_a_signature_is_not_checked_with_a_key_of_another_kind(kind: str) -> None:
    real = PKI.authority("borrowed name", by=PKI.root, kind=kind)  # type: ignore[arg-type]  # a plain string
    leaf = PKI.issue("x", by=real)
    for other in {"rsa", "p256", "ed25519"} - {kind}:
        namesake = PKI.authority("borrowed name", by=PKI.root, kind=other)  # type: ignore[arg-type]  # likewise
        assert "does not hold" in why(leaf, namesake)


def test_certificates_that_borrow_an_authoritys_name_and_key_cannot_keep_the_search_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = 0
    real = check_issued

    def counted(*args: object) -> None:
        nonlocal checked
        checked += 1
        real(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(path_module, "check_issued", counted)
    # Each has issued every other: so many orders are so many paths, and none leads to the anchor.
    first = PKI.authority("ring", by=PKI.stranger)
    ring = [PKI.authority("ring", by=first, key=first.identity.key) for _ in range(12)]
    bag = [authority.identity.certificate for authority in ring]
    assert why(PKI.issue("x", by=first), bag=bag)
    assert checked == SIGNATURES_MAX


def test_a_name_in_bits_is_compared_bit_by_bit() -> None:
    def named(value: bytes) -> x509.Name:
        identifier = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, value, _ASN1Type.BitString)
        return x509.Name([identifier])

    assert comparable(named(b"\0aB")) == comparable(named(b"\0aB")) != comparable(named(b"\0ab"))


@pytest.mark.parametrize("excluded", ["another authority", "the authority between"])
def test_constraints_are_held_against_the_authorities_between_too(excluded: str) -> None:
    subtree = x509.DirectoryName(name_of(excluded))
    root = PKI.authority("root", by=None, extra=[(x509.NameConstraints(None, [subtree]), True)])
    between = PKI.authority("the authority between", by=root)
    paths = Paths([root.identity.certificate], [between.identity.certificate])
    leaf = PKI.issue("x", by=between).certificate
    if excluded == "another authority":
        assert len(paths.find(leaf, (), AT)) == 3
    else:
        with pytest.raises(TrustError) as caught:
            paths.find(leaf, (), AT)
        assert caught.value.code is Code.PATH_REFUSED
