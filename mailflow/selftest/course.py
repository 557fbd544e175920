"""One run after the other on the ground: letters are sent, workers are broken, others finish, the oracle judges."""

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mailflow import app
from mailflow.app.parts import smtp_server
from mailflow.cli.invocation import Exit
from mailflow.demo.installation import DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Pki
from mailflow.errors import Unavailable
from mailflow.mail.ports import Outgoing, Sending
from mailflow.mail.smtp import Security, SmtpMailer
from mailflow.register import schemas
from mailflow.selftest import grounds, lines, points
from mailflow.selftest.boxes import Boxes
from mailflow.selftest.crew import COMMAND, Crew, fault_of
from mailflow.selftest.letters import Letter, Writer, desks, message_id
from mailflow.selftest.oracle import Finding, Oracle, Wrong
from mailflow.selftest.points import Fault, Point, Run
from mailflow.selftest.proxy import Break, FaultProxy, Side
from mailflow.selftest.proxy import Fault as LineFault
from mailflow.settings import Settings

DELIVERY_SECONDS_MAX = 60.0
"""How long the mail server may take over a mail to ourselves."""
FINISH_SECONDS_MAX = 240.0
"""After a fault: the wait for the audit mailbox, and what follows it."""
PAUSES = (0.0, 0.5, 5.0)
"""Between the batches that finish; the last one again and again."""

LINES = {"mailbox": "imap", "audit": "imap", "smtp": "smtp"}
MOMENT, TOGETHER = "moment", "together"
KILLED = "killed"
DISCONNECTED = "sessions of PostgreSQL ended"
MOMENTS = tuple(range(5, 105, 5))
"""In per cent of an undisturbed run: what lies between the lines, such as the commits, is met there."""
CREWS = (2, 3, 4)
AT_ONCE, ONE_KILLED = "at once", "at once, one killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one run."""

    reached: bool
    """The fault happened: a run that went another way is judged as well."""
    findings: tuple[Finding, ...]
    seconds: float
    log: Path
    """What its workers said."""


