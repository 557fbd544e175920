"""The operator's settings: one TOML file, read once at the start, passed on as frozen values."""

from mailflow.settings.load import file_faults, load, read_secret
from mailflow.settings.model import Authentication, LogFormat, Security, Settings

__all__ = ["Authentication", "LogFormat", "Security", "Settings", "file_faults", "load", "read_secret"]
