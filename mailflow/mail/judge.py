"""From stored octets to a verdict. Pure: same mail, same trust, same moment, same verdict.

The checklist, in this order. Up to step 6 nobody has proven who they are: every fault is silence towards the
outside and an entry for the operator. From step 7 on the sender is proven, and faults are answered by name.

1. The mail can be read as MIME, within the limits.
2. It is signed, or encrypted and then signed, and the signed part is the outermost (else: is it a bounce, an
   automatic reply, a loop?). Prevents: content beside the signature passed for signed.
3. It carries exactly one From address.
4. The signature holds over the exact octets (or once over them with canonical line ends).
5. The signer is who the enrolments say, by a path that was valid at reception (`mail.trust`).
6. There is no further layer inside. Prevents: a signed mail of another, forwarded under a signature.
7. The signed part holds files of requests or questions, within the limits.
8. A `CER*` certificate, when there is one, may be encrypted to.
9. An `NCE*` certificate, when there is one, may follow the one that signed, and its key is the sender's.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.inquiry import Inquiry, QuestionFile
from mailflow.core.model import Door, EnrolledSender, RequestFile, Submission, Submitter
from mailflow.core.succession import Successor
from mailflow.mail import attachments, bounces, cms, evidence, mime, pem
from mailflow.mail.attachments import ContentLimits, Contents
from mailflow.mail.bounces import Bounce
from mailflow.mail.cms import CmsError, ContentType, DecryptionKey
from mailflow.mail.mime import Entity, MimeError, MimeLimits, SignedParts
from mailflow.mail.model import (
    Accepted,
    Recognised,
    RecognisedFile,
    Recognition,
    Rejected,
    ReplyContext,
    Step,
    Undetermined,
    Verdict,
    VerifiedMail,
)
from mailflow.mail.successor import read_successor
from mailflow.mail.trust import Proven, Trust, TrustError, TrustUndetermined
from mailflow.wire.names import is_meant_as_question
from mailflow.wire.questions import read_questions
from mailflow.wire.reader import MAIL_ANOMALIES_MAX, FileLimits, bounded_together, read_file

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeLimits:
    """The published limits."""

    mime: MimeLimits
    contents: ContentLimits
    file: FileLimits
    requests_max: int
    """Requests in one mail; of several mails that are judged in one go, little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """A mail of the intake."""

    intake: int
    raw: bytes = field(repr=False)
    received_at: datetime


@dataclass(slots=True)
class _Checklist:
    """The steps that were taken, for whoever asks why a mail passed or failed (`mailflow verify`)."""

    steps: list[Step] = field(default_factory=list)

    def passed(self, name: str, detail: str = "") -> None:
        self.steps.append(Step(name=name, passed=True, detail=detail))

    def failed(self, name: str, code: Code, detail: str) -> None:
        self.steps.append(Step(name=name, passed=False, detail=f"{code} {detail}".strip()))


class _Refusal(Exception):
    def __init__(self, step: str, verdict: Rejected | Undetermined) -> None:
        super().__init__(step)
        self.step = step
        self.verdict = verdict
        self.code = verdict.anomalies[0].code if isinstance(verdict, Rejected) else verdict.anomaly.code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """A mail after step 6: who sent it is proven."""

    context: ReplyContext
    contents: Contents
    address: str
    """Of From."""
    verified: VerifiedMail
    proven: Proven


def _silent(step: str, code: Code, detail: str = "", bounce: Bounce | None = None) -> _Refusal:
    """Nobody is proven, so nobody is answered."""
    return _Refusal(step, Rejected(anomalies=(Anomaly(code=code),), reply=None, detail=detail, bounce=bounce))


def _is_signed(structure: bytes) -> bool:
    return cms.content_type(structure) is ContentType.SIGNED