class Course:
    """Plays runs, one at a time."""

    def __init__(
        self,
        *,
        installation: Installation,
        register_url: str,
        writer: Writer,
        crew: Crew,
        mailer: SmtpMailer,
        boxes: Boxes,
    ) -> None:
        self.proxies: Mapping[str, FaultProxy] = {}
        self.greetings: dict[str, bytes] = {}
        """What each server said first."""
        self.seconds = 0.0
        """How long the quickest undisturbed worker worked: a moment after the end would break nothing."""
        self._installation = installation
        self._register_url = register_url
        self._writer = writer
        self._crew = crew
        self._mailer = mailer
        self._boxes = boxes
        self._oracle: Oracle
        self._runs = itertools.count(1)
        self._others = 0

    def at_line(self, protocol: str, side: Side, octets: bytes) -> Break | None:
        """What happens at a line that a proxy passes on."""
        name = lines.name_of(protocol, side, octets)
        how = points.reach(protocol, name) if name else None
        if how == KILLED:
            return Break(fault=LineFault.ACT, act=self._kill)
        return lines.broken(how, octets) if how else None

    async def _kill(self) -> None:
        self._crew.kill()

    async def probe(self) -> None:
        """Find out how often an answer will come: to a mailbox that is both recipients some servers deliver twice."""
        address = self._writer.software[0].address
        await self._post(self._writer.probe(app.now()), recipient=address, audit=address)
        copies = await self._boxes.count_copies(DELIVERY_SECONDS_MAX)
        if not copies:
            raise Unavailable("smtp: a mail to selftest.audit_address did not come into its mailbox")
        self._oracle = Oracle(self._installation, copies)
        self._others = await self._boxes.empty()

    async def trace(self) -> tuple[Played, list[Point]]:
        """An undisturbed run, and the points that it passed."""
        run = Run()
        played = await self._play(run)
        return played, run.passed

    async def play(self, fault: Fault) -> Played:
        """A run with this fault, and what finishes it. Raises Unavailable when a server does not do its part."""
        return await self._play(Run(fault))

    async def _play(self, run: Run) -> Played:
        if self._others:
            raise grounds.Refused(f"{self._others} mails came into the mailboxes that are not of a self-test")
        begun = time.monotonic()
        self._crew.log = self._installation.folder.parent / f"{next(self._runs)}.log"
        letters = self._writer.letters(app.now())
        await self._send(letters)
        said = [*await self._break(run), *await self._finish()]
        await self._boxes.await_copies(partial(self._oracle.enough, letters), DELIVERY_SECONDS_MAX)
        findings = [Finding(wrong=Wrong.OTHER, what=one) for one in said if one]
        findings += self._oracle.judge(letters, await self._boxes.read(), app.now())
        self._others = await self._boxes.empty()
        reached = run.fired or run.fault is None
        return Played(reached=reached, findings=tuple(findings), seconds=time.monotonic() - begun, log=self._crew.log)

    async def _send(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            await self._post(letter.raw, recipient=self._writer.recipient, audit=None)
        await self._boxes.await_letters(len(letters), DELIVERY_SECONDS_MAX)

    async def _post(self, raw: bytes, *, recipient: str, audit: str | None) -> None:
        async def before_data() -> bool:
            return True

        outgoing = Outgoing(
            envelope_from=self._writer.software[0].address,
            recipient=recipient,
            audit=audit,
            envelope_id=message_id(raw).strip("<>").partition("@")[0],
            raw=raw,
        )
        result = await self._mailer.send(outgoing, before_data)
        if result.state is not Sending.SENT:
            raise Unavailable(f"smtp: a mail to {recipient} was not taken: {result.detail}")

    async def _break(self, run: Run) -> list[str]:
        """The workers of this run; what is wrong with how they ended."""
        kind, how = (run.fault.point.kind, run.fault.how) if run.fault else ("", "")
        crew = int(run.fault.point.name.partition(" ")[0]) if run.fault and kind == TOGETHER else 1
        begun = time.monotonic()
        points.begin(run)
        try:
            workers = [await self._crew.start() for _ in range(crew)]
            if run.fault and kind in {MOMENT, TOGETHER}:
                percent = int(run.fault.point.name.partition(" ")[0]) if kind == MOMENT else 50
                await asyncio.sleep(self.seconds * percent / 100)
                run.fired = await self._strike(how)
            codes = [await self._crew.wait(worker) for worker in workers]
        finally:
            points.begin(None)
            for name, proxy in self.proxies.items():
                proxy.drop_all()  # what was stalled ends at last for the server, too
                if said := [line for trace in proxy.traces for side, _, line in trace if side is Side.SERVER]:
                    self.greetings.setdefault(name, said[0])
                proxy.traces.clear()
        if run.fault is None:
            took = time.monotonic() - begun
            self.seconds = min(self.seconds or took, took)
        return [fault_of(code, killed=how in {KILLED, ONE_KILLED}) for code in codes]

    async def _strike(self, how: str) -> bool:
        """What happens at a moment; whether there was anybody whom it met."""
        if how == DISCONNECTED:
            return await schemas.disconnect(self._register_url) > 0
        return how == AT_ONCE or self._crew.kill()

    async def _finish(self) -> list[str]:
        """Batch after batch, undisturbed, until nothing is left to do."""
        until = time.monotonic() + FINISH_SECONDS_MAX
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            await asyncio.sleep(pause)
            code = await self._crew.wait(await self._crew.start())
            if (said := fault_of(code, killed=False)) or code in {Exit.DONE, Exit.SET_ASIDE}:
                return [said]
            if time.monotonic() > until:
                break
        return ["something is left to do for ever"]


@contextlib.asynccontextmanager
async def course(
    settings: Settings, ground: grounds.Ground, boxes: Boxes, command: Sequence[str] = COMMAND
) -> AsyncIterator[Course]:
    """A course with the self-test's own accounts, on an installation that is made for it."""
    pki = Pki(at=app.now())
    servers = MailServers(imap_port=0, smtp_port=0, service_user="", audit_user="", password="")
    installation = Installation(ground.folder / "service", pki, servers)
    installation.identity = pki.issue("selftest-service", kind="rsa", address=settings.service.address)
    software = desks(pki, settings.audit.address)
    mailer = SmtpMailer(smtp_server(settings), connections=1)
    crew = Crew(installation.config, command)
    writer = Writer(installation, software, settings.service.address)
    made = Course(
        installation=installation,
        register_url=ground.register_url,
        writer=writer,
        crew=crew,
        mailer=mailer,
        boxes=boxes,
    )
    certificate, _ = pki.server.write(ground.folder)
    (ground.folder / "root.pem").write_bytes(pki.root.identity.pem)
    async with contextlib.AsyncExitStack() as closing:
        closing.push_async_callback(mailer.close)
        closing.push_async_callback(crew.close)
        made.proxies = {
            name: await closing.enter_async_context(
                FaultProxy(
                    upstream,
                    at_line=partial(made.at_line, LINES[name]),
                    tls=None if upstream.security is Security.PLAIN else _listening(certificate),
                )
            )
            for name, upstream in grounds.upstreams(settings).items()
        }
        ports = {name: proxy.port for name, proxy in made.proxies.items()}
        tables = grounds.tables(settings, ground, ports, ground.folder / "root.pem")
        await asyncio.to_thread(_install, installation, tables, software)
        yield made


def _listening(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def _install(
    installation: Installation, tables: Mapping[str, Mapping[str, object]], software: Sequence[DeskSoftware]
) -> None:
    log = installation.folder.parent / "install.log"
    with log.open("w", encoding="utf-8") as said, contextlib.redirect_stdout(said):
        installation.create(tables)
        for one in software:
            installation.enrol(one)
