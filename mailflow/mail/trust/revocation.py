"""Tells from revocation lists (RFC 5280 section 6.3) and OCSP answers whether the certificates of a path still count.

A list counts when the issuer of the certificate signed it, or a configured certificate of the list's name that leads
to the same anchor and is itself not revoked. The lists that count must together speak of every reason to revoke; else
an answer has to say that it is good. Any list and any answer may refuse.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from cryptography import x509
from cryptography.x509 import ReasonFlags

from mailflow.core.anomalies import Code
from mailflow.core.revocation import Says
from mailflow.mail.trust.answers import Answer, Answers
from mailflow.mail.trust.errors import TrustError, TrustUndetermined
from mailflow.mail.trust.names import ComparableName, comparable
from mailflow.mail.trust.revocation_list import (
    ALL_REASONS,
    Point,
    RevocationList,
    Scope,
    UnusableList,
    points_of,
)

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the future a list may have been published."""
SIGNERS_DEPTH_MAX = 3
"""How often the signer of a list may be vouched for by a list of yet another signer."""

Path = Sequence[x509.Certificate]
ListSigners = Callable[[ComparableName, x509.Certificate, datetime], Iterable[Path]]
"""The paths of those who may sign lists under a name, to this anchor at this time (`Paths.list_signers`)."""


def _nobody(_: ComparableName, __: x509.Certificate, ___: datetime) -> Iterable[Path]:
    return ()


@dataclass(frozen=True, slots=True)
class Consulted:
    """What an answer rests on."""

    lists: set[bytes] = field(default_factory=set)
    """SHA-256 of each list."""
    answers: set[bytes] = field(default_factory=set)
    """SHA-256 of each OCSP answer."""
    signers: set[x509.Certificate] = field(default_factory=set)
    """Signers of lists that stand on none of the paths, with the authorities above them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One certificate that is asked about, and on behalf of which others."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    anchor: x509.Certificate
    at: datetime
    consulted: Consulted
    asked: tuple[x509.Certificate, ...] = ()


class _Signed(NamedTuple):
    """A list that counts."""

    known: RevocationList
    signer: x509.Certificate
    until: datetime
    """How long the signer is known to be good."""
    path: Path = ()
    """The signer's, when it is not of the path that is asked about."""

    def is_of_now(self, at: datetime) -> bool:
        return self.known.published <= at + CLOCK_SKEW

    def may_vouch(self, at: datetime) -> bool:
        return self.is_of_now(at) and at <= self.expires

    @property
    def expires(self) -> datetime:
        return min(self.known.expires, self.until)


