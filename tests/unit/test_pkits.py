"""Paths against the PKI test suite of NIST (PKITS 2011): what it holds to be valid or invalid, and what we say."""

from dataclasses import replace

import pytest

from mailflow.mail.trust import HOUSE_POLICY, PathPolicy
from tests.support.pkits import Row, archive, table, verdict

ROWS = table()
SUITE = PathPolicy(authorities_may_sign=True)
"""The suite's default settings: any policy, and holders that are authorities themselves."""

EXCEPTIONS = {
    # DSA is in no table of ours, and the library reads no key whose parameters stand in another certificate.
    "ValidDSASignaturesTest4",
    "ValidDSAParameterInheritanceTest5",
}
"""Valid for NIST, refused here under any policy."""

AUTHORITIES_AS_HOLDERS = {
    "OverlappingPoliciesTest6",
    "ValidonlyContainsCACertsCRLTest13",
    "ValidpathLenConstraintTest8",
    "ValidpathLenConstraintTest14",
}
"""Valid for NIST and on their paths; the house lets no authority sign mails."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.test)
def test_every_test_comes_out_as_the_table_says(row: Row) -> None:
    got = verdict(row.test, SUITE)
    assert got == row.got
    assert (got == "accepted") == (row.valid and row.test not in EXCEPTIONS)


def test_the_table_is_whole() -> None:
    mails = {name for name in archive() if name.endswith(".eml")}
    assert {f"smime/Signed{row.test}.eml" for row in ROWS} == mails
    assert len(ROWS) == 224
    assert sum(row.valid for row in ROWS) == 103


@pytest.mark.parametrize("test", sorted(AUTHORITIES_AS_HOLDERS))
def test_the_house_lets_no_authority_sign_mails(test: str) -> None:
    assert verdict(test, HOUSE_POLICY) == "KEY_USAGE_REFUSED (the certificate of an authority)"


def test_the_house_accepts_all_else_that_is_valid_and_nothing_that_is_not() -> None:
    accepted = {row.test for row in ROWS if verdict(row.test, HOUSE_POLICY) == "accepted"}
    assert accepted == {row.test for row in ROWS if row.valid} - EXCEPTIONS - AUTHORITIES_AS_HOLDERS


# The inputs of sections 4.8 to 4.12: the same paths under other initial settings


def _policies(*numbers: int) -> frozenset[str]:
    return frozenset(f"2.16.840.1.101.3.2.1.48.{number}" for number in numbers)


EXPLICIT = replace(SUITE, explicit=True)
NO_MAPPING = replace(SUITE, no_mapping=True)
NO_ANY = replace(SUITE, no_any_policy=True)
ACCEPTED, REFUSED = "accepted", "PATH_REFUSED (no valid certificate policy)"


def _wanting(*numbers: int, policy: PathPolicy = SUITE) -> PathPolicy:
    return replace(policy, policies=_policies(*numbers))


@pytest.mark.parametrize(
    ("test", "policy", "got"),
    [
        ("AllCertificatesSamePolicyTest1", EXPLICIT, ACCEPTED),
        ("AllCertificatesSamePolicyTest1", _wanting(1, policy=EXPLICIT), ACCEPTED),
        ("AllCertificatesSamePolicyTest1", _wanting(2, policy=EXPLICIT), REFUSED),
        ("AllCertificatesSamePolicyTest1", _wanting(1, 2, policy=EXPLICIT), ACCEPTED),
        ("AllCertificatesNoPoliciesTest2", EXPLICIT, REFUSED),
        ("DifferentPoliciesTest3", EXPLICIT, REFUSED),
        ("DifferentPoliciesTest3", _wanting(1, 2, policy=EXPLICIT), REFUSED),
        ("OverlappingPoliciesTest6", _wanting(1), ACCEPTED),
        ("OverlappingPoliciesTest6", _wanting(2), REFUSED),
        ("AllCertificatesSamePoliciesTest10", _wanting(1), ACCEPTED),
        ("AllCertificatesSamePoliciesTest10", _wanting(2), ACCEPTED),
        ("AllCertificatesAnyPolicyTest11", _wanting(1), ACCEPTED),
        ("AllCertificatesAnyPolicyTest11", _wanting(1, policy=EXPLICIT), ACCEPTED),
        ("AllCertificatesSamePoliciesTest13", _wanting(1), ACCEPTED),
        ("AllCertificatesSamePoliciesTest13", _wanting(2), ACCEPTED),
        ("AllCertificatesSamePoliciesTest13", _wanting(3), ACCEPTED),
        ("AnyPolicyTest14", _wanting(1), ACCEPTED),
        ("AnyPolicyTest14", _wanting(2), REFUSED),
        ("UserNoticeQualifierTest18", _wanting(1), ACCEPTED),
        ("UserNoticeQualifierTest18", _wanting(2), ACCEPTED),
        ("CPSPointerQualifierTest20", _wanting(1, policy=EXPLICIT), ACCEPTED),
        ("ValidPolicyMappingTest1", _wanting(1), ACCEPTED),
        ("ValidPolicyMappingTest1", _wanting(2), REFUSED),
        ("ValidPolicyMappingTest1", NO_MAPPING, REFUSED),
        ("InvalidPolicyMappingTest2", NO_MAPPING, REFUSED),
        ("ValidPolicyMappingTest3", _wanting(1), REFUSED),
        ("ValidPolicyMappingTest3", _wanting(2), ACCEPTED),
        ("ValidPolicyMappingTest5", _wanting(1), ACCEPTED),
        ("ValidPolicyMappingTest5", _wanting(6), REFUSED),
        ("ValidPolicyMappingTest6", _wanting(1), ACCEPTED),
        ("ValidPolicyMappingTest6", _wanting(6), REFUSED),
        ("ValidPolicyMappingTest9", _wanting(1), ACCEPTED),
        ("ValidPolicyMappingTest9", _wanting(2), REFUSED),
        ("ValidPolicyMappingTest12", _wanting(1), ACCEPTED),
        ("ValidPolicyMappingTest12", _wanting(2), ACCEPTED),
        ("ValidPolicyMappingTest13", _wanting(1, 2), ACCEPTED),
        ("ValidPolicyMappingTest13", _wanting(2), REFUSED),
        ("inhibitAnyPolicyTest3", NO_ANY, REFUSED),
    ],
)
def test_the_initial_settings_decide_under_which_policies_a_path_holds(test: str, policy: PathPolicy, got: str) -> None:
    assert verdict(test, policy) == got
