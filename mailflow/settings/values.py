"""The forms that values of settings have, each with the sentence that a wrong one is answered with."""

import re
import time
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Strict, ValidationInfo
from pydantic_core import PydanticCustomError

from mailflow.mail.smtp import is_addr_spec


def _address(value: str) -> str:
    if not is_addr_spec(value):
        raise PydanticCustomError("address", "should be a bare mail address such as name@example.org")
    return value.lower()


def _address_or_none(value: str) -> str:
    return _address(value) if value else ""


def _resolved(value: Path, info: ValidationInfo) -> Path:
    """Relative to the folder of the settings file; `%d` is systemd's folder of credentials.

    Who is not started by systemd finds at `secrets` beside the settings file what systemd would pass on.
    """
    context = info.context or {}
    folder = Path(context.get("folder", "."))
    first, *rest = value.parts or ("",)
    if first == "%d":
        return Path(context.get("credentials") or folder / "secrets", *rest)
    return folder / value


def _register_url(value: str, info: ValidationInfo) -> str:
    """An SQLite file relative to the settings file, or PostgreSQL without a password in the URL."""
    if value.startswith("sqlite:///") and value != "sqlite:///" and ":memory:" not in value:
        return f"sqlite:///{_resolved(Path(value.removeprefix('sqlite:///')), info)}"
    if not value.startswith("postgresql://"):
        raise PydanticCustomError("url", "should be sqlite:///FILE or postgresql://USER@HOST/DATABASE")
    authority = value.removeprefix("postgresql://").partition("/")[0]
    if ":" in authority.rpartition("@")[0] or "password=" in value:
        raise PydanticCustomError("password", "should hold no password: name a file with ?passfile=FILE")
    return value


def _time_of_day(value: str) -> str:
    try:
        time.strptime(value, "%H:%M")
    except ValueError:
        raise PydanticCustomError("time", "should be a time of day such as 02:30") from None
    return value


def _listening(value: str) -> str:
    """Off, or a numeric address with a port."""
    if value:
        host, _, port = value.rpartition(":")
        try:
            ip_address(host.removeprefix("[").removesuffix("]") if host.startswith("[") else host)
            bad = not 0 <= int(port) <= 65535 or (":" in host) != host.startswith("[")
        except ValueError:
            bad = True
        if bad:
            raise PydanticCustomError("listening", "should be a numeric address with a port such as 127.0.0.1:9464")
    return value


def _collector(value: str) -> str:
    """Off, or a whole URL; in clear to this machine only."""
    if value:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path in ("", "/") or parts.username:
            raise PydanticCustomError("url", "should be a whole URL such as http://127.0.0.1:4318/v1/traces")
        if parts.scheme == "http" and not is_local(parts.hostname):
            raise PydanticCustomError("plain", "should be https to another machine")
    return value


def _url(value: str) -> str:
    """Of what is signed by itself: in clear, too."""
    try:
        parts = urlsplit(value)
        bad = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        bad = bad or parts.username is not None or bool(parts.fragment)
    except ValueError:
        bad = True
    if bad or not value.isascii() or not value.isprintable():
        raise PydanticCustomError("url", "should be a whole URL such as http://crl.example.org/ca.crl")
    return value


def _fingerprint(value: str) -> str:
    """However a tool writes it: with colons, in capitals."""
    plain = value.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", plain):
        raise PydanticCustomError("fingerprint", "should be a SHA-256 fingerprint, 64 hexadecimal digits")
    return plain


def _host_name(value: str) -> str:
    try:
        parts = urlsplit(f"//{value}")
        bad = parts.netloc != value or not parts.hostname or parts.port == 0 or parts.username is not None
    except ValueError:
        bad = True
    if bad:
        raise PydanticCustomError("host", "should be a host such as crl.example.org or crl.example.org:8080")
    return value.lower()


def _mail_folder(value: str) -> str:
    """The inbox has one name, however it is written (RFC 3501 section 5.1): the register knows mails by folder."""
    return "INBOX" if value.upper() == "INBOX" else value


Address = Annotated[str, AfterValidator(_address)]
AddressOrNone = Annotated[str, AfterValidator(_address_or_none)]
File = Annotated[Path, AfterValidator(_resolved)]
Folder = Annotated[Path, AfterValidator(_resolved)]
RegisterUrl = Annotated[str, AfterValidator(_register_url)]
Text = Annotated[str, Field(min_length=1)]
MailFolder = Annotated[Text, AfterValidator(_mail_folder)]
MailHost = Annotated[Text, AfterValidator(str.lower)]
"""As one and the same server is always named: the register knows mailboxes by it."""
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Count = Annotated[int, Strict(), Field(ge=1)]
Percent = Annotated[int, Strict(), Field(ge=1, le=99)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Collector = Annotated[str, AfterValidator(_collector)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Oid = Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$")]
Url = Annotated[str, AfterValidator(_url)]
HostName = Annotated[str, AfterValidator(_host_name)]
Listening = Annotated[str, AfterValidator(_listening)]


class LogFormat(StrEnum):
    """How a log line is written."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def is_local(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
