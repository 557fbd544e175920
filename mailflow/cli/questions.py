"""What `mailflow init` asks for a new installation: the settings that have no default, and the passwords."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from mailflow.cli.invocation import say
from mailflow.errors import Misconfigured
from mailflow.settings import meaning_of, value_of

Values = Mapping[str, object]
"""Settings by their full names."""

IMAP_PORTS = {"tls": 993}
IMAP_PORT = 143
SMTP_PORTS = {"tls": 465, "starttls": 587}
SMTP_PORT = 25

DEFAULTS: dict[str, Callable[[Values], object]] = {
    "mailbox.security": lambda _: "tls",
    "mailbox.port": lambda given: IMAP_PORTS.get(str(given["mailbox.security"]), IMAP_PORT),
    "mailbox.auth": lambda _: "login",
    "smtp.host": lambda given: given["mailbox.host"],
    "smtp.security": lambda given: given["mailbox.security"],
    "smtp.port": lambda given: SMTP_PORTS.get(str(given["smtp.security"]), SMTP_PORT),
    "smtp.user": lambda _: "",
}
"""What is proposed, from what was answered before."""

QUESTIONS = (
    "environment",
    "service.name",
    "service.address",
    "service.contact",
    "register.url",
    "mailbox.host",
    "mailbox.security",
    "mailbox.port",
    "mailbox.auth",
    "mailbox.user",
    "mailbox.secret_file",
    "audit.user",
    "audit.address",
    "audit.secret_file",
    "smtp.host",
    "smtp.security",
    "smtp.port",
    "smtp.user",
    "smtp.secret_file",
)
"""In this order. For a secret file the secret itself is asked, which is then kept in that file."""

MAY_BE_EMPTY = ("smtp.user",)


@dataclass(slots=True, kw_only=True)
class Interview:
    """The answers, as far as they are known."""

    folder: Path
    """Where the settings file is to lie."""
    values: dict[str, object] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """By the name of the server that wants it."""

    def given(self, pairs: tuple[str, ...]) -> None:
        """Take answers of the form NAME=VALUE. Raises Misconfigured, naming every wrong one."""
        faults = []
        for pair in pairs:
            name, sign, text = pair.partition("=")
            try:
                self.values[name] = value_of(name, text) if sign else _no_value(name)
            except Misconfigured as error:
                faults.append(str(error))
        if faults:
            raise Misconfigured("\n  ".join(["--set:", *faults]))

    def complete(self) -> None:
        """Without asking: propose to oneself. What has no proposal is missing, and named when the file is checked."""
        for name in QUESTIONS:
            if name not in self.values and self._wanted(name):
                try:
                    proposed = self._proposal(name)
                except KeyError:
                    continue  # it follows from one that is missing
                if proposed not in (None, ""):
                    self.values[name] = proposed

    def ask(self, server: str = "") -> None:
        """Ask for what is not known; for all about `server` anew when it is named."""
        for name in QUESTIONS:
            again = bool(server) and name.startswith(f"{server}.")
            if self._wanted(name) and (again or (not server and name not in self.values)):
                self._ask(name)

    def missing(self) -> tuple[str, ...]:
        """The questions without an answer."""
        return tuple(n for n in QUESTIONS if self._wanted(n) and n not in self.values and n not in MAY_BE_EMPTY)

    def _ask(self, name: str) -> None:
        say("")
        if name.endswith(".secret_file"):
            server = name.partition(".")[0]
            self.secrets[server] = click.prompt(f"password or token of {server}.user", hide_input=True)
            self.values[name] = self._proposal(name)
            return
        say(meaning_of(name).replace("`", ""))
        proposed = self.values.get(name, self._proposal(name))
        while True:
            text = str(click.prompt(name, default=proposed, show_default=proposed != "")).strip()
            if not text and name in MAY_BE_EMPTY:
                self.values.pop(name, None)
                return
            try:
                self.values[name] = value_of(name, text)
            except Misconfigured as error:
                click.echo(str(error), err=True)
            else:
                return

    def _wanted(self, name: str) -> bool:
        """A server that asks for no user wants no password."""
        return name != "smtp.secret_file" or "smtp.user" in self.values

    def _proposal(self, name: str) -> object:
        if name == "register.url":
            # What changes lies not in /etc (Filesystem Hierarchy Standard).
            inside_etc = self.folder.is_relative_to("/etc")
            return "sqlite:////var/lib/mailflow/mailflow.db" if inside_etc else "sqlite:///mailflow.db"
        if name.endswith(".secret_file"):
            return f"%d/{name.partition('.')[0]}"
        propose = DEFAULTS.get(name)
        return propose(self.values) if propose else None


def _no_value(name: str) -> object:
    raise Misconfigured(f"{name}: should be given as {name}=VALUE")
