"""`mailflow init`: everything that a new installation needs on disk, and the schema of the register.

Only what is missing is made, nothing is overwritten: so it also completes an installation, and upgrades its schema.
"""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, say, show_plan, wait_for
from mailflow.cli.service_keys import service_key_pair
from mailflow.settings import Settings
from mailflow.settings.sample import sample

KEY_BYTES = 32
PRIVATE = 0o600
FOLDERS = ("keys/master", "secrets", "trust/anchors", "trust/intermediates", "trust/crls")


@dataclass(frozen=True, slots=True)
class _Missing:
    """A file or folder to be made."""

    path: Path
    what: str
    make: Callable[[], None]


@click.command()
@apply_option
@json_option
@click.pass_obj
def init(invocation: Invocation, apply: bool, as_json: bool) -> int:
    """Make the settings file, folders, keys and register that are missing; upgrade the register's schema.

    The first call writes the settings file; edit it, then call again for the rest.

    Example: mailflow --config /etc/mailflow/mailflow.toml init --apply
    """
    config = invocation.config
    if not config.exists():
        plan = [f"write the settings file {config}"]
        if apply:
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(sample(), encoding="utf-8")
        return _done(plan, f"Now edit {config}, then call this command again.", apply=apply, as_json=as_json)
    settings = invocation.settings
    missing = [*_folders(config.absolute().parent), *_keys(settings)]
    plan = [f"make {one.path} ({one.what})" for one in missing]
    plan.append(f"bring the register to the present schema ({settings.register_.url.partition(':')[0]})")
    if apply:
        for one in missing:
            one.make()
        wait_for(app.migrate(settings))
    following = "Next: mailflow check-config, then enrol a sender, a desk and a mandate."
    return _done(plan, following, apply=apply, as_json=as_json)


def _done(plan: list[str], following: str, *, apply: bool, as_json: bool) -> int:
    show_plan(plan, apply=apply, as_json=as_json)
    if apply and not as_json:
        say(following)
    return Exit.DONE


def _folders(root: Path) -> list[_Missing]:
    return [
        _Missing(folder, "folder", partial(folder.mkdir, parents=True, mode=0o750))
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
    return _Missing(path, what, lambda: _write(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n", PRIVATE))


def _pair(settings: Settings, key: Path, certificate: Path, use: str) -> _Missing:
    def make() -> None:
        pair = service_key_pair(settings.service.name, settings.service.address, use, app.now())
        _write(key, pair.key, PRIVATE)
        _write(certificate, pair.certificate, 0o644)
        _write(certificate.with_suffix(".csr"), pair.request, 0o644)

    what = f"{use} key of the service, a self-signed certificate {certificate}, and a request for a real one"
    return _Missing(key, what, make)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Exclusively: a file that appears meanwhile is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
