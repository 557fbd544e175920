"""A throw-away PKI: issuing authorities under one root, certificates good and bad, revocation lists.

Every date is counted from the `at` that the PKI is made with. Keys are made when first asked for. Bad
certificates are named for what is wrong with them (`Fault`). What exists does not depend on the order of
calls, so one instance can serve many readers; only `revoke` changes it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailflow.demo.certificates import (
    MAIL_ONLY,
    TLS_ONLY,
    UNKNOWN_EXTENSION,
    Extensions,
    Hash,
    Identity,
    Kind,
    PrivateKey,
    Usage,
    authority_extensions,
    build,
    extended,
    hash_for,
    leaf_extensions,
    make_key,
)

DAY = timedelta(days=1)


class Fault(StrEnum):
    """What can be wrong with a certificate whose holder nevertheless signs correctly."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    REVOKED = "revoked"
    SELF_SIGNED = "self-signed"
    OTHER_AUTHORITY = "other-authority"
    TLS_ONLY = "tls-only"
    AUTHORITY_AS_SIGNER = "authority-as-signer"
    ENCRYPTION_ONLY = "encryption-only"
    RSA_1024 = "rsa-1024"
    P192 = "p192"
    ISSUED_BY_A_LEAF = "issued-by-a-leaf"
    UNKNOWN_CRITICAL_EXTENSION = "unknown-critical-extension"
    STALE_CRL = "stale-crl"
    MISSING_CRL = "missing-crl"


class Publishes(Enum):
    """What an authority makes known of its revocations."""

    FRESHLY = "freshly"
    NO_LONGER = "no longer"
    NEVER = "never"


@dataclass(slots=True, kw_only=True)
class Authority:
    """A certification authority, with what it has revoked (serial number to instant)."""

    identity: Identity
    publishes: Publishes = Publishes.FRESHLY
    revoked: dict[int, datetime] = field(default_factory=dict)


