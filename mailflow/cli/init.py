"""`mailflow init`: everything that a new installation needs on disk, and the schema of the register.

Only what is missing is made, nothing is overwritten: so it also completes an installation, and upgrades its schema.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.check import SERVERS, Finding, code_of, look, show
from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, say, show_plan, wait_for
from mailflow.cli.placing import PRIVATE, hand_over_register, write_new, write_random_key
from mailflow.cli.questions import Interview
from mailflow.cli.service_keys import service_key_pair
from mailflow.errors import Misconfigured
from mailflow.settings import Settings, meaning_of, parse
from mailflow.settings.sample import sample

FOLDERS = ("keys/master", "keys/service", "secrets", "trust/anchors", "trust/intermediates", "trust/crls")


@dataclass(frozen=True, slots=True)
class _Missing:
    """A file or folder to be made."""

    path: Path
    what: str
    make: Callable[[], None]


@click.command()
@click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="A setting of the new file; may be given again."
)
@apply_option
@json_option
@click.pass_obj
def init(invocation: Invocation, given: tuple[str, ...], apply: bool, as_json: bool) -> int:
    """Make the settings file, folders, keys and register that are missing; upgrade the register's schema.

    Without a settings file, on a terminal, it asks the few questions that a new installation needs, keeps passwords
    in files of their own, and tries the servers. Elsewhere --set answers them, and the passwords are put into
    `secrets/mailbox`, `secrets/audit` and `secrets/smtp` beforehand; without --set a sample is written, to be edited.

    Example: mailflow --config /etc/mailflow/mailflow.toml init --apply
    """
    config = invocation.config.absolute()
    interview = Interview(folder=config.parent)
    interview.given(given)
    if config.exists() and given:
        raise Misconfigured(f"{config} is there already: edit it; --set is for a new one")
    try:
        if config.exists():
            return _complete(invocation, [], apply=apply, as_json=as_json)
        asking = apply and not as_json and sys.stdin.isatty()
        if not (asking or given):
            return _write_sample(config, apply=apply, as_json=as_json)
        return _begin(invocation, interview, asking=asking, apply=apply, as_json=as_json)
    except OSError as error:
        raise Misconfigured(f"{error.filename}: {error.strerror}; who installs may need to be root") from error


def _write_sample(config: Path, *, apply: bool, as_json: bool) -> int:
    if apply:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(sample(), encoding="utf-8")
    following = f"Now edit {config}, then call this command again."
    return _done([f"write the settings file {config}"], following, apply=apply, as_json=as_json)


def _begin(invocation: Invocation, interview: Interview, *, asking: bool, apply: bool, as_json: bool) -> int:
    """A new installation: the settings file, what it names, and whether the servers answer."""
    config = invocation.config.absolute()
    if asking:
        interview.ask()
    interview.complete()
    if missing := interview.missing():
        lines = [f"{name}: is missing -- {meaning_of(name)}" for name in missing]
        raise Misconfigured("\n  ".join(["--set:", *lines]))
    settings = _settings_of(interview, config)
    plan = [f"write the settings file {config}"]
    if not apply:
        return _done(plan, "", apply=False, as_json=as_json)
    config.parent.mkdir(parents=True, exist_ok=True)
    _keep(interview, config)
    findings = _try_servers(settings, as_json=as_json)
    while asking and (amiss := next((one for one in findings if not one.ok), None)):
        if not click.confirm(f"Answer the questions about {amiss.what} again?", default=True):
            break
        interview.ask(amiss.what)
        settings = _settings_of(interview, config)
        _keep(interview, config)
        findings = _try_servers(settings, as_json=as_json)
    _complete(invocation, plan, apply=True, as_json=as_json)
    return code_of(findings)


def _settings_of(interview: Interview, config: Path) -> Settings:
    return parse(sample(interview.values), config)


def _keep(interview: Interview, config: Path) -> None:
    """Write the settings and the passwords; again, when a question was answered again."""
    config.write_text(sample(interview.values), encoding="utf-8")
    for server, secret in interview.secrets.items():
        path = config.parent / "secrets" / server
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        write_new(path, secret.encode() + b"\n", PRIVATE)


def _try_servers(settings: Settings, *, as_json: bool) -> list[Finding]:
    findings = wait_for(look(settings, SERVERS))
    if not as_json:
        show(findings)
    return findings


def _complete(invocation: Invocation, plan: list[str], *, apply: bool, as_json: bool) -> int:
    """What is missing beside the settings file, and the register's schema."""
    settings = invocation.settings
    missing = [*_folders(invocation.config.absolute().parent), *_keys(settings)]
    plan += [f"make {one.path} ({one.what})" for one in missing]
    plan.append(f"bring the register to the present schema ({settings.register_.url.partition(':')[0]})")
    if apply:
        for one in missing:
            one.make()
        wait_for(app.migrate(settings))
        hand_over_register(settings.register_)
    following = "Next: mailflow check-config, then enrol a sender, a desk and a mandate."
    return _done(plan, following, apply=apply, as_json=as_json)


def _done(plan: list[str], following: str, *, apply: bool, as_json: bool) -> int:
    show_plan(plan, apply=apply, as_json=as_json)
    if apply and not as_json:
        say(following)
    return Exit.DONE


def _folders(root: Path) -> list[_Missing]:
    return [
        _Missing(folder, "folder", partial(folder.mkdir, parents=True, mode=0o700 if name == "secrets" else 0o750))
        for name in FOLDERS
        if not (folder := root / name).exists()
    ]


def _keys(settings: Settings) -> list[_Missing]:
    found = []
    master = settings.register_.master_keys_dir
    if not list(master.glob("*.key")):
        found.append(_random_key(master / "1.key", "master key: without it nothing in the register can be read"))
    lookup = settings.register_.lookup_key_file
    if not lookup.exists():
        found.append(_random_key(lookup, "key of the look-up tokens: it can never be changed"))
    uses = {(settings.keys.signing_key_file, settings.keys.signing_certificate_file): ["signing"]}
    for pair in settings.keys.decryption:
        uses.setdefault((pair.key_file, pair.certificate_file), []).append("decryption")
    for (key, certificate), named in uses.items():
        if not key.exists() and not certificate.exists():
            found.append(_pair(settings, key, certificate, " and ".join(named)))
    return found


def _random_key(path: Path, what: str) -> _Missing:
    return _Missing(path, what, lambda: write_random_key(path))


def _pair(settings: Settings, key: Path, certificate: Path, use: str) -> _Missing:
    def make() -> None:
        pair = service_key_pair(settings.service.name, settings.service.address, use, app.now())
        write_new(key, pair.key, PRIVATE)
        write_new(certificate, pair.certificate, 0o644)
        write_new(certificate.with_suffix(".csr"), pair.request, 0o644)

    what = f"{use} key of the service, a self-signed certificate {certificate}, and a request for a real one"
    return _Missing(key, what, make)
