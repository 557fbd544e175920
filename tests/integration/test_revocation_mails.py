"""Mails beside the job that fetches revocation lists: they wait for it, are overtaken by it, and survive its kill."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from mailflow.core.anomalies import Code
from mailflow.core.model import Directory
from mailflow.demo.pki import Authority
from mailflow.mail import worker
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Verdict
from mailflow.mail.refreshing import Refresher, RefreshTerms
from mailflow.mail.trust import TrustMaterial
from mailflow.mail.trust.sources import Admitted
from mailflow.register import Register, cases, revocations
from mailflow.register.cases import MAIL, Filter
from tests.integration.test_jobs_killed import Killed, Mortal
from tests.servers.web import Web, web
from tests.support.doors import PACE, House, InProcess, Shelf
from tests.support.judging import a_mail, dem_part, mairie
from tests.support.pki import shared_pki

LIST = "/issuing.crl"
HOUR = timedelta(hours=1)


class Fetching(Shelf):
    """The list of the issuer of the sender's certificate is no file: it is fetched, or there is none."""

    def __init__(self, register: Register) -> None:
        super().__init__()
        self.register = register
        self.made: TrustMaterial | None = None

    async def material(self, directory: Directory) -> TrustMaterial:
        if self.made is None or self.made.directory.generation != directory.generation:
            listed = await super().material(directory)
            issuer = mairie().identity.certificate.issuer
            files = [der for der in listed.crls if x509.load_der_x509_crl(der).issuer != issuer]
            async with self.register.read() as tx:
                self.made = replace(listed, crls=tuple(files), fetched=await revocations.fetched(tx))
        return self.made


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
async def house(register: Register) -> House:
    made = House(register, shelf=Fetching(register))
    await made.enrol()
    return made


def publish(site: Web, at: datetime, *, revoking: bool = False) -> None:
    issuing, serial = shared_pki().issuing_ec, mairie().identity.certificate.serial_number
    authority = Authority(identity=issuing.identity, revoked={serial: at} if revoking else {})
    site.pages[LIST] = shared_pki().crl(authority, published=at)


def refresher(house: House, site: Web, register: Any = None) -> Refresher:
    return Refresher(
        register=register or house.register,
        trust=house.shelf,
        terms=RefreshTerms(admitted=Admitted(urls=(site.url(LIST),)), every=HOUR, bytes_max=1 << 20, seconds_max=5),
        clock=lambda: house.now,
    )


async def a_mail_comes(house: House, number: int) -> None:
    house.mailbox.deliver(a_mail(dem_part(number, surname=f"Nom{number}")))
    await worker.receive(house.door())


async def states(house: House) -> list[tuple[str, str | None]]:
    async with house.register.read() as tx:
        found = {item.id: (item.state.value, item.reason) for item in await cases.find(tx, Filter(kinds=[MAIL]))}
    return [found[id_] for id_ in sorted(found)]


WAITS = ("undetermined", Code.REVOCATION_UNKNOWN.value)
REFUSED = ("set_aside", Code.CERTIFICATE_REVOKED.value)


async def test_a_mail_waits_until_a_list_was_fetched(house: House, site: Web) -> None:
    await a_mail_comes(house, 1)
    await worker.process(house.door())
    assert await states(house) == [WAITS]
    publish(site, house.now)
    assert await refresher(house, site).refresh() == 1
    house.now += PACE.undetermined_retry
    await worker.process(house.door())
    assert [state for state, _ in await states(house)] == ["answered"]


async def test_a_list_that_is_fetched_while_a_mail_is_judged_counts_for_it(house: House, site: Web) -> None:
    """The verdict is by the former list; it is not registered, but found anew."""

    class Overtaken(InProcess):
        async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
            verdicts = await super().judge(mails, at)
            if site.pages[LIST] == former:
                publish(site, house.now, revoking=True)
                await refresher(house, site).refresh(at_once=True)
            return verdicts

    publish(site, house.now - HOUR)
    former = site.pages[LIST]
    await refresher(house, site).refresh()
    await a_mail_comes(house, 1)
    door = replace(house.door(), judges=Overtaken())
    for _ in range(3):
        await worker.process(door)
    assert await states(house) == [REFUSED]


@pytest.mark.parametrize("moment", ["before the commit", "after it"])
async def test_a_kill_of_the_refresh_loses_no_mail_and_lets_none_slip_through(
    house: House, site: Web, moment: str
) -> None:
    publish(site, house.now - HOUR)
    await refresher(house, site).refresh()
    publish(site, house.now, revoking=True)
    await a_mail_comes(house, 1)
    mortal = Mortal(house.register, fatal=1 if moment == "before the commit" else 99)
    if moment == "before the commit":
        with pytest.raises(Killed):
            await refresher(house, site, mortal).refresh(at_once=True)
    else:
        await refresher(house, site, mortal).refresh(at_once=True)
    await worker.process(house.door())
    first = (await states(house))[0]
    assert first == REFUSED if moment == "after it" else first[0] == "answered"
    await refresher(house, site).refresh(at_once=True)
    await a_mail_comes(house, 2)
    await worker.process(house.door("another worker"))
    assert await states(house) == [first, REFUSED]
