"""`mailflow case`: one mail as a file for its sender's software house, without personal data."""

import json
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, say, wait_for


@click.command()
@click.argument("intake", type=int)
@click.option("--out", type=click.Path(path_type=Path), help="Write it there instead of to the terminal.")
@click.pass_obj
def case(invocation: Invocation, intake: int, out: Path | None) -> int:
    """Tell how the mail of this INTAKE is built and how it was read, for whoever writes the software that sent it.

    Headers, MIME parts, signatures and certificates, the files with every value replaced by its shape, anomalies, what
    happened. There is no personal data in it: it may be sent to a software house.

    Example: mailflow case 812 --out case-812.json
    """
    told = wait_for(app.tell_case(invocation.settings, intake))
    if told is None:
        raise click.ClickException(f"there is no intake {intake}")
    text = json.dumps(told, ensure_ascii=False, indent=1, default=str)
    if out is None:
        say(text)
    else:
        out.write_text(f"{text}\n", encoding="utf-8")
        say(f"written to {out}")
    return Exit.DONE
