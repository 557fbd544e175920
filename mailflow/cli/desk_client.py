"""`mailflow desk-client`: a small reference for the other side: ask, make a request mail, read an answer.

It needs no installation of the service, only the desk's own keys and the service's published certificate.
"""

import contextlib
import hashlib
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Exit, json_option, say, show_json, wait_for, warn
from mailflow.core.calendar import PARIS
from mailflow.core.model import Environment
from mailflow.core.numbers import DeskCode, is_school_desk
from mailflow.core.order import Holder
from mailflow.errors import MailflowError
from mailflow.mail import cms, desk, holdings, pem
from mailflow.mail.ports import Outgoing, Sending, SendResult
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer
from mailflow.mail.successor import write_successor
from mailflow.mail.trust_files import read_pem_file
from mailflow.wire.management import QuestionElement
from mailflow.wire.names import FileNameError, parse_name, question_name
from mailflow.wire.questions import read_answers, write_questions

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
    """Make one request mail of FILES (DEM*.xml, GES*.xml, NCE*.pem), and send it or write it out.

    Example: mailflow desk-client send DEM59123-202611251030-000001.xml --key desk.key --certificate desk.pem
    --encrypt-to service.pem --from logiciel@desk.example --to demandes@example.org --smtp localhost:25
    """
    _check_environment([file.name for file in files])
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
@click.option("--desk", required=True, help="Code of the desk that asks.")
@click.option("--file", "names", multiple=True, metavar="NAME", help="After a DEM file of the desk, by its name.")
@click.option("--reference", "references", multiple=True, help="After a request, by the desk's own reference.")
@click.option("--number", help="After a request, by its unique number and its holder.")
@click.option("--surname", help="Of the holder.")
@click.option("--born", type=click.DateTime(["%Y-%m-%d"]), help="Day of birth of the holder.")
@click.option("--company", help="Name of the association that holds the request.")
@click.option("--sequence", type=click.IntRange(0, 999_999), default=1, show_default=True, help="In the file's name.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder to write to.")
@json_option
def ask(
    desk: str,
    names: tuple[str, ...],
    references: tuple[str, ...],
    number: str | None,
    surname: str | None,
    born: datetime | None,
    company: str | None,
    sequence: int,
    out: Path,
    as_json: bool,
) -> int:
    """Write a file of questions (GES*.xml), to be sent by `desk-client send`.

    Example: mailflow desk-client ask --desk 59123 --file DEM59123-202611251030-000001.xml
    """
    asked = [QuestionElement(file_name=name) for name in names]
    asked += [QuestionElement(reference=reference) for reference in references]
    if number:
        holder = Holder(surname=surname, born_on=born.date() if born else None, company_name=company)
        asked.append(QuestionElement(number=number, holder=holder))
    if not asked:
        raise click.UsageError("nothing is asked: give --file, --reference or --number")
    at = app.now()
    path = out / question_name(DeskCode(desk), sequence, at)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_questions(asked, at))
    if as_json:
        show_json({"file": str(path), "questions": len(asked)})
    else:
        say(str(path))
    return Exit.DONE


@desk_client.command()
@click.option("--key", type=FILE, required=True, help="The new private key, PEM.")
@click.option("--certificate", type=FILE, required=True, help="Its certificate, and the chain if any, PEM.")
@click.option("--follows", type=FILE, required=True, help="The certificate that is enrolled and signs until now, PEM.")
@click.option("--to", "recipient", required=True, help="Address of the service.")
@click.option("--desk", required=True, help="Code of the desk, for the file's name.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder to write to.")
@json_option
def successor(key: Path, certificate: Path, follows: Path, recipient: str, desk: str, out: Path, as_json: bool) -> int:
    """Write the file that offers a new certificate (NCE*.pem), to be sent by `desk-client send`, signed by the old key.

    Example: mailflow desk-client successor --key new.key --certificate new.pem --follows desk.pem
    --to demandes@example.org --desk 59123
    """
    at = app.now()
    (former, *_) = read_pem_file(follows, pem.CERTIFICATE)
    signing = cms.load_signing_key(key.read_bytes(), certificate.read_bytes())
    path = out / f"NCE{desk}-{at.astimezone(PARIS):%Y%m%d%H%M}.pem"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_successor(recipient, hashlib.sha256(former).hexdigest(), signing, at))
    if as_json:
        show_json({"file": str(path)})
    else:
        say(str(path))
    return Exit.DONE


@desk_client.command()
@click.argument("answers", nargs=-1, required=True, type=FILE)
@click.option("--key", type=FILE, required=True, help="Private key that answers are encrypted to, PEM.")
@click.option("--certificate", type=FILE, required=True, help="Its certificate, PEM.")
@click.option("--service", type=FILE, required=True, help="Certificates that the service signs with, PEM.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write the files of the answer here.")
@json_option
def read(
    answers: tuple[Path, ...], key: Path, certificate: Path, service: Path, out: Path | None, as_json: bool
) -> int:
    """Decrypt ANSWERS (one mail, or all parts of one), prove the signature, show them, write out the files.

    A mail of the service that is only signed, such as an announcement, is read too.

    Example: mailflow desk-client read answer.eml --key desk.key --certificate desk.pem --service service.pem --out .
    """
    keys = [cms.load_decryption_key(key.read_bytes(), certificate.read_bytes())]
    ours = read_pem_file(service, pem.CERTIFICATE)
    whole = desk.joined([desk.open_answer(answer.read_bytes(), keys, ours, app.now()) for answer in answers])
    if whole.environment != Environment.PRODUCTION:
        warn(f"this answer is of the environment {whole.environment}: nothing in it is real")
    if not whole.encrypted:
        warn("this mail is signed, but not encrypted: others may have read it")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in whole.files.items():
            if Path(name).name != name:
                raise MailflowError("a file name in the answer is a path")
            (out / name).write_bytes(content)
    if as_json:
        answered = [read_answers(content) for name, content in whole.files.items() if name.startswith("RGE")]
        show_json(
            {
                "in_reply_to": whole.in_reply_to,
                "environment": whole.environment,
                "encrypted": whole.encrypted,
                "missing": whole.missing,
                "files": sorted(whole.files),
                "questions": [
                    question.model_dump(mode="json", by_alias=True, exclude_defaults=True)
                    for document in answered
                    for question in document.questions
                ],
                "text": whole.text,
            }
        )
    else:
        say(whole.text)
        if whole.files:
            say("Files: " + ", ".join(sorted(whole.files)))
    for part in whole.missing:
        warn(f"part {part} of the answer is missing")
    return Exit.TEMPORARY if whole.missing else Exit.DONE


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
        known = holdings.apply(known, file.read_bytes())
    state.write_text(holdings.dump(known), encoding="utf-8")
    counts = Counter(one.state for one in known.values())
    if as_json:
        show_json(dict(counts))
    else:
        say(" · ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "Nothing is known.")
    return Exit.DONE


def _check_environment(names: Sequence[str]) -> None:
    """The school's files go to the school, and no real one does: nobody should find out by an answer."""
    desks = set()
    for name in names:
        with contextlib.suppress(FileNameError):
            desks.add(is_school_desk(parse_name(name).desk))
    if len(desks) > 1:
        raise MailflowError("the files are of the school and of real desks: no service takes both")
    if True in desks:
        warn("the files are of a school desk: only the school takes them, and nothing becomes real")


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
