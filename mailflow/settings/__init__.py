"""The operator's settings: one TOML file, read once at the start, passed on as frozen values."""

from mailflow.mail.imap_session import Authentication
from mailflow.mail.smtp import Security
from mailflow.settings.load import file_faults, load, meaning_of, parse, read_secret, value_of
from mailflow.settings.model import Settings
from mailflow.settings.values import LogFormat

__all__ = [
    "Authentication",
    "LogFormat",
    "Security",
    "Settings",
    "file_faults",
    "load",
    "meaning_of",
    "parse",
    "read_secret",
    "value_of",
]
