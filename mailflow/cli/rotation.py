"""`mailflow service-keys`: one key of the service follows another, while both are in use and the service runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Act, Exit, Invocation, Row, act_options, json_option, show_plan, show_rows, wait_for
from mailflow.cli.placing import PRIVATE, write_new
from mailflow.cli.service_keys import certified, new_key
from mailflow.core.calendar import PARIS
from mailflow.core.model import CertificateUse, Directory
from mailflow.core.service_keys import SETTINGS_SINCE, KeyUse, ServiceKey, may_go, present
from mailflow.errors import MailflowError
from mailflow.mail import cms, pem, rotation
from mailflow.mail.key_files import KeyFile, KeyFiles, fingerprint, source_of
from mailflow.mail.rotation import is_told
from mailflow.mail.trust import TrustError
from mailflow.mail.trust.certificate import check_leaf, describe, read
from mailflow.mail.trust_files import octets_of, read_pem_file
from mailflow.register import directory, journal, service_keys
from mailflow.settings import Settings

NOTICE = timedelta(days=14)
"""How long beforehand desks are told when nobody says anything else."""
PUBLIC = 0o644
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
USES = {KeyUse.SIGNING: CertificateUse.SIGN, KeyUse.DECRYPTION: CertificateUse.ENCRYPT}


@click.group("service-keys")
def service_keys_() -> None:
    """Keys of the service: make the next one, have it follow the present one, retire the former one."""


# What there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A key that there is a certificate of, as the register has it, or would."""

    file: KeyFile
    key: ServiceKey


def known_keys(files: KeyFiles, keys: Sequence[ServiceKey]) -> list[Known]:
    """Those of the settings and those on record; a certificate in the folder that was never staged is neither."""
    on_record = {(key.fingerprint, key.use): key for key in keys}
    found: dict[tuple[str, KeyUse], Known] = {}
    for file in files.all():
        about = (fingerprint(file.der), file.use)
        if about in on_record:
            found.setdefault(about, Known(file=file, key=on_record[about]))
        elif file in files.named:
            key = ServiceKey(fingerprint=about[0], use=file.use, active_from=SETTINGS_SINCE)
            found.setdefault(about, Known(file=file, key=key))
    return list(found.values())


@service_keys_.command("list")
@json_option
@click.pass_obj
def list_keys(invocation: Invocation, as_json: bool) -> int:
    """Every key of the service: what it is for, since when, until when, and from when on it may be retired.

    Example: mailflow service-keys list
    """
    files, at = app.key_files(invocation.settings, app.now), app.now()
    keys = _enrolled(invocation).service_keys
    known = known_keys(files, keys)
    rows = [_row(one, [other.key for other in known], _overlap(invocation.settings), at) for one in known]
    rows += [_made(path) for path in _unstaged(files)]
    columns = ("name", "state", "since", "ends", "may_go", "fingerprint")
    show_rows(rows, columns, as_json=as_json, empty="There is no key.")
    return Exit.DONE


def _row(one: Known, keys: Sequence[ServiceKey], overlap: timedelta, at: datetime) -> Row:
    about, key = describe(one.file.der), one.key
    going = may_go(keys, key, overlap)
    return {
        "name": one.file.name,
        "use": key.use.value,
        "state": _state(key, keys, at),
        "since": None if key.active_from == SETTINGS_SINCE else f"{key.active_from.astimezone(PARIS):%Y-%m-%d %H:%M}",
        "ends": f"{about.validity.ends:%Y-%m-%d}",
        "may_go": f"{going.astimezone(PARIS):%Y-%m-%d}" if going and not key.retired_at else None,
        "retired_at": key.retired_at and key.retired_at.isoformat(),
        "fingerprint": key.fingerprint,
        "serial": about.serial,
        "subject": about.subject,
        "certificate": str(one.file.certificate),
    }


def _made(key: Path) -> Row:
    empty = dict.fromkeys(("since", "ends", "may_go", "retired_at", "serial", "subject"))
    request = key.with_suffix(".csr")
    use = key.stem.partition("-")[0]
    return {"name": key.stem, "use": use, "state": "made", "fingerprint": "", **empty, "certificate": str(request)}


def _unstaged(files: KeyFiles) -> list[Path]:
    """Private keys that wait for a certificate."""
    return [key for key in sorted(files.folder.glob("*-*.key")) if not key.with_suffix(".pem").exists()]


def _state(key: ServiceKey, keys: Sequence[ServiceKey], at: datetime) -> str:
    if key.retired_at is not None:
        return "retired"
    if key.active_from > at:
        return "staged"
    serving = present((one for one in keys if one.active_from != SETTINGS_SINCE), key.use, at)
    return "present" if serving in (None, key) else "former"


