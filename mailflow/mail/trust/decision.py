"""The decision who a mail is from. Policy only: how a path or a list is checked stands in the modules beside.

The checklist of `Trust.authenticate`, with what each step prevents:

 1. Somebody signed: an empty list of signers must not pass every test that "all signers" pass.
 2. Each signer's certificate is enrolled for signing, by fingerprint, and not suspended: a certificate of
    the same authority with the same name, bought by somebody else, is nobody here.
 3. All of them belong to one sender: a second signature must not lend another sender's rights.
 4. The sender is not suspended: suspension stops the mail at once, without waiting for an authority.
 5. From is enrolled for this sender: signed files that somebody else sends on in a mail of their own
    fail, and an answer is never provoked in another's name.
 6. The signing time is there and near the reception: an old signed mail that was never delivered cannot
    be played much later. It is a claim of the signer, hence never the time of validation.
and for each signer:
 7. The certificate can be read, its key is strong enough, it is meant for signing mail, is no
    authority's, and its own signature cannot be forged: a TLS server's key, an encryption key or an
    authority's proves no sender, and the path search does not look at the holder's key.
 8. A path of authorities that this sender may have leads to a configured anchor and was valid at reception: enrolment
    alone is not enough once an authority has expired or is no longer believed, and unknown critical
    extensions may say "not for this". A claimed older time cannot revive an expired certificate.
 9. Neither it nor any authority of the path is revoked: any revocation known now counts, even dated
    after reception, since the thief of a key chooses the dates. This step is last, so that a mail is
    kept for later judging only if nothing else refuses it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse, EnrolledCertificate, EnrolledSender, SenderCode, Standing
from mailflow.errors import Misconfigured
from mailflow.mail.cms.algorithms import era
from mailflow.mail.cms.certificates import identity
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.structures import SignerIdentifier
from mailflow.mail.model import Step, VerifiedSigner
from mailflow.mail.trust.certificate import check_leaf, extension, read
from mailflow.mail.trust.errors import TrustError, TrustUndetermined
from mailflow.mail.trust.grounds import Grounds, Proven, ders, enrolment_of, together
from mailflow.mail.trust.material import TrustMaterial, configured
from mailflow.mail.trust.names import organisation
from mailflow.mail.trust.path import Path, Paths
from mailflow.mail.trust.policy import PathPolicy
from mailflow.mail.trust.revocation import Consulted, RevocationLists


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """That a certificate passed every check of its own, and within which bounds that still holds."""

    path: Path
    era: int
    """Of the table of algorithms that it was judged by."""
    judged_at: datetime
    good_until: datetime

    def holds(self, valid_at: datetime, at: datetime) -> bool:
        valid = all(c.not_valid_before_utc <= valid_at <= c.not_valid_after_utc for c in self.path)
        return valid and self.era == era(valid_at) and self.judged_at <= at <= self.good_until


class _Checklist:
    """Records each step as it is passed or failed."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        try:
            yield
        except (TrustError, TrustUndetermined) as error:
            self._steps.append(Step(name=name, passed=False, detail=str(error)))
            raise
        self.passed(name)

    def passed(self, name: str) -> None:
        self._steps.append(Step(name=name, passed=True))