class RevocationLists:
    """All lists of one generation, by issuer, the newest first."""

    def __init__(
        self, lists: Sequence[bytes], list_signers: ListSigners = _nobody, answers: Sequence[bytes] = ()
    ) -> None:
        self._list_signers = list_signers
        self._answers = Answers(answers)
        self._by_issuer: dict[ComparableName, list[RevocationList]] = {}
        unusable: list[str] = []
        for der in lists:
            try:
                known = RevocationList(der)
            except UnusableList as error:
                unusable.append(str(error))
                continue
            self._by_issuer.setdefault(known.issuer, []).append(known)
        for of_issuer in self._by_issuer.values():
            of_issuer.sort(key=lambda known: (known.published, known.number or 0), reverse=True)
        self.unusable = tuple(unusable)
        """Why lists were left aside, for `mailflow check-config`."""

    def check(self, paths: Sequence[Path], at: datetime, consulted: Consulted | None = None) -> datetime:
        """The instant until which nothing newer needs to be known. The anchor, last of a path, is not asked about.

        What the answer rests on is added to `consulted`.
        Raises TrustError `CERTIFICATE_REVOKED` if any certificate of any path is, else TrustUndetermined if the
        state of one is unknown at `at`.
        """
        until: list[datetime] = []
        unknown: TrustUndetermined | None = None
        seen = Consulted() if consulted is None else consulted
        for path in paths:
            for certificate, issuer in pairwise(path):
                try:
                    asked = _Question(certificate=certificate, issuer=issuer, anchor=path[-1], at=at, consulted=seen)
                    until.append(self._ask(asked))
                except TrustUndetermined as error:
                    unknown = error
        if unknown is not None:
            raise unknown
        return min(until)

    def _ask(self, question: _Question) -> datetime:
        """Until when the certificate is known not to be revoked. A list of whatever scope may refuse it."""
        certificate, at = question.certificate, question.at
        who = f"serial number {certificate.serial_number:x}"
        why = "no usable list of its issuer"
        points = points_of(certificate)
        covered = frozenset[ReasonFlags]()
        until: list[datetime] = []
        good = self._answered(question)
        for lists in self._by_scope(question, points):
            complete = next((s for s in lists if s.known.base is None and s.is_of_now(at)), None)
            if _names(certificate, lists, complete, at):
                raise TrustError(Code.CERTIFICATE_REVOKED, who)
            if complete is None:
                continue
            reasons = complete.known.reasons_covered(certificate, points)
            if not reasons:
                continue
            if not complete.may_vouch(at):
                why = f"the list of its issuer ended {complete.expires:%Y-%m-%d %H:%M}Z"
                continue
            covered |= reasons
            relied_on = (complete, *_changes(lists, complete, at))
            until += [s.expires for s in relied_on]
            question.consulted.lists.update(s.known.digest for s in relied_on)
            question.consulted.signers.update(c for s in relied_on for c in s.path)
        if covered == ALL_REASONS:
            return min(until)
        if good is None:
            raise TrustUndetermined(f"{who}: {why}")
        question.consulted.answers.add(good.digest)
        return good.expires

    def _answered(self, question: _Question) -> Answer | None:
        """The answer that says longest that it is good, if any does. Raises TrustError when one says: revoked."""
        certificate, at = question.certificate, question.at

        def vouched(responder: x509.Certificate, issuer: x509.Certificate) -> bool:
            return self._signer_until((responder, issuer), question) is not None

        answers = self._answers.about(certificate, question.issuer, at, vouched)
        if any(answer.says is Says.REVOKED for answer in answers):
            raise TrustError(Code.CERTIFICATE_REVOKED, f"serial number {certificate.serial_number:x}")
        good = (a for a in answers if a.says is Says.GOOD and a.published <= at + CLOCK_SKEW and at <= a.expires)
        return max(good, key=lambda answer: answer.expires, default=None)

    def _by_scope(self, question: _Question, points: Sequence[Point]) -> Iterable[list[_Signed]]:
        """The lists that may name the certificate; those of one publisher and scope together, the newest first."""
        publishers = {comparable(question.certificate.issuer)}.union(*(point.issuers for point in points))
        found: dict[tuple[ComparableName, Scope], list[_Signed]] = {}
        for publisher in publishers:
            for known in self._by_issuer.get(publisher, ()):
                signed = self._signed(known, question)
                if signed is not None:
                    found.setdefault((publisher, known.scope), []).append(signed)
        return found.values()

    def _signed(self, known: RevocationList, question: _Question) -> _Signed | None:
        if not known.is_allowed(question.at):
            return None
        for signer in (question.issuer, question.anchor):
            if comparable(signer.subject) == known.issuer and known.is_signed_by(signer):
                return _Signed(known, signer, known.expires)
        for path in self._list_signers(known.issuer, question.anchor, question.at):
            if known.is_signed_by(path[0]):
                until = self._signer_until(path, question)
                if until is not None:
                    return _Signed(known, path[0], until, path)
        return None

    def _signer_until(self, path: Path, question: _Question) -> datetime | None:
        """How long the signer of a list is known to be good; None: it is not, and its lists count as missing."""
        signer, asked = path[0], (*question.asked, question.certificate)
        if signer in asked:
            return signer.not_valid_after_utc if _publishes_for_itself(signer) else None
        if len(asked) > SIGNERS_DEPTH_MAX:
            return None
        until = [certificate.not_valid_after_utc for certificate in path]
        try:
            for certificate, issuer in pairwise(path):
                until.append(self._ask(replace(question, certificate=certificate, issuer=issuer, asked=asked)))
        except (TrustError, TrustUndetermined):
            return None
        return min(until)


def _names(certificate: x509.Certificate, lists: Sequence[_Signed], complete: _Signed | None, at: datetime) -> bool:
    """Whether what is published for one scope revokes it. What the newest complete list superseded is not asked."""
    changes = _changes(lists, complete, at)
    for signed in lists:
        said = signed.known.says(certificate)
        if said:
            return True
        if signed is complete or (said is False and signed in changes):
            return False
    return False


def _changes(lists: Sequence[_Signed], complete: _Signed | None, at: datetime) -> list[_Signed]:
    """The deltas that may take a certificate off the complete list: of now, and by its very signer."""
    if complete is None:
        return []
    return [s for s in lists if s.signer == complete.signer and s.may_vouch(at) and s.known.changes(complete.known)]


def _publishes_for_itself(signer: x509.Certificate) -> bool:
    """Whether its issuer says that the signer's own list is where it would be listed."""
    return any(comparable(signer.subject) in point.issuers for point in points_of(signer))