# Make the next one


@service_keys_.command()
@click.option("--use", type=click.Choice([use.value for use in KeyUse]), required=True, help="What it is for.")
@click.option("--key", "given", type=FILE, help="One that is there already, PEM or PKCS #11 URI, not a fresh one.")
@act_options
@click.pass_obj
def make(invocation: Invocation, use: str, given: Path | None, *, act: Act) -> int:
    """Make the next key, with a request for your authority, and a self-signed certificate if you have none.

    Nothing uses it before `service-keys stage`.

    Example: mailflow service-keys make --use signing --why "yearly" --apply
    """
    settings, at = invocation.settings, app.now()
    folder = settings.keys.service_dir
    name = _free_name(folder, use, at)
    content = octets_of(given) if given else new_key()
    source = source_of(given, folder) if given else cms.PemKey(content)
    made = certified(source.load(), settings.service.name, settings.service.address, use, at)
    plan = [
        f"keep a {use} key as {folder / name}.key",
        f"write a request for a certificate to {folder / name}.csr, and a self-signed one to {folder / name}.crt",
    ]
    if act.apply:
        wait_for(_make(invocation, folder / name, content, made.request, made.certificate, act))
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    return Exit.DONE


async def _make(invocation: Invocation, path: Path, key: bytes, request: bytes, certificate: bytes, act: Act) -> None:
    """The key last of the files: what has one is complete."""
    async with app.register_of(invocation.settings) as register:
        write_new(path.with_suffix(".csr"), request, PUBLIC)
        write_new(path.with_suffix(".crt"), certificate, PUBLIC)
        write_new(path.with_suffix(".key"), key, PRIVATE)
        detail = {"name": path.name, "by": act.by, "why": act.why}
        async with register.begin() as tx:
            await journal.append(tx, [journal.Entry(kind="service-key-made", detail=detail)], app.now())


def _free_name(folder: Path, use: str, at: datetime) -> str:
    day = f"{use}-{at.astimezone(PARIS):%Y-%m-%d}"
    return next(name for number in range(1, 1000) if not list(folder.glob(f"{(name := f'{day}-{number}')}.*")))


# Have it follow


@service_keys_.command()
@click.argument("name")
@click.option("--certificate", "given", type=FILE, help="What your authority made of the request, PEM, and its chain.")
@click.option(
    "--from",
    "since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="When it takes over: a day in Paris, or an instant in UTC. By default in 14 days.",
)
@act_options
@click.pass_obj
def stage(invocation: Invocation, name: str, given: Path | None, since: datetime | None, *, act: Act) -> int:
    """Have the key NAME follow the present one of its use, and tell all senders by signed mail.

    A key that decrypts does so at once; desks are to encrypt to it from then on. One that signs does so from then on.
    Running workers take it up.

    Example: mailflow service-keys stage signing-2026-11-25-1 --certificate new.pem --from 2027-01-04 --apply
    """
    settings, at = invocation.settings, app.now()
    path = settings.keys.service_dir / f"{name}.key"
    if name not in [one.stem for one in settings.keys.service_dir.glob("*.key")]:
        raise click.BadParameter(f"there is no key {path}")
    enrolled = _enrolled(invocation)
    content = octets_of(given or path.with_suffix(".crt"))
    use = KeyUse(name.partition("-")[0])
    key = _checked(path, content, use, enrolled.service_keys, max(_instant(since), at) if since else at + NOTICE)
    told = [sender for sender in enrolled.senders if is_told(sender)]
    plan = [
        f"keep its certificate {key.fingerprint} as {path.with_suffix('.pem')}",
        f"have it follow from {key.active_from.astimezone(PARIS):%Y-%m-%d %H:%M}",
        f"tell {len(told)} senders",
    ]
    if act.apply:
        wait_for(_stage(invocation, path, content, key, act))
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    return Exit.DONE


def _instant(since: datetime) -> datetime:
    """A day begins in Paris; what has a time is UTC."""
    return since.replace(tzinfo=PARIS if since.time() == time() else UTC).astimezone(UTC)


