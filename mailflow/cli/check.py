"""`mailflow check-config`: is everything there, does it fit together, does everybody answer?"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, json_option, say, show_json, wait_for
from mailflow.cli.master_key import check_master_keys
from mailflow.cli.reference import missing
from mailflow.cli.revocation import not_current
from mailflow.core.calendar import PARIS
from mailflow.core.canary import CANARY_DESKS, CANARY_SENDER
from mailflow.core.model import Directory
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.mail.trust import Trust
from mailflow.ops.findings import runs_out
from mailflow.register import directory, keys, reference, revocations
from mailflow.settings import Settings, file_faults

LATEST_MAILS = 100
"""By which a key store that is older than the register is known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    temporary: bool = False
    """It is amiss because a server does not answer now."""


Checks = Sequence[tuple[str, Callable[[Settings], Awaitable[str]]]]
SERVERS: Checks = (("mailbox", app.check_mailbox), ("audit", app.check_audit), ("smtp", app.check_smtp))


@click.command("check-config")
@click.option("--offline", is_flag=True, help="Do not connect to the mail servers.")
@json_option
@click.pass_obj
def check_config(invocation: Invocation, offline: bool, as_json: bool) -> int:
    """Check the settings, the files and keys they name, the register and the servers; change nothing.

    Exit code 78 when something must be mended, 75 when only a server did not answer.

    Example: mailflow check-config --offline
    """
    findings, code = wait_for(_check(invocation.settings, offline=offline))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        show(findings)
    return code


async def _check(settings: Settings, *, offline: bool) -> tuple[list[Finding], Exit]:
    findings = [Finding("files", ok=False, detail=fault) for fault in file_faults(settings)]
    if not findings:
        findings.append(Finding("files", ok=True, detail="all there, secrets closed to others"))
    inside: Checks = (
        ("keys", _keys),
        ("register", _register),
        ("groups", _groups),
        ("key store", _key_store),
        ("master keys", check_master_keys),
        ("expiry", _expiry),
        ("revocation", _revocation),
        ("reference", _reference),
        ("alerts", _alerts),
        ("canary", _canary),
    )
    findings += await look(settings, inside if offline else (*inside, *SERVERS))
    return findings, code_of(findings)


async def look(settings: Settings, checks: Checks) -> list[Finding]:
    """One finding of each check."""
    findings = []
    for what, check in checks:
        try:
            findings.append(Finding(what, ok=True, detail=await check(settings)))
        except MailflowError as error:
            temporary = isinstance(error, Unavailable)
            findings.append(Finding(what, ok=False, detail=str(error), temporary=temporary))
    return findings


def show(findings: Sequence[Finding]) -> None:
    """A line for each."""
    for finding in findings:
        say(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what:<12} {finding.detail}".rstrip())


def code_of(findings: Sequence[Finding]) -> Exit:
    """Temporary only when nothing but servers that are down is amiss."""
    bad = [finding for finding in findings if not finding.ok]
    if not bad:
        return Exit.DONE
    return Exit.TEMPORARY if all(finding.temporary for finding in bad) else Exit.CONFIGURATION


async def _keys(settings: Settings) -> str:
    """Private keys fit their certificates, and the trust files can be read."""
    known = Directory(generation=0, senders=(), desks={})
    with contextlib.suppress(MailflowError):  # told apart; then only the settings say which keys there are
        async with app.register_of(settings) as register, register.read() as tx:
            known = await directory.read(tx)
    material = await app.trust_files(settings).material(known)
    trust = await asyncio.to_thread(Trust, material)
    await asyncio.to_thread(app.make_judge(settings), trust)
    await asyncio.to_thread(app.make_composer(settings), trust)
    if trust.lists.unusable:
        raise Misconfigured(f"trust.crls_dir: unusable: {'; '.join(trust.lists.unusable)}")
    trusted = f"{len(material.anchors)} anchors, {len(material.intermediates)} intermediates, {len(material.crls)} CRLs"
    return f"{trusted}; {len(material.keys.decryption)} that decrypt"


