"""Settings of the two mailboxes: that which desks write to, and that which has a copy of each answer."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mailflow.mail.imap_session import Authentication, account_name
from mailflow.mail.smtp import Security
from mailflow.settings.section import Section
from mailflow.settings.values import Address, Count, File, MailFolder, MailHost, Port, Text, is_local

INHERITED_BY_AUDIT = ("host", "port", "security", "auth", "ca_file")
"""What the audit mailbox takes from the mailbox when it does not say otherwise."""


class Imap(Section):
    """An IMAP account."""

    host: MailHost = Field(examples=["imap.example.org"])
    """Name of the IMAP server, as its TLS certificate has it."""
    port: Port = Field(examples=[993])
    """Port of the IMAP server: usually 993 for `tls`, 143 otherwise."""
    security: Security = Field(examples=["tls"])
    """`tls`, `starttls`, or `plain` (on this machine only)."""
    auth: Authentication = Field(examples=["login"])
    """`login` (password), `xoauth2` or `oauthbearer` (token, read anew from its file at each connection)."""
    user: Text = Field(examples=["demandes"])
    """Name of the account."""
    secret_file: File = Field(examples=["secrets/mailbox"])
    """File that holds the password or the token, in one line."""
    ca_file: File | None = Field(default=None, examples=["trust/servers.pem"])
    """PEM file of the authorities that the server's certificate may chain to. When absent: the system's."""
    folder: MailFolder = "INBOX"
    """Folder that is read."""

    @property
    def account(self) -> str:
        """By which the register knows it, for ever."""
        return account_name(self.user, self.host)

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> Self:
        if self.security is Security.PLAIN and not is_local(self.host):
            raise PydanticCustomError("plain", "security `plain` would send the secret in clear to another machine")
        return self


class Mailbox(Imap):
    """The mailbox that desks write to."""

    processed: MailFolder = "Processed"
    """Folder into which a mail is moved once it is safe in the register."""
    quarantine: MailFolder = "Quarantine"
    """Folder for mails that a person has to look at."""
    poll_seconds: Count = 30
    """Longest time between two looks at the mailbox."""
    idle_seconds: Count = Field(default=240, le=1740)
    """Length of one IDLE, which only wakes us earlier. RFC 2177 wants less than 29 minutes."""
    timeout_seconds: Count = 30
    """Longest wait for one reply of the IMAP server."""

    @property
    def folders(self) -> frozenset[str]:
        return frozenset({self.folder, self.processed, self.quarantine})

    @model_validator(mode="after")
    def _folders_differ(self) -> Self:
        if len(self.folders) < 3:
            raise PydanticCustomError("folders", "folder, processed and quarantine should be three folders")
        return self


class Audit(Imap):
    """Our own mailbox that receives a copy of every answer; it decides whether a doubtful send went out."""

    user: Text = Field(examples=["audit"])
    """Name of the account."""
    secret_file: File = Field(examples=["secrets/audit"])
    """File that holds the password or the token, in one line."""
    address: Address = Field(examples=["audit@example.org"])
    """Address of the audit mailbox: the second envelope recipient of each answer."""
