"""Revocation data that are fetched: an authority that publishes on a web server, and whoever asks it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mailflow.core.model import CertificateUse, SenderCode
from mailflow.core.revocation import Fetched
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY, Authority, Pki
from mailflow.mail.refreshing import Refresher, RefreshTerms
from mailflow.mail.trust import Trust
from mailflow.mail.trust.sources import Admitted
from mailflow.mail.trust_files import TrustFiles
from mailflow.register import Register, directory, revocations
from tests.servers.web import Web
from tests.support.pki import AT
from tests.support.trust import WINDOW

LIST, DELTA, ROOT_LIST = "/issuing.crl", "/delta.crl", "/root.crl"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SENDER = SenderCode("lille")


def at_url(url: str) -> x509.DistributionPoint:
    """A distribution point (RFC 5280 section 4.2.1.13)."""
    return x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)


def answered_at(url: str) -> tuple[x509.ExtensionType, bool]:
    """That a responder answers about a certificate there (section 4.2.2.1)."""
    place = x509.UniformResourceIdentifier(url)
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
    return x509.AuthorityInformationAccess([access]), False


@dataclass(slots=True, kw_only=True)
class Office:
    """An authority below a root, with certificates that name where its lists are, on a site of its own."""

    web: Web
    register: Register
    folder: Path
    now: datetime = AT
    pki: Pki = field(init=False)
    issuing: Authority = field(init=False)
    leaf: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.pki = Pki(at=self.now)
        point = (x509.CRLDistributionPoints([at_url(self.web.url(ROOT_LIST))]), False)
        self.issuing = self.pki.authority("issuing", by=self.pki.root, extra=[point])
        self.leaf = self.issue("leaf")
        for name in ("anchors", "intermediates", "crls"):
            (self.folder / name).mkdir()
        (self.folder / "anchors/root.der").write_bytes(self.pki.root.identity.der)
        (self.folder / "intermediates/issuing.der").write_bytes(self.issuing.identity.der)
        self.publish()

    def issue(self, name: str, *extra: tuple[x509.ExtensionType, bool]) -> Identity:
        """A holder's certificate that says where it would be listed."""
        points = (x509.CRLDistributionPoints([at_url(self.web.url(LIST))]), False)
        return self.pki.issue(name, by=self.issuing, extra=[points, *extra])

    def publish(self, *, revoked: Identity | None = None, at: datetime | None = None, lasts: timedelta = DAY) -> None:
        """New lists of both."""
        if revoked is not None:
            self.issuing.revoked[revoked.certificate.serial_number] = self.now
        for path, authority in ((LIST, self.issuing), (ROOT_LIST, self.pki.root)):
            self.web.pages[path] = self.pki.crl(authority, published=at or self.now, lasts=lasts)

    async def enrol(self, identity: Identity) -> None:
        """For signing."""
        change = directory.Change(by="anna", why="contract", at=self.now)
        async with self.register.begin() as tx:
            if SENDER not in [known.code for known in await directory.list_senders(tx)]:
                await directory.add_sender(
                    tx, SENDER, name="Lille", answer_address="a@lille.test", legacy_encryption=False, change=change
                )
            await directory.add_certificate(
                tx,
                SENDER,
                fingerprint=identity.fingerprint,
                der=identity.der,
                use=CertificateUse.SIGN,
                change=change,
            )

    def files(self, register: Register) -> TrustFiles:
        """What an installation on this register trusts."""

        async def fetched() -> Fetched:
            async with register.read() as tx:
                return await revocations.fetched(tx)

        return TrustFiles(
            anchors=self.folder / "anchors",
            intermediates=self.folder / "intermediates",
            revocation_lists=self.folder / "crls",
            window=WINDOW,
            fetched=fetched,
        )

    def refresher(
        self,
        *,
        hosts: frozenset[str] | None = None,
        urls: tuple[str, ...] = (),
        bytes_max: int = 1 << 20,
        seconds_max: float = 5.0,
        register: Register | None = None,
    ) -> Refresher:
        """One process that fetches."""
        of = register or self.register
        return Refresher(
            register=of,
            trust=self.files(of),
            terms=RefreshTerms(
                admitted=Admitted(urls=urls, hosts=frozenset({self.web.host}) if hosts is None else hosts),
                every=HOUR,
                bytes_max=bytes_max,
                seconds_max=seconds_max,
            ),
            clock=lambda: self.now,
        )

    async def trust(self, register: Register | None = None) -> Trust:
        """As another process would judge now."""
        of = register or self.register
        async with of.read() as tx:
            enrolled = await directory.read(tx)
        return Trust(await self.files(of).material(enrolled))

    async def generation(self) -> int:
        async with self.register.read() as tx:
            return await directory.generation(tx)
