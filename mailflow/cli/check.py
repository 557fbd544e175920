"""`mailflow check-config`: is everything there, does it fit together, does everybody answer?"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, json_option, say, show_json, wait_for
from mailflow.core.model import Directory
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.mail.trust import Trust
from mailflow.register import directory
from mailflow.settings import Settings, file_faults


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


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
        for finding in findings:
            say(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what:<12} {finding.detail}".rstrip())
    return code


async def _check(settings: Settings, *, offline: bool) -> tuple[list[Finding], Exit]:
    findings = [Finding("files", ok=False, detail=fault) for fault in file_faults(settings)]
    if not findings:
        findings.append(Finding("files", ok=True, detail="all there, secrets closed to others"))
    checks: list[tuple[str, Callable[[Settings], Awaitable[str]]]] = [("keys", _keys), ("register", _register)]
    if not offline:
        checks += [("mailbox", app.check_mailbox), ("audit", app.check_audit), ("smtp", app.check_smtp)]
    unavailable = False
    for what, check in checks:
        try:
            findings.append(Finding(what, ok=True, detail=await check(settings)))
        except Unavailable as error:
            unavailable = True
            findings.append(Finding(what, ok=False, detail=str(error)))
        except MailflowError as error:
            findings.append(Finding(what, ok=False, detail=str(error)))
    bad = [finding for finding in findings if not finding.ok]
    if unavailable and len(bad) == sum(finding.what in ("mailbox", "audit", "smtp", "register") for finding in bad):
        return findings, Exit.TEMPORARY
    return findings, Exit.CONFIGURATION if bad else Exit.DONE


async def _keys(settings: Settings) -> str:
    """Private keys fit their certificates, and the trust files can be read."""
    nobody = Directory(generation=0, senders=(), desks={})
    material = await app.trust_files(settings).material(nobody)
    trust = await asyncio.to_thread(Trust, material)
    await asyncio.to_thread(app.make_judge(settings), trust)
    await asyncio.to_thread(app.make_composer(settings), trust)
    if trust.lists.unusable:
        raise Misconfigured(f"trust.crls_dir: unusable: {'; '.join(trust.lists.unusable)}")
    return f"{len(material.anchors)} anchors, {len(material.intermediates)} intermediates, {len(material.crls)} CRLs"


async def _register(settings: Settings) -> str:
    async with app.register_of(settings) as register, register.read() as tx:
        enrolled = await directory.read(tx)
    return f"{len(enrolled.senders)} senders, generation {enrolled.generation}"