def _attempt(step: str, action: Callable[[], T]) -> T:
    try:
        return action()
    except (MimeError, CmsError) as error:
        raise _silent(step, error.code, error.detail) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges mails with the keys and enrolments of one generation."""

    trust: Trust
    keys: tuple[DecryptionKey, ...]
    limits: JudgeLimits
    own_addresses: frozenset[str]
    """The service's own addresses, in lower case: a mail from one of them is a loop."""
    own_domain: str
    """Right-hand side of the Message-IDs that we make."""

    def judge(self, mail: Unjudged, at: datetime) -> Verdict:
        """The verdict on `mail`. `at` is the moment of judging, for revocation; validity is that of reception."""
        return self.explain(mail, at)[0]

    def judge_some(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        """One verdict per mail, in order, until they come to as many requests as one mail may hold; then None.

        So many mails of many requests cost no more time and memory at once than one of them does, or two.
        """
        verdicts: list[Verdict | None] = []
        requests = 0
        for mail in mails:
            if requests >= self.limits.requests_max:
                break
            verdict = self.judge(mail, at)
            requests += verdict.requests if isinstance(verdict, Accepted) else 0
            verdicts.append(verdict)
        return [*verdicts, *[None] * (len(mails) - len(verdicts))]

    def explain(self, mail: Unjudged, at: datetime) -> tuple[Verdict, tuple[Step, ...]]:
        """The verdict and the checklist that led to it."""
        steps = _Checklist()
        try:
            return self._judge(mail, at, steps), tuple(steps.steps)
        except _Refusal as refusal:
            steps.failed(refusal.step, refusal.code, refusal.verdict.detail)
            return refusal.verdict, tuple(steps.steps)

    def recognise(self, mail: Unjudged, at: datetime) -> Recognition:
        """Who sent it and what it carries, when the sender is proven (steps 1 to 6); no request is looked into."""
        steps = _Checklist()
        try:
            proof = self._prove(mail, at, steps)
            contents, context = proof.contents, proof.context
            if contents.certificate is not None:
                context = self._answer_certificate(contents.certificate, context, at, steps)
        except _Refusal as refusal:
            return refusal.verdict if isinstance(refusal.verdict, Undetermined) else None
        files = tuple(
            RecognisedFile(name=file.name, digest=hashlib.sha256(file.content).hexdigest()) for file in contents.files
        )
        return Recognised(intake=mail.intake, reply=context, size_bytes=len(mail.raw), files=files)

    def _judge(self, mail: Unjudged, at: datetime, steps: _Checklist) -> Verdict:
        proof = self._prove(mail, at, steps)
        contents, context = proof.contents, proof.context
        files, questions = self._read_files(contents, context, mail.received_at, at, steps)
        if contents.certificate is not None:
            context = self._answer_certificate(contents.certificate, context, at, steps)
        successor = None
        if contents.successor is not None:
            successor = self._successor(contents.successor, context, mail.received_at, at, steps)
        submitter = Submitter(
            sender=context.sender,
            certificate=context.signer,
            trust_generation=self.trust.material.directory.generation,
        )
        return Accepted(
            submission=Submission(
                submitter=submitter,
                door=Door.MAIL,
                intake=mail.intake,
                received_at=mail.received_at,
                files=files,
            ),
            inquiry=Inquiry(submitter=submitter, files=questions),
            reply=context,
            proof=evidence.proof_of(
                proof.verified.signature,
                proof.proven.grounds,
                steps.steps,
                intake=mail.intake,
                from_address=proof.address,
                received_at=mail.received_at,
                judged_at=at,
            ),
            anomalies=contents.anomalies,
            successor=successor,
        )

    def signed_again(self, mail: Unjudged) -> VerifiedMail | Code:
        """What a mail that was accepted is signed over (steps 1, 2 and 4), or why that cannot be told any more."""
        steps = _Checklist()
        try:
            return self._verify(self._signed_parts(self._read(mail), mail, steps), mail, steps)
        except _Refusal as refusal:
            return refusal.code

    # Steps 1 to 6
    def _prove(self, mail: Unjudged, at: datetime, steps: _Checklist) -> _Proof:
        entity = self._read(mail)
        steps.passed("mime")
        parts = self._signed_parts(entity, mail, steps)
        address = _attempt("from", lambda: mime.from_address(entity))
        steps.passed("from")
        verified = self._verify(parts, mail, steps)
        proven = self._authenticate(verified, address, mail, at, steps)
        contents = attachments.read_contents(verified.content, self.limits.contents)
        if mime.has_other_recipients(entity):
            # A warning only: the field is not signed, and a gateway may have rewritten it.
            contents = replace(contents, anomalies=(*contents.anomalies, Anomaly(code=Code.OTHER_RECIPIENTS)))
        if any(anomaly.code is Code.LAYERING_REFUSED for anomaly in contents.anomalies):
            raise _silent("layers", Code.LAYERING_REFUSED)
        steps.passed("layers")
        context = self._context(proven.sender, entity, verified, at)
        return _Proof(context=context, contents=contents, address=address, verified=verified, proven=proven)

    # Step 1
    def _read(self, mail: Unjudged) -> Entity:
        return _attempt("mime", lambda: mime.read(mail.raw, self.limits.mime))

    # Step 2
    def _signed_parts(self, entity: Entity, mail: Unjudged, steps: _Checklist) -> SignedParts:
        outer = _attempt("signed", lambda: mime.signed_parts(entity))
        if outer is None:
            automatic = bounces.classify(
                entity, own_addresses=self.own_addresses, own_message_id=self._is_own_message_id
            )
            if automatic is not None:
                raise _silent("signed", automatic.code, automatic.detail, automatic.bounce)
            raise _silent("signed", Code.NOT_SIGNED)
        parts = outer
        if outer.content is None and not _attempt("signed", lambda: _is_signed(outer.cms)):
            octets = _attempt("decrypted", lambda: cms.decrypt(outer.cms, self.keys, at=mail.received_at))
            steps.passed("decrypted")
            inner = _attempt("decrypted", lambda: mime.read(octets, self.limits.mime))
            signed = _attempt("signed", lambda: mime.signed_parts(inner))
            if signed is None:
                raise _silent("signed", Code.NOT_SIGNED, "encrypted only")
            parts = signed
            if parts.content is None and not _attempt("signed", lambda: _is_signed(signed.cms)):
                raise _silent("signed", Code.LAYERING_REFUSED, "encrypted twice")
        steps.passed("signed", "opaque" if parts.content is None else "detached")
        return parts

    def _is_own_message_id(self, message_id: str) -> bool:
        return message_id.lower().endswith(f"@{self.own_domain}>")

    # Step 4
    def _verify(self, parts: SignedParts, mail: Unjudged, steps: _Checklist) -> VerifiedMail:
        def verify(content: bytes | None) -> VerifiedMail:
            return cms.verify(parts.cms, content, enrolled=self.trust.certificates_of, at=mail.received_at)

        line_ends = "as received"
        try:
            verified = verify(parts.content)
        except CmsError as error:
            # A relay may have turned CRLF into LF: the octets that verify are the ones that are read.
            if error.code is not Code.CONTENT_ALTERED or parts.content is None:
                raise _silent("signature", error.code, error.detail) from None
            canonical = mime.canonical(parts.content)
            verified = _attempt("signature", lambda: verify(canonical))
            line_ends = "made canonical"
        signer = verified.signers[0]
        steps.passed("signature", f"{signer.signature_algorithm} {signer.digest_algorithm}, lines {line_ends}")
        return verified

    # Step 5
    def _authenticate(
        self, verified: VerifiedMail, address: str, mail: Unjudged, at: datetime, steps: _Checklist
    ) -> Proven:
        try:
            return self.trust.authenticate(
                verified.signers,
                verified.certificates,
                from_address=address,
                received_at=mail.received_at,
                at=at,
                steps=steps.steps,
            )
        except TrustUndetermined as error:
            undetermined = Undetermined(anomaly=Anomaly(code=Code.REVOCATION_UNKNOWN), detail=error.detail)
            raise _Refusal("trust", undetermined) from None
        except TrustError as error:
            raise _silent("trust", error.code, error.detail) from None

    def _context(self, sender: EnrolledSender, entity: Entity, verified: VerifiedMail, at: datetime) -> ReplyContext:
        return ReplyContext(
            sender=sender.code,
            recipient=sender.answer_address,
            message_id=mime.message_id(entity),
            content_digest=hashlib.sha256(verified.content).hexdigest(),
            signer=hashlib.sha256(verified.signers[0].certificate).hexdigest(),
            encrypt_to=self.trust.encryption_certificate(sender, at),
            legacy_encryption=sender.legacy_encryption,
        )

    # Step 7
    def _read_files(
        self, contents: Contents, context: ReplyContext, received_at: datetime, at: datetime, steps: _Checklist
    ) -> tuple[tuple[RequestFile, ...], tuple[QuestionFile, ...]]:
        if not contents.files and contents.successor is None:
            raise _Refusal("contents", Rejected(anomalies=contents.anomalies, reply=context))
        limits = self.limits.file
        files, questions = [], []
        for file in contents.files:
            if is_meant_as_question(file.name):
                questions.append(read_questions(file.name, file.content, limits=limits, now=max(received_at, at)))
            else:
                files.append(read_file(file.name, file.content, limits=limits, received_at=received_at, now=at))
        asked, requests = (sum(len(f.questions) for f in questions), sum(len(f.requests) for f in files))
        if asked + requests > self.limits.requests_max:
            too_many = Rejected(anomalies=(Anomaly(code=Code.MAIL_TOO_MANY_REQUESTS),), reply=context)
            raise _Refusal("contents", too_many)
        steps.passed("contents", f"{len(contents.files)} files, {requests} requests, {asked} questions")
        return bounded_together(tuple(files), MAIL_ANOMALIES_MAX), tuple(questions)

    # Step 8
    def _answer_certificate(
        self, octets: bytes, context: ReplyContext, at: datetime, steps: _Checklist
    ) -> ReplyContext:
        try:
            (certificate,) = pem.read_der(octets, pem.CERTIFICATE)
            self.trust.check_answer_certificate(certificate, at, context.sender)
        except (TrustError, ValueError) as error:
            detail = error.detail if isinstance(error, TrustError) else "not one certificate in PEM"
            anomaly = Anomaly(code=Code.ANSWER_CERTIFICATE_REFUSED)
            refused = Rejected(anomalies=(anomaly,), reply=context, detail=detail)
            raise _Refusal("answer certificate", refused) from None
        steps.passed("answer certificate")
        return replace(context, encrypt_to=certificate)

    # Step 9
    def _successor(
        self, octets: bytes, context: ReplyContext, received_at: datetime, at: datetime, steps: _Checklist
    ) -> Successor:
        try:
            proof = read_successor(octets, self.own_addresses, context.signer, received_at)
            (signer,) = proof.signers
            uses = self.trust.check_successor(
                signer, proof.certificates, context.signer, received_at=received_at, at=at
            )
        except TrustUndetermined as error:
            undetermined = Undetermined(anomaly=Anomaly(code=Code.REVOCATION_UNKNOWN), detail=error.detail)
            raise _Refusal("new certificate", undetermined) from None
        except TrustError as error:
            refused = Rejected(anomalies=(Anomaly(code=error.code),), reply=context, detail=error.detail)
            raise _Refusal("new certificate", refused) from None
        steps.passed("new certificate", " ".join(uses))
        fingerprint = hashlib.sha256(signer.certificate).hexdigest()
        return Successor(certificate=signer.certificate, fingerprint=fingerprint, follows=context.signer, uses=uses)