class Trust:
    """Built once per generation in each worker.

    Remembers the proven paths of enrolled certificates, never a failure. Its material does not change, so that
    only time can end a proof: the end of a certificate, of revocation data, or of an algorithm.
    """

    def __init__(self, material: TrustMaterial) -> None:
        """Raises Misconfigured when there is no anchor, or an anchor or an intermediate cannot be read."""
        if not material.anchors:
            raise Misconfigured("there is no anchor: nobody could be believed")
        self.material = material
        self._paths = Paths(configured(material.anchors), configured(material.intermediates))
        self.lists = RevocationLists(material.lists, self._paths.list_signers, material.fetched.answers)
        self._proofs: dict[tuple[CertificateUse, bytes], _Proof] = {}
        self._grounds: dict[bytes, Grounds] = {}
        """Of the signing certificates whose proof is remembered."""
        self._signing: dict[str, list[tuple[EnrolledSender, EnrolledCertificate]]] = {}
        self._named: dict[tuple[bytes, int] | bytes, set[bytes]] = {}
        for sender in material.directory.senders:
            for certificate in sender.certificates:
                if certificate.use is CertificateUse.SIGN:
                    self._index(sender, certificate)

    def _index(self, sender: EnrolledSender, certificate: EnrolledCertificate) -> None:
        self._signing.setdefault(_fingerprint(certificate.der), []).append((sender, certificate))
        try:
            named = identity(certificate.der)
        except CmsError:
            return  # nobody can sign with it; `authenticate` would refuse it by name
        self._named.setdefault((named.issuer, named.serial), set()).add(certificate.der)
        if named.subject_key_id is not None:
            self._named.setdefault(named.subject_key_id, set()).add(certificate.der)

    def certificates_of(self, signer: SignerIdentifier) -> tuple[bytes, ...]:
        """Enrolled signing certificates (DER) that a SignerInfo may mean, when the mail brings none itself."""
        if signer.subject_key_id is not None:
            return tuple(sorted(self._named.get(signer.subject_key_id, ())))
        if signer.issuer is None or signer.serial is None:
            return ()
        return tuple(sorted(self._named.get((signer.issuer, signer.serial), ())))

    def authenticate(
        self,
        signers: tuple[VerifiedSigner, ...],
        bag: tuple[bytes, ...],
        *,
        from_address: str,
        received_at: datetime,
        at: datetime,
        steps: list[Step] | None = None,
    ) -> Proven:
        """The one sender that all signatures prove, and on what grounds.

        `bag` are the certificates of the mail: they may complete a path and are never an identity. `from_address`
        is the bare addr-spec of the only From. Paths and dates are judged at `received_at`, revocation at `at`.
        What was checked is appended to `steps`. Raises TrustError, or TrustUndetermined when nothing but the
        state of revocation stands against the mail. The steps are numbered as in the module's checklist.
        """
        checklist = _Checklist([] if steps is None else steps)
        with checklist.step("somebody signed"):
            if not signers:
                raise TrustError(Code.NOT_SIGNED, "no signer")  # 1
        with checklist.step("every signer's certificate is enrolled"):
            senders = [self._sender_of(signer.certificate) for signer in signers]  # 2
        with checklist.step("all signers are one sender"):
            sender = _only(senders)  # 3
        with checklist.step("the sender is active"):
            if sender.standing is not Standing.ACTIVE:
                raise TrustError(Code.SENDER_SUSPENDED, sender.code)  # 4
        with checklist.step("From is enrolled for the sender"):
            if from_address.lower() not in sender.addresses:
                raise TrustError(Code.FROM_NOT_ENROLLED, f"not an address of {sender.code}")  # 5
        with checklist.step("signed near the time of reception"):
            for signer in signers:
                self._check_signing_time(signer, received_at, at)  # 6
        certificates = [signer.certificate for signer in signers]
        rest = (
            "the certificates are fit for signing mail",
            "the paths lead to a configured anchor",
            "nothing on the paths is revoked",
        )
        if all(self._remembers(CertificateUse.SIGN, der, received_at, at) for der in certificates):
            for name in rest:
                checklist.passed(name)
            return Proven(sender=sender, grounds=together([self._grounds[der] for der in certificates]))
        with checklist.step(rest[0]):
            policy = self.material.policy_of(sender.code)
            leaves = [_fit(der, CertificateUse.SIGN, received_at, policy) for der in certificates]  # 7
        with checklist.step(rest[1]):
            others = _readable(bag)
            paths = [self._paths.find(leaf, others, received_at, policy) for leaf in leaves]  # 8
        with checklist.step(rest[2]):
            consulted = Consulted()
            good_until = self.lists.check(paths, at, consulted)  # 9
        grounds = [self._grounds_of(sender, path, consulted) for path in paths]
        for der, path, why in zip(certificates, paths, grounds, strict=True):
            proof = _Proof(path=path, era=era(received_at), judged_at=at, good_until=good_until)
            if self._remember(CertificateUse.SIGN, der, proof):
                self._grounds[der] = why
        return Proven(sender=sender, grounds=together(grounds))

    def _grounds_of(self, sender: EnrolledSender, path: Path, consulted: Consulted) -> Grounds:
        (holder, *_) = on_path = ders(path)
        return Grounds(
            enrolment=enrolment_of(sender, holder),
            paths=(on_path,),
            others=tuple(sorted({*ders(consulted.signers)}.difference(on_path))),
            revocations=tuple(sorted(consulted.lists)),
            answers=tuple(sorted(consulted.answers)),
            policy=self.material.policy_of(sender.code),
            window=self.material.window,
        )

    def encryption_certificate(self, sender: EnrolledSender, at: datetime) -> bytes | None:
        """The newest enrolled certificate (DER) to which an answer may be encrypted; None: hold the answer.

        A known revocation excludes; an unknown state does not, since holding answers protects nobody.
        """
        usable: list[bytes] = []
        for enrolled in sender.certificates:
            if enrolled.use is not CertificateUse.ENCRYPT or enrolled.standing is not Standing.ACTIVE:
                continue
            try:
                if not self._remembers(enrolled.use, enrolled.der, at, at):
                    path, good_until = self._prove(enrolled.der, enrolled.use, at, sender.code)
                    proof = _Proof(path=path, era=era(at), judged_at=at, good_until=good_until)
                    self._remember(enrolled.use, enrolled.der, proof)
            except TrustError:
                continue
            except TrustUndetermined:
                pass
            usable.append(enrolled.der)
        if len(usable) < 2:
            return usable[0] if usable else None
        return max(usable, key=lambda der: (read(der).not_valid_before_utc, der))

    def check_answer_certificate(self, der: bytes, at: datetime, sender: SenderCode | None = None) -> None:
        """Whether an answer may be encrypted to a certificate (`CER*`) that came in a signed mail of this sender.

        Raises TrustError `ANSWER_CERTIFICATE_REFUSED`, for an unknown state of revocation as well: the enrolled
        certificate then serves.
        """
        try:
            self._prove(der, CertificateUse.ENCRYPT, at, sender)
        except (TrustError, TrustUndetermined) as error:
            raise TrustError(Code.ANSWER_CERTIFICATE_REFUSED, str(error)) from None

    def check_enrolment(self, der: bytes, use: CertificateUse, at: datetime, sender: SenderCode | None = None) -> None:
        """Whether a certificate could serve this sender now, with nothing but what is installed here.

        For whoever enrols it. Raises TrustError and TrustUndetermined with the reason that a mail would be given.
        """
        self._prove(der, use, at, sender)

    def check_successor(
        self, signer: VerifiedSigner, bag: tuple[bytes, ...], follows: str, *, received_at: datetime, at: datetime
    ) -> tuple[CertificateUse, ...]:
        """For which uses the signer's certificate may follow `follows`, an enrolled one that signs: never for more.

        It passes what an enrolled one would, now; is of the same organisation; and proves nobody yet, unless it signs
        for this sender already: to offer it again changes nothing. Raises TrustError `SUCCESSOR_REFUSED` or
        `SIGNING_TIME_…`, and TrustUndetermined.
        """
        ((sender, former),) = self._signing[follows]
        der, policy = signer.certificate, self.material.policy_of(sender.code)
        self._check_signing_time(signer, received_at, at)
        had = {c.use for c in sender.certificates if c.fingerprint == follows and c.standing is Standing.ACTIVE}
        known = self._signing.get(_fingerprint(der), ())
        if any(one.code == sender.code and it.standing is Standing.ACTIVE for one, it in known):
            return tuple(use for use in CertificateUse if use in had)
        try:
            if _fingerprint(der) in {c.fingerprint for s in self.material.directory.senders for c in s.certificates}:
                raise TrustError(Code.SUCCESSOR_REFUSED, "it is enrolled already")
            leaf = _fit(der, CertificateUse.SIGN, at, policy)
            if organisation(leaf) != organisation(read(former.der)):
                raise TrustError(Code.SUCCESSOR_REFUSED, "of another organisation")
            self.lists.check([self._paths.find(leaf, _readable(bag), at, policy)], at)
        except TrustError as error:
            raise TrustError(Code.SUCCESSOR_REFUSED, str(error)) from None
        return tuple(use for use in CertificateUse if use in had and _is_fit(der, use, at, policy))

    def _prove(self, der: bytes, use: CertificateUse, at: datetime, sender: SenderCode | None) -> tuple[Path, datetime]:
        """The path, and until when its revocation data hold."""
        policy = self.material.policy_of(sender)
        path = self._paths.find(_fit(der, use, at, policy), (), at, policy)
        return path, self.lists.check([path], at)

    def _sender_of(self, certificate: bytes) -> EnrolledSender:
        fingerprint = _fingerprint(certificate)
        enrolled = self._signing.get(fingerprint)
        if enrolled is None:
            raise TrustError(Code.SIGNER_NOT_ENROLLED, f"sha256 {fingerprint}{self._claim(certificate)}")
        active = [sender for sender, known in enrolled if known.standing is Standing.ACTIVE]
        if not active:
            owner = enrolled[0][0].code
            raise TrustError(Code.SIGNER_NOT_ENROLLED, f"sha256 {fingerprint}, suspended, of {owner}")
        return _only(active)

    def _claim(self, certificate: bytes) -> str:
        """Whose a certificate that is not enrolled claims to be: by the same subject, or by an address."""
        try:
            stranger = read(certificate)
        except TrustError:
            return ", unreadable"
        names: list[x509.Name | str] = [stranger.subject, *_addresses(stranger)]
        claimed = {code for name in names for code in self._claimants.get(name, ())}
        return f", claims to be {' or '.join(sorted(claimed))}" if claimed else ""

    @cached_property
    def _claimants(self) -> dict[x509.Name | str, set[SenderCode]]:
        """Senders by the subjects of their certificates and by their addresses."""
        found: dict[x509.Name | str, set[SenderCode]] = {}
        for sender in self.material.directory.senders:
            subjects = (_subject(c.der) for c in sender.certificates)
            for name in (*sender.addresses, *subjects):
                if name is not None:
                    found.setdefault(name, set()).add(sender.code)
        return found

    def _check_signing_time(self, signer: VerifiedSigner, received_at: datetime, at: datetime) -> None:
        """What was signed before we judge it is not from the future, whatever a mail server's clock said."""
        if signer.signed_at is None:
            raise TrustError(Code.SIGNING_TIME_MISSING, f"sha256 {_fingerprint(signer.certificate)}")
        window = self.material.window
        if not received_at - window.before <= signer.signed_at <= max(received_at, at) + window.after:
            raise TrustError(Code.SIGNING_TIME_OUT_OF_WINDOW, f"signed {signer.signed_at:%Y-%m-%d %H:%M:%S}Z")

    def _remembers(self, use: CertificateUse, der: bytes, valid_at: datetime, at: datetime) -> bool:
        proof = self._proofs.get((use, der))
        return proof is not None and proof.holds(valid_at, at)

    def _remember(self, use: CertificateUse, der: bytes, proof: _Proof) -> bool:
        """A path that needs the mail's own certificates is proven anew each time: another mail may lack them."""
        known = self._paths.is_known(proof.path)
        if known:
            self._proofs[use, der] = proof
        return known


