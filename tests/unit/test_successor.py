"""A certificate offered by a signed mail: its key is proven, it may follow the one that signed, and never do more."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from mailflow.core.model import CertificateUse
from mailflow.demo import certificates
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Fault
from mailflow.mail import cms, entities, pem
from mailflow.mail.cms import SigningKey
from mailflow.mail.judge import Judge
from mailflow.mail.successor import write_statement, write_successor
from tests.support.judging import (
    SERVICE,
    a_judge,
    accepted,
    conseil,
    dem_part,
    explain,
    mailed,
    mairie,
    multipart,
    refused,
    signed,
    undetermined,
)
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_trust, enrolled

OTHER = shared_pki().issue("another of the mairie")
UNPROVEN = ("new certificate", "SUCCESSOR_UNPROVEN")
REFUSED = ("new certificate", "SUCCESSOR_REFUSED")


def the_file(new: Identity, *, service: str = SERVICE, follows: str | None = None, days_ago: int = 0) -> bytes:
    key = SigningKey(private_key=new.key, certificate=new.der, chain=(), pss=False)  # a weak one too
    fingerprint = follows or mairie().identity.fingerprint
    return write_successor(service, fingerprint, key, AT - timedelta(days=days_ago))


def offering(octets: bytes, *parts: bytes) -> bytes:
    """A mail of the mairie that offers this file."""
    part = entities.file_part("NCE59123-202603021000.pem", octets, "application/x-pem-file")
    return mailed(signed(multipart(part, *parts)))


def new(name: str = "successor") -> Identity:
    return shared_pki().issue(name)


def test_a_mail_may_offer_a_certificate_alone_and_beside_requests() -> None:
    successor = new()
    for parts in ((), (dem_part(),)):
        verdict = accepted(offering(the_file(successor), *parts))
        last = explain(offering(the_file(successor), *parts))[1][-1]
        assert (last.name, last.detail) == ("new certificate", "sign encrypt")
        assert verdict.successor is not None
        assert verdict.successor.certificate == successor.der
        assert verdict.successor.fingerprint == hashlib.sha256(successor.der).hexdigest()
        assert verdict.successor.follows == mairie().identity.fingerprint
        assert set(verdict.successor.uses) == set(CertificateUse)
        assert len(verdict.submission.files) == len(parts)


def test_white_space_and_case_of_the_statement_do_not_matter() -> None:
    successor = new()
    statement = write_statement(SERVICE.upper(), mairie().identity.fingerprint.upper()).replace(b"\r\n", b" \n")
    key = cms.load_signing_key(successor.key_pem, successor.pem)
    octets = pem.written(cms.sign(statement, key, at=AT, detached=False), pem.CMS).encode()
    assert accepted(offering(octets)).successor is not None


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(lambda: new().pem, id="a certificate without any proof"),
        pytest.param(lambda: b"", id="nothing"),
        pytest.param(lambda: the_file(new(), service="demandes@elsewhere.example"), id="for another service"),
        pytest.param(lambda: the_file(new(), follows=conseil().identity.fingerprint), id="to follow somebody else's"),
        pytest.param(lambda: the_file(new()).replace(b"MI", b"MJ", 1), id="spoilt"),
        pytest.param(lambda: the_file(shared_pki().faulty(Fault.P192)), id="by a key too weak to prove anything"),
    ],
)
def test_what_proves_no_possession_is_refused_by_name(octets: Callable[[], bytes]) -> None:
    step, code = refused(offering(octets()), answered=True)
    assert (step, code) in (UNPROVEN, REFUSED)


def test_a_signature_by_another_key_under_the_certificate_is_refused() -> None:
    thief, victim = new("thief"), new("victim")
    key = cms.load_signing_key(thief.key_pem, thief.pem)
    structure = cms.sign(write_statement(SERVICE, mairie().identity.fingerprint), key, at=AT, detached=False)
    octets = pem.written(structure.replace(thief.der, victim.der), pem.CMS).encode()
    assert refused(offering(octets), answered=True) == UNPROVEN


@pytest.mark.parametrize("fault", [Fault.EXPIRED, Fault.REVOKED, Fault.OTHER_AUTHORITY, Fault.TLS_ONLY, Fault.RSA_1024])
def test_it_passes_what_an_enrolled_one_passes(fault: Fault) -> None:
    step, code = refused(offering(the_file(shared_pki().faulty(fault))), answered=True)
    assert (step, code) in (REFUSED, UNPROVEN)


def test_one_that_cannot_be_checked_now_is_judged_again_later() -> None:
    assert undetermined(offering(the_file(shared_pki().faulty(Fault.MISSING_CRL))), a_judge()).detail


def test_it_is_of_the_same_organisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(common_name: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "Somebody else"), (NameOID.COMMON_NAME, common_name))
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])

    with monkeypatch.context() as patch:
        patch.setattr(certificates, "name_of", elsewhere)
        stranger = new("of-others")
    assert refused(offering(the_file(stranger)), answered=True) == REFUSED


def test_what_another_has_is_no_successor_and_what_its_sender_has_changes_nothing() -> None:
    assert refused(offering(the_file(conseil().identity)), answered=True) == REFUSED
    assert accepted(offering(the_file(mairie().identity), dem_part())).submission.files


def test_an_old_proof_is_refused() -> None:
    assert refused(offering(the_file(new(), days_ago=8)), answered=True)[0] == "new certificate"


def test_it_may_do_no_more_than_the_one_that_it_follows() -> None:
    only_signs = replace(mairie().enrolment(), certificates=(enrolled(mairie().identity),))
    judge: Judge = a_judge(a_trust(only_signs))
    verdict = accepted(offering(the_file(new())), judge)
    assert verdict.successor is not None
    assert verdict.successor.uses == (CertificateUse.SIGN,)
    read_by_another = replace(
        mairie().enrolment(), certificates=(enrolled(mairie().identity), enrolled(OTHER, CertificateUse.ENCRYPT))
    )
    verdict = accepted(offering(the_file(new())), a_judge(a_trust(read_by_another)))
    assert verdict.successor is not None
    assert verdict.successor.uses == (CertificateUse.SIGN,), "what is encrypted goes to the other one"
    only_signing_key = shared_pki().issue("signs-only", usage="sign")
    verdict = accepted(offering(the_file(only_signing_key)))
    assert verdict.successor is not None
    assert verdict.successor.uses == (CertificateUse.SIGN,)


def test_a_mail_offers_one_at_most() -> None:
    first, second = the_file(new()), the_file(new("another"))
    part = entities.file_part("NCE59123-202603021001.pem", second, "application/x-pem-file")
    assert refused(offering(first, part), answered=True) == ("contents", "MAIL_SEVERAL_CERTIFICATES")
