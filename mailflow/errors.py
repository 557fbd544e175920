"""The only exceptions that cross a module boundary.

What is wrong with a sender's request is not an exception but a value: see `core.anomalies`.
"""


class MailflowError(Exception):
    """Base of every error that this package raises on purpose. The text never carries content of a mail."""


class Unavailable(MailflowError):
    """A server or the database did not do its part this time. Try again later; never the sender's fault."""


class Undeliverable(MailflowError):
    """A server refused for good. Doing the same thing again cannot help."""


class Misconfigured(MailflowError):
    """The operator must change a setting, or a file that it names, before the service can start."""