async def _groups(settings: Settings) -> str:
    """What groups of senders name is there."""
    groups = settings.trust.groups
    async with app.register_of(settings, read_only=True) as register, register.read() as tx:
        known = {sender.code for sender in (await directory.read(tx)).senders}
    material = await app.trust_files(settings).material(Directory(generation=0, senders=(), desks={}))
    anchors, authorities = map(_fingerprints, (material.anchors, (*material.anchors, *material.intermediates)))
    faults = [
        f"trust.groups[{number}].{name}: {one} is not {where}"
        for number, group in enumerate(groups)
        for name, named, there, where in (
            ("senders", group.senders, known, "enrolled"),
            ("anchors", group.anchors, anchors, "in trust.anchors_dir"),
            ("issuers", group.issuers, authorities, "in trust.anchors_dir or trust.intermediates_dir"),
        )
        for one in named
        if one not in there
    ]
    if faults:
        raise Misconfigured("; ".join(faults))
    return f"{sum(len(group.senders) for group in groups)} senders with rules of their own"


def _fingerprints(certificates: Iterable[bytes]) -> set[str]:
    return {hashlib.sha256(der).hexdigest() for der in certificates}


async def _alerts(settings: Settings) -> str:
    """Whether somebody is told when something is wrong; nobody is heard from here, `mailflow alarms test` tries it."""
    async with app.tellers(settings, app.now) as known:
        channels = [channel.value for channel in known.tell] + (["ping"] if known.ping else [])
    return ", ".join(channels) or "nobody is told when something is wrong"


async def _canary(settings: Settings) -> str:
    """Its key fits its certificate, and it is enrolled for itself and nothing else."""
    if app.canary_keys(settings, app.now) is None:
        return "none"
    desk = CANARY_DESKS[settings.environment]
    async with app.register_of(settings) as register, register.read() as tx:
        enrolled = [mandate for one in (await directory.read(tx)).senders for mandate in one.mandates]
    if not any(mandate.desk == desk for mandate in enrolled):
        raise Misconfigured(
            f"canary: the sender {CANARY_SENDER} has no mandate for {desk}; OPERATING tells how it is enrolled"
        )
    return f"every {settings.canary.every_minutes} minutes"


async def _expiry(settings: Settings) -> str:
    """Certificates and revocation lists that end soon; no fault, because not all of them are in use."""
    async with app.register_of(settings) as register:
        expiries = await app.all_expiries(settings, register)
    soon = [found.happened for found in runs_out(expiries, app.now())]
    return " ".join(soon) or "nothing ends soon"


async def _revocation(settings: Settings) -> str:
    """What is had of the revocation data that are fetched; a source that fails is a fault once that has ended."""
    at = app.now()
    async with app.register_of(settings, read_only=True) as register, register.read() as tx:
        kept = await revocations.sources(tx)
    if bad := not_current(kept, at):
        raise Unavailable(f"nothing current of {', '.join(bad)}")
    if not kept:
        told = settings.revocation
        return "not fetched yet" if told.urls or told.hosts else "only from trust.crls_dir"
    current = [one for one in kept if one.is_current(at)]
    first = min((one.expires for one in current if one.expires), default=None)
    until = f", the first until {first.astimezone(PARIS):%Y-%m-%d %H:%M}" if first else ""
    return f"{len(kept)} sources, {len(current)} current{until}"


async def _register(settings: Settings) -> str:
    async with app.register_of(settings) as register, register.read() as tx:
        enrolled = await directory.read(tx)
    return f"{len(enrolled.senders)} senders, generation {enrolled.generation}"


async def _key_store(settings: Settings) -> str:
    """It is of the same time as the register: after a restore it may be an older one."""
    async with app.register_of(settings) as register, register.read() as tx:
        lost = await keys.count_lost(tx, LATEST_MAILS)
    if lost:
        raise Misconfigured(f"{lost} of the latest mails have no key in it: it is older than the register")
    return "has the keys of the latest mails"


async def _reference(settings: Settings) -> str:
    """What attestations cannot state yet; no fault, because they then say where to ask."""
    async with app.register_of(settings) as register, register.read() as tx:
        return "; ".join([f"edition {await reference.edition(tx)}", *await missing(tx)])
