"""What has to be renewed in time: of each sender the last certificate, of each authority the newest list."""

from dataclasses import replace
from datetime import timedelta

from cryptography import x509

from mailflow.app.status import sender_expiries
from mailflow.core.expiry import announced, endings
from mailflow.core.model import CertificateUse, Standing
from mailflow.demo.pki import DAY, Pki
from mailflow.mail.trust.expiry import lists_end, validity
from tests.support.pki import AT
from tests.support.trust import a_sender, enrolled

PKI = Pki(at=AT)
OLD, NEW = PKI.issue("old", ends=10 * DAY), PKI.issue("new", ends=400 * DAY)
SIGN, ENCRYPT = CertificateUse


def test_a_sender_needs_another_certificate_before_its_last_one_ends() -> None:
    sender = a_sender(enrolled(OLD, SIGN), enrolled(NEW, SIGN), enrolled(OLD, ENCRYPT), code="lille")
    assert {(one.kind, one.name): one.at for one in sender_expiries([sender])} == {
        ("sender-sign", "lille"): AT + 400 * DAY,
        ("sender-encrypt", "lille"): AT + 10 * DAY,
    }


def test_what_is_suspended_counts_for_nothing() -> None:
    suspended = replace(enrolled(NEW, SIGN), standing=Standing.SUSPENDED)
    sender = a_sender(enrolled(OLD, SIGN), suspended, code="lille")
    assert [one.at for one in sender_expiries([sender])] == [AT + 10 * DAY]
    assert list(sender_expiries([replace(sender, standing=Standing.SUSPENDED)])) == []


def test_a_certificate_that_cannot_be_read_is_told_of_by_others() -> None:
    sender = a_sender(replace(enrolled(OLD, SIGN), der=b"no certificate"), code="lille")
    assert list(sender_expiries([sender])) == []


def test_of_each_authority_the_newest_list_counts() -> None:
    root = PKI.crl(PKI.root)
    older = PKI.crl(PKI.issuing_ec, published=AT - 30 * DAY, lasts=60 * DAY)
    newer = PKI.crl(PKI.issuing_ec, published=AT - DAY, lasts=7 * DAY)
    named = [("broken.crl", b"no list"), ("root.crl", root), ("new.crl", newer), ("old.crl", older)]
    for lists in (named, named[::-1]):
        assert lists_end(lists) == {"root.crl": AT - timedelta(hours=1) + 7 * DAY, "new.crl": AT + 6 * DAY}


def test_what_has_ended_is_followed_by_what_began_later_but_holds_now() -> None:
    later = PKI.issue("later", starts=20 * DAY, ends=400 * DAY)
    sender = a_sender(enrolled(OLD, SIGN), enrolled(later, SIGN))
    assert [one.certificate.der for one in endings([sender], validity, AT + 15 * DAY)] == [OLD.der, later.der]
    assert [one.certificate.der for one in endings([sender], validity, AT + 21 * DAY)] == [later.der]


def test_the_nearest_day_of_announcement_counts_and_what_has_ended_stays_announced() -> None:
    days = {left: announced(AT + left * DAY, AT) for left in (61, 60, 31, 30, 8, 7, 0, -3)}
    assert days == {61: None, 60: 60, 31: 60, 30: 30, 8: 30, 7: 7, 0: 7, -3: 7}


def test_lists_of_different_scope_end_each_for_itself_and_deltas_do_not_matter() -> None:
    scope = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    whole = PKI.crl(PKI.root, published=AT - 2 * DAY)
    part = PKI.crl(PKI.root, published=AT - DAY, extra=[(scope, True)])
    delta = PKI.crl(PKI.root, published=AT, lasts=DAY, extra=[(x509.DeltaCRLIndicator(1), True)])
    assert lists_end([("whole", whole), ("part", part), ("delta", delta)]) == {
        "whole": AT + 5 * DAY,
        "part": AT + 6 * DAY,
    }