class Pki:
    """See the module. `at` is aware; leaves are valid from 30 days before it to 700 days after."""

    def __init__(self, *, at: datetime) -> None:
        self.at = at.replace(microsecond=0)
        self._revoked_serial = x509.random_serial_number()
        self._faulty: dict[Fault, Identity] = {}

    # Authorities

    @cached_property
    def root(self) -> Authority:
        """The anchor."""
        return self.authority("root", by=None, kind="p384")

    @cached_property
    def issuing_rsa(self) -> Authority:
        """The authority that issues RSA (and Ed25519) certificates."""
        return self.authority("issuing-rsa", by=self.root, kind="rsa")

    @cached_property
    def issuing_ec(self) -> Authority:
        """The authority that issues certificates on curves."""
        made = self.authority("issuing-ec", by=self.root)
        made.revoked[self._revoked_serial] = self.at - DAY
        return made

    @cached_property
    def issuing_stale(self) -> Authority:
        """An authority that publishes no longer."""
        return self.authority("issuing-stale", by=self.root, publishes=Publishes.NO_LONGER)

    @cached_property
    def issuing_silent(self) -> Authority:
        """An authority that never published."""
        return self.authority("issuing-silent", by=self.root, publishes=Publishes.NEVER)

    @cached_property
    def stranger(self) -> Authority:
        """Another root, which is no anchor of ours."""
        return self.authority("stranger", by=None)

    def authority(
        self,
        name: str,
        *,
        by: Authority | None,
        kind: Kind = "p256",
        publishes: Publishes = Publishes.FRESHLY,
        starts: timedelta = -2000 * DAY,
        ends: timedelta = 5000 * DAY,
        extended_usage: Sequence[x509.ObjectIdentifier] | None = None,
        cert_sign: bool = True,
        crl_sign: bool = True,
        path_length: int | None = None,
        extra: Extensions = (),
        key: PrivateKey | None = None,
    ) -> Authority:
        """A new authority; without `by` a self-signed root. It is not part of what `write` installs."""
        constraints = authority_extensions(path_length=path_length, cert_sign=cert_sign, crl_sign=crl_sign)
        identity = build(
            name,
            key or make_key(kind),
            issuer=by.identity if by else None,
            validity=(self.at + starts, self.at + ends),
            serial=None,
            extensions=[*constraints, *extended(extended_usage), *extra],
            pss=False,
            hash_algorithm=None,
        )
        return Authority(identity=identity, publishes=publishes)

    # Certificates

    def issue(
        self,
        name: str,
        *,
        kind: Kind = "p256",
        usage: Usage = "both",
        by: Authority | None = None,
        address: str | None = None,
        starts: timedelta = -30 * DAY,
        ends: timedelta = 700 * DAY,
        extended_usage: Sequence[x509.ObjectIdentifier] | None = MAIL_ONLY,
        pss: bool = False,
        hash_algorithm: Hash | None = None,
        extra: Extensions = (),
        serial: int | None = None,
        key: PrivateKey | None = None,
    ) -> Identity:
        """A new certificate, by default from the issuing authority of that kind of key.

        `usage` "both" means all that the kind can do: Ed25519 only signs. `starts` and `ends` are counted
        from `at`. `pss` and `hash_algorithm` are about the authority's signature.
        """
        key = key or make_key(kind)
        if by is None:
            by = self.issuing_ec if isinstance(key, ec.EllipticCurvePrivateKey) else self.issuing_rsa
        names = [(x509.SubjectAlternativeName([x509.RFC822Name(address)]), False)] if address else []
        return build(
            name,
            key,
            issuer=by.identity,
            validity=(self.at + starts, self.at + ends),
            serial=serial,
            extensions=[*leaf_extensions(key, usage), *extended(extended_usage), *names, *extra],
            pss=pss,
            hash_algorithm=hash_algorithm,
        )

    @cached_property
    def service_rsa(self) -> Identity:
        """Our own certificate, signing and encryption, RSA."""
        return self.issue("service-rsa", kind="rsa", address="demandes@service.example")

    @cached_property
    def service_ec(self) -> Identity:
        """Our own certificate, signing and encryption, P-256."""
        return self.issue("service-ec", kind="p256", address="demandes@service.example")

    @cached_property
    def server(self) -> Identity:
        """A server on the loopback interface; whoever trusts the root trusts it."""
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return self.issue("server", by=self.root, extended_usage=TLS_ONLY, extra=[(names, False)])

    @cached_property
    def archive(self) -> Identity:
        """The offline archive: every answer is encrypted to it too."""
        return self.issue("archive", kind="rsa", usage="encrypt")

    @cached_property
    def leaf_as_authority(self) -> Identity:
        """The end-entity certificate that issued `Fault.ISSUED_BY_A_LEAF`: its holder sends it along."""
        return self.issue("leaf-as-authority")

    def faulty(self, fault: Fault) -> Identity:
        """The certificate with exactly this fault; on P-256 where the fault leaves a choice."""
        if fault not in self._faulty:
            self._faulty[fault] = _FAULTY[fault](self, fault.value)
        return self._faulty[fault]

    def self_signed(self, name: str) -> Identity:
        """A certificate that is right in everything but its issuer, which is itself."""
        key = make_key("p256")
        return build(
            name,
            key,
            issuer=None,
            validity=(self.at - 30 * DAY, self.at + 700 * DAY),
            serial=None,
            extensions=[*leaf_extensions(key, "both"), *extended(MAIL_ONLY)],
            pss=False,
            hash_algorithm=None,
        )

    @property
    def revoked_serial(self) -> int:
        """The number that `issuing_ec` lists from the beginning."""
        return self._revoked_serial

    # Revocation

    def revoke(self, identity: Identity, *, on: datetime | None = None) -> None:
        """Have the issuer list `identity` from its next list on, as of `on` (else the day before `at`)."""
        for authority in (self.root, *self._issuing()):
            if authority.identity.certificate.subject == identity.certificate.issuer:
                authority.revoked[identity.certificate.serial_number] = on or self.at - DAY
                return
        raise ValueError(f"no authority of this PKI issued {identity.name}")

    def crl(
        self,
        authority: Authority,
        *,
        published: datetime | None = None,
        lasts: timedelta = 7 * DAY,
        hash_algorithm: Hash | None = None,
        extra: Extensions = (),
        entries: Sequence[x509.RevokedCertificate] = (),
    ) -> bytes:
        """The list (DER) that `authority` publishes; `published` is an hour before `at` by default.

        `entries` come on top of what it has revoked.
        """
        issued = published or self.at - timedelta(hours=1)
        if authority.publishes is Publishes.NO_LONGER:
            issued -= 20 * DAY
        key = authority.identity.key
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.identity.certificate.subject)
            .last_update(issued)
            .next_update(issued + lasts)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(int(issued.timestamp())), critical=False)
        )
        for value, critical in extra:
            builder = builder.add_extension(value, critical=critical)
        for serial, instant in authority.revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(instant)
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        for ready in entries:
            builder = builder.add_revoked_certificate(ready)
        return builder.sign(key, hash_algorithm or hash_for(key)).public_bytes(serialization.Encoding.DER)

    def crls(self, *, published: datetime | None = None) -> tuple[bytes, ...]:
        """The lists (DER) of all authorities that ever published one."""
        publishing = [a for a in (self.root, *self._issuing()) if a.publishes is not Publishes.NEVER]
        return tuple(self.crl(authority, published=published) for authority in publishing)

    # An installation

    def _issuing(self) -> tuple[Authority, ...]:
        return self.issuing_rsa, self.issuing_ec, self.issuing_stale, self.issuing_silent

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The certificates (DER) that an installation trusts."""
        return (self.root.identity.der,)

    @property
    def intermediates(self) -> tuple[bytes, ...]:
        """The certificates (DER) of all issuing authorities."""
        return tuple(authority.identity.der for authority in self._issuing())

    def write(self, folder: Path) -> Path:
        """Write `trust/{anchors,intermediates,crls}/*.pem` below `folder`; return the path of `trust`."""
        trust = folder / "trust"
        pems = {("anchors", "root"): self.root.identity.pem}
        pems |= {("intermediates", a.identity.name): a.identity.pem for a in self._issuing()}
        for der in self.crls():
            crl = x509.load_der_x509_crl(der)
            name = str(crl.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
            pems["crls", name] = crl.public_bytes(serialization.Encoding.PEM)
        for (part, name), pem in pems.items():
            (trust / part).mkdir(parents=True, exist_ok=True)
            (trust / part / f"{name}.pem").write_bytes(pem)
        return trust


_FAULTY: dict[Fault, Callable[[Pki, str], Identity]] = {
    Fault.EXPIRED: lambda pki, name: pki.issue(name, starts=-400 * DAY, ends=-20 * DAY),
    Fault.NOT_YET_VALID: lambda pki, name: pki.issue(name, starts=20 * DAY),
    Fault.REVOKED: lambda pki, name: pki.issue(name, serial=pki.revoked_serial),
    Fault.SELF_SIGNED: lambda pki, name: pki.self_signed(name),
    Fault.OTHER_AUTHORITY: lambda pki, name: pki.issue(name, by=pki.stranger),
    Fault.TLS_ONLY: lambda pki, name: pki.issue(name, extended_usage=TLS_ONLY),
    Fault.AUTHORITY_AS_SIGNER: lambda pki, name: pki.authority(name, by=pki.root).identity,
    Fault.ENCRYPTION_ONLY: lambda pki, name: pki.issue(name, usage="encrypt"),
    Fault.RSA_1024: lambda pki, name: pki.issue(name, kind="rsa-1024"),
    Fault.P192: lambda pki, name: pki.issue(name, kind="p192"),
    Fault.ISSUED_BY_A_LEAF: lambda pki, name: pki.issue(name, by=Authority(identity=pki.leaf_as_authority)),
    Fault.UNKNOWN_CRITICAL_EXTENSION: lambda pki, name: pki.issue(name, extra=[(UNKNOWN_EXTENSION, True)]),
    Fault.STALE_CRL: lambda pki, name: pki.issue(name, by=pki.issuing_stale),
    Fault.MISSING_CRL: lambda pki, name: pki.issue(name, by=pki.issuing_silent),
}
