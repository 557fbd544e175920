"""OCSP answers are fetched ahead of time for what is enrolled; `openssl ocsp` is the responder."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailflow.core.revocation import Says
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY
from mailflow.mail.refreshing import SIDE_BY_SIDE
from mailflow.register import Register, revocations
from tests.integration.test_revocation_fetched import ends, failures
from tests.servers.ocsp import openssl_responder
from tests.servers.process import free_ports
from tests.servers.web import Web, web
from tests.support.fetching import HOUR, LIST, ROOT_LIST, Office, answered_at


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
async def office(register: Register, site: Web, tmp_path: Path) -> Office:
    """Of the issuing authority there is no list: only a responder can vouch for its certificates."""
    made = Office(web=site, register=register, folder=tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    del site.pages[LIST]
    return made


async def said(office: Office) -> set[Says | None]:
    async with office.register.read() as tx:
        return {one.says for one in await revocations.sources(tx) if one.key.about}


def certified(office: Office) -> Identity:
    """A responder that is not asked about itself."""
    return office.pki.issue(
        "responder",
        by=office.issuing,
        usage="sign",
        extended_usage=(ExtendedKeyUsageOID.OCSP_SIGNING,),
        extra=[(x509.OCSPNoCheck(), False)],
    )


@pytest.mark.parametrize("signer", ["the issuer", "a responder of its own"])
async def test_a_responder_says_good_revoked_and_unknown(office: Office, tmp_path: Path, signer: str) -> None:
    (port,) = free_ports(1)
    where = answered_at(f"http://127.0.0.1:{port}/ocsp")
    good, gone, strange = (office.issue(name, where) for name in ("good", "gone", "strange"))
    for one in (good, gone, strange):
        await office.enrol(one)
    office.issuing.revoked[gone.certificate.serial_number] = office.now - HOUR
    responder = certified(office) if signer != "the issuer" else None
    refresher = office.refresher(hosts=frozenset({office.web.host, f"127.0.0.1:{port}"}))
    with openssl_responder(tmp_path / "ocsp", office.issuing, [good, gone], responder=responder, port=port):
        office.now = datetime.now(UTC)
        assert await refresher.refresh() == 5, "two lists and three answers"
    assert list(await failures(office)) == [office.web.url(LIST)], "which is not published"
    assert await said(office) == {Says.GOOD, Says.REVOKED, Says.UNKNOWN}
    trust = await office.trust()
    assert [ends(trust, office, one) for one in (good, gone, strange)] == ["good", "revoked", "unknown"]
    office.now += HOUR
    await refresher.refresh()
    assert len(await failures(office)) == 2, "the responder is away, what it said stays"
    assert ends(await office.trust(), office, good) == "good"
    office.now += DAY
    office.publish(at=office.now)
    del office.web.pages[LIST]
    await refresher.refresh()
    assert [ends(await office.trust(), office, one) for one in (good, gone)] == ["unknown", "revoked"]


async def test_an_answer_that_openssl_signed_for_others_is_not_believed(office: Office, tmp_path: Path) -> None:
    """Somebody with a certificate of the same authority, which is not for answering."""
    (port,) = free_ports(1)
    leaf = office.issue("leaf with a responder", answered_at(f"http://127.0.0.1:{port}/"))
    await office.enrol(leaf)
    refresher = office.refresher(hosts=frozenset({office.web.host, f"127.0.0.1:{port}"}))
    with openssl_responder(tmp_path / "ocsp", office.issuing, [leaf], responder=office.leaf, port=port):
        office.now = datetime.now(UTC)
        await refresher.refresh()
    reasons = (await failures(office)).values()
    assert "not signed by the issuer, nor by a responder of its own" in reasons
    assert ends(await office.trust(), office, leaf) == "unknown"


async def test_a_responder_elsewhere_is_not_asked(office: Office) -> None:
    leaf = office.issue("leaf of elsewhere", answered_at("http://127.0.0.1:9/"))
    await office.enrol(leaf)
    refresher = office.refresher()
    assert (await refresher.sources(office.now)).left_out == ("http://127.0.0.1:9/",)
    await refresher.refresh()
    assert {path for path, _ in office.web.asked} == {LIST, ROOT_LIST}


async def test_a_silent_responder_is_waited_for_once_in_a_round(office: Office) -> None:
    office.web.pages[LIST] = office.pki.crl(office.issuing, published=office.now)
    silent = office.web.url("/silent")
    office.web.posts["/silent"] = lambda _: b"0" * 100
    for number in range(12):
        await office.enrol(office.issue(f"leaf {number}", answered_at(silent)))
    refresher = office.refresher(seconds_max=1)
    await refresher.refresh()
    office.now += HOUR
    office.web.asked.clear()
    office.web.stalls = True
    await refresher.refresh()
    assert [path for path, _ in office.web.asked].count("/silent") == SIDE_BY_SIDE, "of twelve"
    assert (await failures(office))[silent] == "no whole answer in 1 seconds"
