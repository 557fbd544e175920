"""One log line for each transition: `key=value` pairs that identify, never content, names or addresses.

What is not an identifier by its form is written as `?`, and of what libraries log only the place is kept, so
that no personal data can slip in by mistake. No log call ever raises, so none can turn a mail into poison.
"""

import json
import logging
import os
import re
import socket
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

Identifier = int | str | None

IDENTIFIER = re.compile(
    r"[a-z_][a-z0-9_.-]{0,63}"  # a word of the program: a state, a reason, a sender's code
    r"|[0-9A-Z]{5}"  # a desk
    r"|(?=[A-Z_]*[0-9])[0-9A-Z_]{1,40}"  # an anomaly, a unique number
    r"|[0-9a-f]{16,64}"  # a digest
    r"|[0-9]{1,3}(\.[0-9]{1,3}){1,3}"  # an enhanced status, an IPv4 address
    r"|(DEM|RET|ATT|CER|GES|RGE|DIS)[0-9A-Z]{5}-[0-9]{12}(-[0-9]{6}(-[0-9]{1,3})?)?\.(xml|pem|pdf)",
)
"""What may stand behind the equals sign. No blank, no `@`, no capitalised word, no date."""

UNWRITABLE = "?"

Form = Literal["auto", "text", "json"]

JOURNAL = "/run/systemd/journal/socket"
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Of syslog(3)."""


def event(logger: logging.Logger, stage: str, *, level: int = logging.INFO, **identifiers: Identifier) -> None:
    """Log that something reached `stage`. An identifier that is None is left out."""
    if logger.isEnabledFor(level):
        pairs = {"stage": safe(stage)}
        pairs |= {key: safe(value) for key, value in identifiers.items() if value is not None}
        logger.log(level, "%s", stage, extra={"pairs": pairs})


def fault(logger: logging.Logger, stage: str, error: BaseException, **identifiers: Identifier) -> None:
    """Log an error that nobody expected: its class and where it was raised, never its text."""
    pairs = {"stage": safe(stage)}
    pairs |= {key: safe(value) for key, value in identifiers.items() if value is not None}
    logger.error("%s", stage, extra={"pairs": pairs | _place(error)})


def safe(value: Identifier) -> str:
    """An identifier as it is written; `?` for whatever has not the form of one."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, int) or (isinstance(value, str) and IDENTIFIER.fullmatch(text)):
        return text
    return UNWRITABLE


def configure(*, form: Form, level: str, stream: TextIO = sys.stderr) -> None:
    """Send every log line of the process, libraries included, to `stream` in our form.

    `auto`: to the journal, each pair a field of its entry, when systemd has joined `stream` to it; else text.
    """
    handler: logging.Handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if form == "json" else _Text())
    if form == "auto" and _is_journal(stream):
        handler = _Journal(handler)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mailflow").setLevel(level.upper())
    logging.captureWarnings(capture=True)


def _is_journal(stream: TextIO) -> bool:
    """Whether `stream` is what systemd said that it joined to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        joined = os.fstat(stream.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{joined.st_dev}:{joined.st_ino}"


def _place(error: BaseException) -> dict[str, str]:
    """The innermost line of ours, and the class of the error: names from source text, not data."""
    place = {"error": type(error).__name__}
    frame = error.__traceback__
    while frame is not None:
        module = frame.tb_frame.f_globals.get("__name__", "")
        if module.startswith("mailflow") or "at" not in place:
            place["at"] = f"{module}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def _pairs(record: logging.LogRecord) -> dict[str, str]:
    pairs = getattr(record, "pairs", None)
    if pairs is None:
        pairs = {"stage": "foreign", "at": f"{record.name}:{record.lineno}"}
        error = record.exc_info[1] if record.exc_info else None
        pairs |= {"error": type(error).__name__} if error else {}
    # The intake comes first, so that the eye finds the lines of one mail.
    return {key: pairs[key] for key in sorted(pairs, key=lambda key: (key != "intake", key != "stage"))}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Journal(logging.Handler):
    """One datagram for each line, in the journal's own protocol. What it does not take goes to `instead`."""

    def __init__(self, instead: logging.Handler) -> None:
        super().__init__()
        self._instead = instead
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        pairs = _pairs(record)
        said = " ".join(f"{key}={value}" for key, value in pairs.items())
        fields = {
            "MESSAGE": f"{record.name} {said}",
            "PRIORITY": PRIORITIES.get(record.levelno, PRIORITIES[logging.INFO]),
            "SYSLOG_IDENTIFIER": "mailflow",
            "LOGGER": record.name,
        } | {f"MAILFLOW_{key.upper()}": value for key, value in pairs.items()}
        # No value has a line end: each is an identifier, or the name of a class or module.
        octets = "".join(f"{name}={value}\n" for name, value in fields.items()).encode()
        try:
            self._socket.sendto(octets, JOURNAL)
        except OSError:
            self._instead.emit(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        pairs = " ".join(f"{key}={value}" for key, value in _pairs(record).items())
        return f"{_time(record)} {record.levelname.lower()} {record.name} {pairs}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps(line | _pairs(record))