def _checked(path: Path, content: bytes, use: KeyUse, keys: Sequence[ServiceKey], since: datetime) -> ServiceKey:
    """The key as it would be staged. Raises MailflowError for what would not serve."""
    pair = cms.KeyPair(key=source_of(path), certificates=content)
    der = (cms.open_signing_key if use is KeyUse.SIGNING else cms.open_decryption_key)(pair).certificate
    try:
        check_leaf(der, read(der), USES[use], since)
    except TrustError as error:
        raise MailflowError(f"the certificate cannot serve: {error}") from None
    period, key = describe(der).validity, ServiceKey(fingerprint=fingerprint(der), use=use, active_from=since)
    if not period.begins <= since < period.ends:
        raise MailflowError(f"the certificate holds from {period.begins} to {period.ends}, not on {since}")
    on_record = [one for one in keys if one.use is use and one.retired_at is None]
    if any(one.fingerprint == key.fingerprint for one in keys if one.use is use):
        raise MailflowError("a key with this certificate was staged before")
    if any(one.active_from >= since for one in on_record):
        raise MailflowError("another key takes over later than that: this one would never serve")
    known = path.with_suffix(".pem")
    if known.exists() and fingerprint(read_pem_file(known, pem.CERTIFICATE)[0]) in {one.fingerprint for one in keys}:
        raise MailflowError(f"{known}: this key was staged before, with another certificate")
    return key


async def _stage(invocation: Invocation, path: Path, content: bytes, key: ServiceKey, act: Act) -> None:
    """First the file, then the record: what is on record can be worked with."""
    settings, at = invocation.settings, app.now()
    async with app.register_of(settings) as register:
        draft = path.with_name(f".{path.stem}.draft")
        draft.unlink(missing_ok=True)
        write_new(draft, content, PUBLIC)
        draft.replace(path.with_suffix(".pem"))
        async with register.begin() as tx:
            if not await rotation.stage(
                tx,
                key,
                pem.read_der(content, pem.CERTIFICATE)[0],
                journal.Act(by=act.by, why=act.why),
                domain=settings.service.address.rpartition("@")[2],
                overlap=_overlap(settings),
                at=at,
            ):
                raise MailflowError("a key with this certificate was staged before")


# Retire the former one


@service_keys_.command()
@click.argument("name")
@click.option(
    "--at-once", is_flag=True, help="Do not wait for the overlap, nor for mails that are still to be decided."
)
@act_options
@click.pass_obj
def retire(invocation: Invocation, name: str, at_once: bool, *, act: Act) -> int:
    """Use the key NAME of `service-keys list`, or with this SHA-256, for nothing any more; its file may then go.

    Its certificate stays: what it signed has to remain proven.

    Example: mailflow service-keys retire decryption-1 --why "replaced" --apply
    """
    settings = invocation.settings
    at, files = app.now(), app.key_files(settings, app.now)
    known = known_keys(files, _enrolled(invocation).service_keys)
    fitting = [one for one in known if name and (one.file.name == name or one.key.fingerprint.startswith(name.lower()))]
    if len(fitting) != 1:
        raise click.BadParameter(f"{len(fitting)} keys are called {name}, or have a certificate that begins so")
    (one,) = fitting
    keys = [other.key for other in known]
    if one.key.retired_at is not None:
        raise MailflowError(f"{name} is retired already")
    if _state(one.key, keys, at) == "present":
        raise MailflowError(f"{name} is the present key: stage another one first")
    going = may_go(keys, one.key, _overlap(settings))
    if not at_once and (going is None or going > at):
        until = f"before {going.astimezone(PARIS):%Y-%m-%d}" if going else "while nothing follows it"
        raise MailflowError(f"{name} may not go {until}: mails to it may still come; --at-once does it all the same")
    plan = [f"use the {one.key.use} key {one.key.fingerprint} no more; then {one.file.key} may be destroyed"]
    if act.apply:
        wait_for(_retire(invocation, one.key, None if at_once else going, act))
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    return Exit.DONE


async def _retire(invocation: Invocation, key: ServiceKey, going: datetime | None, act: Act) -> None:
    async with app.register_of(invocation.settings) as register, register.begin() as tx:
        waiting = 0
        if key.use is KeyUse.DECRYPTION and going is not None:
            waiting = await service_keys.undecided_before(tx, going)
        if waiting:
            raise MailflowError(f"{waiting} mails that came while this key was in use are not decided yet")
        await service_keys.retire(tx, key, journal.Act(by=act.by, why=act.why), app.now())


def _overlap(settings: Settings) -> timedelta:
    """As long as a mail is kept, somebody may have it judged again."""
    return timedelta(days=settings.jobs.retention_days)


def _enrolled(invocation: Invocation) -> Directory:
    async def read_() -> Directory:
        async with app.register_of(invocation.settings) as register, register.read() as tx:
            return await directory.read(tx)

    return wait_for(read_())
