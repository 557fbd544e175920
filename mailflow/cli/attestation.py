"""`mailflow attestation`: what an applicant has received, to be looked at, and handed out again."""

import hashlib
from pathlib import Path

import click

from mailflow import app
from mailflow.attestation import typeset
from mailflow.cli.invocation import Exit, Invocation, by_option, json_option, say, show_json, show_rows, wait_for
from mailflow.cli.placing import handed_out
from mailflow.core.calendar import PARIS
from mailflow.register import Register, attestations, journal
from mailflow.registrar.attesting import attest

UNKNOWN = "no attestation was issued for that number"
NOT_KEPT = "its octets are not kept any more; --anew makes one of the request as it stands"
NOT_ACTIVE = "there is no active request of that number"


@click.command()
@click.argument("number")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; it must not exist yet.")
@click.option("--anew", is_flag=True, help="Make one of the request as it stands, with today's reference data.")
@by_option
@json_option
@click.pass_obj
def attestation(invocation: Invocation, number: str, out: Path | None, anew: bool, by: str, as_json: bool) -> int:
    """List the attestations of a request; with --out write the last one again, octet by octet as it was issued.

    Example: mailflow attestation 059112500000059123 --out attestation.pdf
    """
    if out is None:
        if anew:
            raise click.UsageError("--anew wants --out")
        return wait_for(_list(invocation, number, as_json=as_json))
    return wait_for(_write(invocation, number, out, by, anew=anew, as_json=as_json))


async def _list(invocation: Invocation, number: str, *, as_json: bool) -> int:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        issued = await attestations.of_number(tx, number)
    rows = [
        {
            "issued": f"{one.issued_at.astimezone(PARIS):%d/%m/%Y %H:%M}",
            "issued_at": one.issued_at,
            "intake": one.intake_id,
            "edition": one.edition,
            "kept": "yes" if one.content else "no",
            "sha256": one.digest,
        }
        for one in issued
    ]
    show_rows(rows, ("issued", "intake", "edition", "kept", "sha256"), as_json=as_json, empty=UNKNOWN.capitalize())
    return Exit.DONE


async def _write(invocation: Invocation, number: str, out: Path, by: str, *, anew: bool, as_json: bool) -> int:
    settings = invocation.settings
    async with app.register_of(settings) as register:
        pdf = await (_anew(register, number, invocation) if anew else _kept(register, number))
        digest = hashlib.sha256(pdf).hexdigest()
        detail: dict[str, str | bool] = {"by": by, "digest": digest, "anew": anew}
        with handed_out(out) as file:
            async with register.begin() as tx:
                entry = journal.Entry(kind="attestation-printed", number=number, detail=detail)
                await journal.append(tx, [entry], app.now())
            file.write(pdf)
    if as_json:
        show_json({"number": number, "file": str(out), "sha256": digest})
    else:
        say(f"Written to {out}. It holds personal data: hand it over, then delete it.")
    return Exit.DONE


async def _kept(register: Register, number: str) -> bytes:
    async with register.read() as tx:
        issued = await attestations.of_number(tx, number)
    if not issued:
        raise click.ClickException(UNKNOWN)
    if issued[-1].content is None:
        raise click.ClickException(NOT_KEPT)
    return issued[-1].content


async def _anew(register: Register, number: str, invocation: Invocation) -> bytes:
    async with register.read() as tx:
        made = await attest(tx, number, invocation.settings.environment)
    if made is None:
        raise click.ClickException(NOT_ACTIVE)
    return typeset(made)
