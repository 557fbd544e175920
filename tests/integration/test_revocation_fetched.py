"""Revocation lists are fetched ahead of time into the register, and every process judges by them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY, Pki
from mailflow.mail.trust import Trust, TrustError, TrustUndetermined
from mailflow.register import Register, revocations
from tests.integration.test_jobs_killed import Killed, Mortal
from tests.servers.web import Web, web
from tests.support.databases import VAULT
from tests.support.fetching import DELTA, HOUR, LIST, MINUTE, ROOT_LIST, Office, at_url
from tests.support.pki import AT


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
async def office(register_url: str, site: Web, tmp_path: Path) -> AsyncIterator[Office]:
    made = Office(web=site, register=Register.open(register_url, VAULT), folder=tmp_path)
    await made.enrol(made.leaf)
    yield made
    await made.register.close()


def ends(trust: Trust, office: Office, leaf: Identity | None = None) -> str:
    """How a certificate fares: `good`, `revoked` or `unknown`."""
    try:
        trust.check_enrolment((leaf or office.leaf).der, CertificateUse.SIGN, office.now)
    except TrustUndetermined:
        return "unknown"
    except TrustError as error:
        return "revoked" if error.code is Code.CERTIFICATE_REVOKED else error.code.name
    return "good"


async def failures(office: Office) -> dict[str, str | None]:
    async with office.register.read() as tx:
        return {one.key.url: one.failure for one in await revocations.sources(tx) if one.failures}


async def test_lists_of_enrolled_certificates_are_fetched_and_every_process_judges_by_them(
    office: Office, register_url: str
) -> None:
    assert ends(await office.trust(), office) == "unknown", "nothing was fetched yet"
    assert await office.refresher().refresh() == 2
    assert sorted(office.web.asked) == [(LIST, 200), (ROOT_LIST, 200)]
    other = Register.open(register_url, VAULT)
    assert ends(await office.trust(other), office) == "good"
    office.now += HOUR
    office.publish(revoked=office.leaf)
    assert await office.refresher().refresh() == 2
    assert ends(await office.trust(other), office) == "revoked"
    await other.close()


async def test_what_has_not_changed_is_not_sent_again_and_nothing_is_judged_anew(office: Office) -> None:
    refresher = office.refresher()
    await refresher.refresh()
    before = await office.generation()
    assert await refresher.refresh() == 0, "nothing is due"
    office.now += HOUR
    assert await refresher.refresh() == 2
    assert [status for _, status in office.web.asked] == [200, 200, 304, 304]
    assert await office.generation() == before
    office.publish()
    assert await refresher.refresh(at_once=True) == 2
    assert await office.generation() == before + 2


async def test_who_was_asked_by_a_clock_that_was_ahead_is_asked_by_one_that_is_right(office: Office) -> None:
    """Else nobody would be until that time has come, and the lists would end before."""
    office.now += DAY / 2
    assert await office.refresher().refresh() == 2
    office.now -= DAY / 2
    assert await office.refresher().refresh() == 2
    assert await office.refresher().refresh() == 0


async def test_a_list_that_ends_while_its_server_is_away_leaves_all_undetermined(office: Office) -> None:
    refresher = office.refresher()
    await refresher.refresh()
    office.web.status = 503
    office.now += DAY - MINUTE
    await refresher.refresh()
    assert ends(await office.trust(), office) == "good"
    office.now += 2 * MINUTE
    assert ends(await office.trust(), office) == "unknown"
    office.web.status = 200
    office.publish()
    office.now += 3 * MINUTE
    assert await refresher.refresh() == 2, "five minutes after it failed"
    assert (ends(await office.trust(), office), await failures(office)) == ("good", {})


async def test_nobody_is_asked_whom_the_settings_do_not_admit(office: Office) -> None:
    for hosts in (frozenset[str](), frozenset({"127.0.0.1"}), frozenset({"crl.example:80"})):
        refresher = office.refresher(hosts=hosts, urls=("http://127.0.0.1:1/never",) if not hosts else ())
        known = await refresher.sources(office.now)
        assert known.left_out == (office.web.url(LIST), office.web.url(ROOT_LIST))
        await refresher.refresh()
    assert office.web.asked == []


async def test_what_is_not_enrolled_or_leads_to_no_anchor_is_not_followed(office: Office) -> None:
    """Whatever a mail brings: only enrolled certificates with a path are looked at."""
    elsewhere = (x509.CRLDistributionPoints([at_url(office.web.url("/strange"))]), False)
    stranger = Pki(at=AT).issue("stranger", extra=[elsewhere])
    await office.enrol(stranger)
    office.pki.issue("never enrolled", by=office.issuing, extra=[elsewhere])
    await office.refresher().refresh()
    assert {path for path, _ in office.web.asked} == {LIST, ROOT_LIST}


async def test_a_certificate_that_has_ended_is_asked_about_for_a_while(office: Office) -> None:
    """A mail that came on its last day may be judged later."""
    refresher = office.refresher()
    last = office.leaf.certificate.not_valid_after_utc
    for days, wanted in ((0, 2), (29, 2), (31, 1)):
        assert len((await refresher.sources(last + days * DAY)).wanted) == wanted, "of the intermediate there is one"


async def test_a_list_of_the_settings_is_fetched_and_a_delta_of_it_counts(office: Office) -> None:
    urls = tuple(office.web.url(path) for path in (LIST, ROOT_LIST, DELTA))
    number = int(office.now.timestamp())
    office.issuing.revoked[office.leaf.certificate.serial_number] = office.now
    office.now += MINUTE
    office.web.pages[DELTA] = office.pki.crl(
        office.issuing, published=office.now, extra=[(x509.DeltaCRLIndicator(number), True)]
    )
    refresher = office.refresher(hosts=frozenset(), urls=urls)
    assert await refresher.refresh() == 3
    assert await failures(office) == {}
    assert ends(await office.trust(), office) == "revoked"


async def test_the_place_of_deltas_that_a_list_names_is_asked_too(office: Office) -> None:
    where = (x509.FreshestCRL([at_url(office.web.url(DELTA))]), False)
    office.web.pages[LIST] = office.pki.crl(office.issuing, published=office.now, extra=[where])
    refresher = office.refresher()
    assert await refresher.refresh() == 2
    assert await refresher.refresh() == 1
    assert office.web.asked[-1] == (DELTA, 404)


async def test_a_source_that_nobody_names_any_more_is_forgotten(office: Office) -> None:
    urls = (office.web.url(LIST), office.web.url(ROOT_LIST))
    await office.refresher(hosts=frozenset(), urls=urls).refresh()
    await office.refresher(hosts=frozenset(), urls=urls[1:]).refresh()
    assert ends(await office.trust(), office) == "unknown"


SPOILT: dict[str, tuple[Callable[[Office], None], str]] = {
    "gone": (lambda office: office.web.pages.clear(), "answered 404"),
    "moved": (lambda office: _answer(office, 302, {"Location": "/elsewhere"}), "answered 302"),
    "packed": (lambda office: _packed(office), "answered in a packed form"),
    "no list": (lambda office: _page(office, b"<html>"), "unreadable (ValueError)"),
    "cut short": (lambda office: _page(office, office.web.pages[LIST][:-9]), "unreadable (ValueError)"),
    "forged": (lambda office: _page(office, _forged(office)), "not signed by any configured authority"),
    "another's": (lambda office: _page(office, Pki(at=AT).crls()[0]), "not signed by any configured authority"),
    "played back": (lambda office: office.publish(at=AT - HOUR), "older than the one that is kept"),
    "of tomorrow": (lambda office: office.publish(at=office.now + DAY), "published in the future"),
    "too large": (lambda office: _page(office, bytes(2 << 20)), "answered more than 1048576 octets"),
    "stalls": (lambda office: setattr(office.web, "stalls", True), "no whole answer in 0.5 seconds"),
}


def _answer(office: Office, status: int, headers: dict[str, str]) -> None:
    office.web.status, office.web.headers = status, headers
    office.publish()


def _packed(office: Office) -> None:
    office.publish(lasts=2 * DAY)
    office.web.pages[LIST] = gzip.compress(office.web.pages[LIST])
    office.web.headers = {"Content-Encoding": "gzip"}


def _page(office: Office, page: bytes) -> None:
    office.web.pages[LIST] = page


def _forged(office: Office) -> bytes:
    """A signature that is not that of what stands there."""
    page = office.web.pages[LIST]
    return page[:-1] + bytes([page[-1] ^ 1])


@pytest.mark.parametrize("name", SPOILT)
async def test_what_is_unusable_leaves_what_was_had(office: Office, name: str) -> None:
    spoil, reason = SPOILT[name]
    office.publish(revoked=office.leaf)
    await office.refresher().refresh()
    office.now += HOUR
    office.issuing.revoked.clear()
    office.publish(lasts=3 * DAY)
    spoil(office)
    await office.refresher(seconds_max=0.5 if name == "stalls" else 5).refresh()
    assert (await failures(office))[office.web.url(LIST)] == reason
    assert ends(await office.trust(), office) == "revoked"


async def test_two_processes_do_not_ask_twice(office: Office) -> None:
    office.web.stalls = True
    first, second = office.refresher(), office.refresher()
    asking = asyncio.create_task(first.refresh())
    await office.web.was_asked(2)
    assert await second.refresh() == 0
    office.web.stalls = False
    assert await asking == 2


@pytest.mark.parametrize("moment", ["while it is sent", "before the commit"])
async def test_a_kill_leaves_the_former_lists_or_the_new_ones(office: Office, moment: str) -> None:
    """Nothing is accepted that the former data, or the new ones, refuse; the next round does what was not done."""
    await office.refresher().refresh()
    office.now += HOUR
    office.publish(revoked=office.leaf)
    for kill in _kills(office, moment):
        await kill()
        assert ends(await office.trust(), office) in ("good", "revoked")
    await office.refresher().refresh(at_once=True)
    assert ends(await office.trust(), office) == "revoked"
    assert await failures(office) == {}


def _kills(office: Office, moment: str) -> list[Callable[[], Awaitable[None]]]:
    async def while_sent() -> None:
        office.web.stalls = True
        before = len(office.web.asked)
        asking = asyncio.create_task(office.refresher().refresh(at_once=True))
        await office.web.was_asked(before + 2)
        asking.cancel()
        await asyncio.wait({asking})
        office.web.stalls = False
        assert ends(await office.trust(), office) == "good"

    def before_commit(fatal: int) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            mortal: Any = Mortal(office.register, fatal)
            refresher = office.refresher()
            refresher.register = mortal
            with pytest.raises(Killed):
                await refresher.refresh(at_once=True)

        return kill

    return [while_sent] if moment == "while it is sent" else [before_commit(1)]
