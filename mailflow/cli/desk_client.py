"""`mailflow desk-client`: a small reference for the other side: make a request mail, read an answer.

It needs no installation of the service, only the desk's own keys and the service's published certificate.
"""

import sys
import uuid
from collections import Counter
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Exit, json_option, say, show_json, wait_for
from mailflow.errors import MailflowError
from mailflow.mail import cms, desk, holdings, pem
from mailflow.mail.ports import Outgoing, Sending, SendResult
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer
from mailflow.mail.trust_files import read_pem_file

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
SECONDS_MAX = 60.0


@click.group("desk-client")
def desk_client() -> None:
    """For desks and vendors: make a signed request mail, read a signed answer, keep a copy."""


@desk_client.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--key", type=FILE, required=True, help="Private key that signs, PEM.")
@click.option("--certificate", type=FILE, required=True, help="Its certificate, and the chain if any, PEM.")
@click.option("--encrypt-to", type=FILE, help="Certificate of the service, PEM; without it the mail is only signed.")
@click.option("--opaque", is_flag=True, help="Put the content inside the signature.")
@click.option("--legacy", is_flag=True, help="Encrypt by AES-CBC and RSA v1.5.")
@click.option("--from", "sender", required=True, help="Enrolled From address.")
@click.option("--to", "recipient", required=True, help="Address of the service.")
@click.option("--smtp", help="HOST:PORT of a server that takes the mail in clear; without it the mail is written out.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the mail here instead of standard output.")
@json_option
def send(
    files: tuple[Path, ...],
    key: Path,
    certificate: Path,
    encrypt_to: Path | None,
    opaque: bool,
    legacy: bool,
    sender: str,
    recipient: str,
    smtp: str | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Make one request mail of FILES (DEM*.xml), and send it or write it out.

    Example: mailflow desk-client send DEM59123-202611251030-000001.xml --key desk.key --certificate desk.pem
    --encrypt-to service.pem --from logiciel@desk.example --to demandes@example.org --smtp localhost:25
    """
    if as_json and not (smtp or out):
        raise click.UsageError("--json wants --smtp or --out: else the mail itself is what is printed")
    protection = desk.Protection(
        signing_key=cms.load_signing_key(key.read_bytes(), certificate.read_bytes()),
        encrypt_to=read_pem_file(encrypt_to, pem.CERTIFICATE)[0] if encrypt_to else None,
        opaque=opaque,
        legacy=legacy,
    )
    raw = desk.request_mail(
        [(file.name, file.read_bytes()) for file in files],
        protection,
        sender=sender,
        recipient=recipient,
        message_id=f"<{uuid.uuid4().hex}@{sender.rpartition('@')[2]}>",
        at=app.now(),
    )
    if smtp:
        result = wait_for(_send(raw, sender, recipient, smtp))
        if as_json:
            show_json({"state": result.state.value, "detail": result.detail})
        else:
            say(f"{result.state.value} {result.detail}".strip())
        return Exit.DONE if result.state is Sending.SENT else Exit.TEMPORARY
    if out:
        out.write_bytes(raw)
        if as_json:
            show_json({"state": "written", "detail": str(out)})
    else:
        sys.stdout.buffer.write(raw)
    return Exit.DONE


@desk_client.command()
@click.argument("answer", type=FILE)
@click.option("--key", type=FILE, required=True, help="Private key that answers are encrypted to, PEM.")
@click.option("--certificate", type=FILE, required=True, help="Its certificate, PEM.")
@click.option("--service", type=FILE, required=True, help="Certificates that the service signs with, PEM.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write the files of the answer here.")
@json_option
def read(answer: Path, key: Path, certificate: Path, service: Path, out: Path | None, as_json: bool) -> int:
    """Decrypt ANSWER (a mail), prove its signature, show it, and write out its RET files.

    Example: mailflow desk-client read answer.eml --key desk.key --certificate desk.pem --service service.pem --out .
    """
    opened = desk.open_answer(
        answer.read_bytes(),
        [cms.load_decryption_key(key.read_bytes(), certificate.read_bytes())],
        read_pem_file(service, pem.CERTIFICATE),
        app.now(),
    )
    if out:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in opened.files.items():
            if Path(name).name != name:
                raise MailflowError("a file name in the answer is a path")
            (out / name).write_bytes(content)
    if as_json:
        show_json({"in_reply_to": opened.in_reply_to, "files": sorted(opened.files), "text": opened.text})
    else:
        say(opened.text)
        say("Files: " + ", ".join(sorted(opened.files)))
    return Exit.DONE


@desk_client.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The copy, as JSON.")
@json_option
def apply(files: tuple[Path, ...], state: Path, as_json: bool) -> int:
    """Keep a copy of what the register says from FILES (RET*.xml and DIS*.xml), in any order and as often as wanted.

    Example: mailflow desk-client apply DIS59123-202601160400-000001.xml --state register.json
    """
    known = holdings.load(state.read_text(encoding="utf-8")) if state.exists() else {}
    for file in files:
        known = holdings.apply(known, file.name, file.read_bytes())
    state.write_text(holdings.dump(known), encoding="utf-8")
    counts = Counter(one.state for one in known.values())
    if as_json:
        show_json(dict(counts))
    else:
        say(" · ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "Nothing is known.")
    return Exit.DONE


async def _send(raw: bytes, sender: str, recipient: str, smtp: str) -> SendResult:
    host, _, port = smtp.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("should be HOST:PORT", param_hint="--smtp")
    server = SmtpServer(
        host=host,
        port=int(port),
        security=Security.PLAIN,
        tls=None,
        user=None,
        secret=None,
        timeout_seconds=SECONDS_MAX,
        data_timeout_seconds=SECONDS_MAX,
        local_hostname=sender.rpartition("@")[2],
    )
    mailer = SmtpMailer(server, connections=1)

    async def before_data() -> bool:
        return True

    try:
        outgoing = Outgoing(envelope_from=sender, recipient=recipient, audit=None, envelope_id="", raw=raw)
        return await mailer.send(outgoing, before_data)
    finally:
        await mailer.close()