def _is_fit(der: bytes, use: CertificateUse, at: datetime, policy: PathPolicy) -> bool:
    try:
        _fit(der, use, at, policy)
    except TrustError:
        return False
    return True


def _fit(der: bytes, use: CertificateUse, at: datetime, policy: PathPolicy) -> x509.Certificate:
    certificate = read(der)
    check_leaf(der, certificate, use, at, policy)
    return certificate


def _only(senders: Sequence[EnrolledSender]) -> EnrolledSender:
    codes = sorted({sender.code for sender in senders})
    if len(codes) > 1:
        raise TrustError(Code.SEVERAL_SENDERS, ", ".join(codes))
    return senders[0]


def _readable(bag: Sequence[bytes]) -> list[x509.Certificate]:
    """What nobody can read completes no path, and need not refuse the mail."""
    certificates = []
    for der in bag:
        try:
            certificates.append(read(der))
        except TrustError:
            continue
    return certificates


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def _subject(der: bytes) -> x509.Name | None:
    try:
        return read(der).subject
    except TrustError:
        return None


def _addresses(certificate: x509.Certificate) -> frozenset[str]:
    names = extension(certificate, x509.SubjectAlternativeName)
    return frozenset(a.lower() for a in names.get_values_for_type(x509.RFC822Name)) if names else frozenset()
