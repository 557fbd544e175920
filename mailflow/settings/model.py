"""Every setting with its meaning, unit and default; the sample and the operator's table are made from it."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mailflow.core.model import Environment
from mailflow.mail.smtp import AROUND_DATA_SECONDS_MAX, Security, sending_seconds_max
from mailflow.settings.amounts import Limits, Rates
from mailflow.settings.mailboxes import INHERITED_BY_AUDIT, Audit, Mailbox
from mailflow.settings.section import Section
from mailflow.settings.trust import Revocation, Trust
from mailflow.settings.values import (
    Address,
    AddressOrNone,
    Collector,
    Count,
    File,
    Folder,
    Listening,
    LogFormat,
    LogLevel,
    Percent,
    Port,
    RegisterUrl,
    Text,
    TimeOfDay,
    is_local,
)  # fmt: skip


class Service(Section):
    """Who we are to those who write to us."""

    name: Text = Field(examples=["Enregistrement des demandes (école)"])
    """Display name in the From field of answers."""
    address: Address = Field(examples=["demandes@example.org"])
    """The address that desks write to, and the From address of answers."""
    bounce_address: AddressOrNone = ""
    """Envelope sender of answers, to which delivery failures return. When empty: the null sender."""
    contact: Text = Field(examples=["01 23 45 67 89, assistance@example.org"])
    """Whom a desk may call; a sentence of every answer ends with it."""
    deadline_hours: Count = 12
    """Time within which a request is to be answered, from its arrival at the mail server."""
    receipt_minutes: Count = 15
    """Time that a mail may wait here without an answer before a technical receipt goes to its sender."""
    warning_percents: tuple[Percent, ...] = (50, 75, 90)
    """Operators are warned of mails that have used such a part of the deadline."""


class Register(Section):
    """Where the requests are remembered, and the keys without which nobody can read them."""

    url: RegisterUrl = "sqlite:///mailflow.db"
    """`sqlite:///FILE`, or `postgresql://USER@HOST/DATABASE?passfile=FILE`; of several hosts the one that writes:
    `postgresql://USER@/DATABASE?host=ONE&host=TWO&passfile=FILE`. No password in it."""
    keys_url: RegisterUrl | None = Field(default=None, examples=["sqlite:////srv/keys/mailflow-keys.db"])
    """Database of the content keys, whose backups are to be short-lived. When absent: the file `NAME-keys.db` beside
    `NAME.db`, or the schema `mailflow_keys` of the register's database."""
    key_copies_days: Count = 30
    """How long copies of the key store live: until then what was erased can be read by whoever has one of them,
    one of the register, and the master keys. The proof of an erasure counts with it."""
    master_keys_dir: Folder = Path("keys/master")
    """Folder of `<id>.key` files, 32 bytes each in base64 or hexadecimal, that wrap the keys of the requests.
    A new register begins with the last id in order; `mailflow master-key rotate` goes on to another."""
    lookup_key_file: File = Path("keys/lookup.key")
    """Key of the look-up tokens, 32 bytes in base64 or hexadecimal. It can never be changed."""


class Smtp(Section):
    """The server that takes our answers."""

    host: Text = Field(examples=["smtp.example.org"])
    """Name of the SMTP server, as its TLS certificate has it."""
    port: Port = Field(examples=[465])
    """Port of the SMTP server: usually 465 for `tls`, 587 or 25 otherwise."""
    security: Security = Field(examples=["tls"])
    """`tls`, `starttls`, or `plain` (with a user: on this machine only)."""
    user: Text | None = Field(default=None, examples=["demandes"])
    """Name of the account. When absent: no authentication."""
    secret_file: File | None = Field(default=None, examples=["secrets/smtp"])
    """File that holds the password, in one line."""
    ca_file: File | None = Field(default=None, examples=["trust/servers.pem"])
    """PEM file of the authorities that the server's certificate may chain to. When absent: the system's."""
    connections: Count = Field(default=16, le=50)
    """Most connections that are open side by side. When the server lets in fewer, all mails go through those."""
    timeout_seconds: Count = 60
    """Longest wait for one reply, the reply to the final dot excepted."""
    data_timeout_seconds: Count = 600
    """Longest wait for the reply to the final dot. RFC 5321 (4.5.3.2.6) wants ten minutes."""

    @model_validator(mode="after")
    def _authentication_is_whole(self) -> Self:
        if (self.user is None) != (self.secret_file is None):
            raise PydanticCustomError("pair", "user and secret_file should be given together")
        if self.user and self.security is Security.PLAIN and not is_local(self.host):
            raise PydanticCustomError("plain", "security `plain` would send the secret in clear to another machine")
        return self


class DecryptionKey(Section):
    """A key that desks may encrypt to."""

    key_file: File = Field(examples=["keys/decryption.key"])
    """Private key: PEM without a passphrase, or a PKCS #11 URI that says where in a token it is."""
    certificate_file: File = Field(examples=["keys/decryption.pem"])
    """Its certificate, PEM, as published to the desks."""


class Keys(Section):
    """The keys of the service itself."""

    signing_key_file: File = Field(examples=["keys/signing.key"])
    """Private key that signs answers: PEM without a passphrase, or a PKCS #11 URI that says where in a token it is."""
    signing_certificate_file: File = Field(examples=["keys/signing.pem"])
    """Its certificate, PEM."""
    signing_chain_file: File | None = Field(default=None, examples=["keys/chain.pem"])
    """Intermediate certificates that go along with each answer, PEM."""
    signing_former_file: File | None = Field(default=None, examples=["keys/former.pem"])
    """Former certificates of the signing key, PEM: what was signed with them of the journal stays proven."""
    archive_certificate_file: File | None = Field(default=None, examples=["keys/archive.pem"])
    """Every answer is encrypted to this certificate too; its private key is kept off this machine."""
    decryption: tuple[DecryptionKey, ...] = Field(min_length=1)
    """The keys that request mails may be encrypted to: the present one, and former ones while in use."""
    service_dir: Folder = Path("keys/service")
    """Folder of the keys that `mailflow service-keys` makes: they follow those above, one after the other."""


class Worker(Section):
    """How the work is cut and how long it may take."""

    chunk: Count = Field(default=100, le=1_000)
    """Mails that are read, judged, registered and moved together."""
    processes: Count = Field(default=2, le=256)
    """Processes that judge and compose: one for each core."""
    task_seconds_max: Count = 30
    """Longest time for judging or composing a share of a chunk, or one mail alone; then its process is ended."""
    task_memory_bytes_max: int = Field(default=1_073_741_824, strict=True, ge=268_435_456)
    """Address space that one such process may use. With less than a quarter of that it could not begin."""
    turn_seconds_max: Count = 3_600
    """Longest turn of a stage. One that is longer hangs: the watchdog of systemd then starts the service anew. It is to
    be more than a turn that sends may take: `lease_seconds` and `smtp.data_timeout_seconds`, twice each,
    `smtp.timeout_seconds` and 20 seconds."""
    lease_seconds: Count = 600
    """Time after which another worker takes over what this one had claimed."""
    attempts_max: Count = 3
    """Attempts at one mail, alone, before it is set aside for a person."""
    waiting_max: Count = 200_000
    """Mails that wait to be decided; at so many the others stay in the mailbox until there are fewer. Those beyond
    their sender's rates are not counted. Answers that have not left are counted apart, up to the same number."""
    put_off_bytes_max: Count = 21_474_836_480
    """Octets of mails beyond their senders' rates, which wait for their turn; at so many all others stay in the mailbox
    until there are fewer."""
    disk_percent_max: Percent = 97
    """How full the disk of a register on SQLite may be; beyond that mails stay in the mailbox."""
    undetermined_retry_seconds: Count = 900
    """Time until a mail is judged again whose certificate could not be checked."""
    audit_wait_minutes: Count = 75
    """How long a doubtful send is looked for before the same bytes go again; of the time between two looks a third of
    it counts at most."""
    audit_reserve_minutes: Count = 120
    """They go again after half of it when only this much is left of the deadline; never while the first may still be
    under way (twice `smtp.data_timeout_seconds`)."""
    stop_seconds: Count = 30
    """Time to finish what is under way after SIGTERM; then it is released."""

    @model_validator(mode="after")
    def _lease_outlives_task(self) -> Self:
        if self.lease_seconds <= self.task_seconds_max:
            raise PydanticCustomError("lease", "lease_seconds should be more than task_seconds_max")
        return self


class Jobs(Section):
    """What time does."""

    at: TimeOfDay = "02:30"
    """Time of day in Paris at which the jobs of the day begin. What a stop has missed is made up for at the start."""
    notice_days: int = Field(default=45, strict=True, ge=31, le=180)
    """How long before its last day the desk of a request is told; the law wants a month at least."""
    retention_days: Count = 90
    """How long mails and answers are kept once the answer has left; then only digests, names and instants stay."""


class Status(Section):
    """Health, metrics and a page for people, over HTTP: read-only, without personal data, without a password."""

    address: Listening = ""
    """Where `mailflow run` serves them, such as `127.0.0.1:9464` or `[::1]:9464`. When empty: nowhere."""


class Traces(Section):
    """Where traces go, by OpenTelemetry: identifiers and times, never anything of what was sent."""

    endpoint: Collector = ""
    """An OTLP/HTTP collector such as `http://127.0.0.1:4318/v1/traces`. When empty: no traces, and no cost."""
    percent: int = Field(default=100, strict=True, ge=1, le=100)
    """How many of the traces are sent; of a mail all or nothing."""


class Alerts(Section):
    """Who is told when something is wrong: codes and counts, never anything of what was sent. When empty: nobody."""

    mail_to: tuple[Address, ...] = ()
    """Addresses that are told first, by the server of [smtp]."""
    escalation_mail_to: tuple[Address, ...] = ()
    """Addresses that are told too when nobody has acknowledged a critical alarm in time."""
    escalation_minutes: Count = 60
    """That time."""
    reminder_hours: Count = 24
    """Who has not acknowledged is told again after so long."""
    webhook_url_file: File | None = Field(default=None, examples=["secrets/webhook"])
    """File that holds, in one line, the https address to which each alert is sent (POST, JSON)."""
    ping_url_file: File | None = Field(default=None, examples=["secrets/ping"])
    """File that holds the https address that hears of us (GET) as long as alarms are watched and can be told:
    a dead-man's switch elsewhere, which tells when it has heard nothing for some minutes."""
    ca_file: File | None = Field(default=None, examples=["trust/servers.pem"])
    """PEM file of the authorities that both addresses' certificates may chain to. When absent: the system's."""
    silent_minutes: Count = 15
    """A worker that gives no sign of life in the register for so long is taken for dead."""

    @model_validator(mode="after")
    def _escalation_follows(self) -> Self:
        if self.escalation_mail_to and not (self.mail_to or self.webhook_url_file):
            raise PydanticCustomError("first", "escalation_mail_to should follow mail_to or webhook_url_file")
        return self


class Canary(Section):
    """A request of our own that goes the whole way, again and again, and never becomes a real one. When not set: none.

    Its sender is called `canary`, its desk `00000` (in the school `Z0000`), its territory `000`.
    """

    key_file: File | None = Field(default=None, examples=["keys/canary.key"])
    """Private key of the canary desk, PEM, without a passphrase."""
    certificate_file: File | None = Field(default=None, examples=["keys/canary.pem"])
    """Its certificate, PEM, enrolled for signing and for encryption."""
    address: AddressOrNone = ""
    """Its From address, as enrolled. When empty: that of the audit mailbox."""
    every_minutes: Count = 60
    """Time between two requests."""
    late_minutes: Count = 30
    """Time after which one that is not answered is an alarm."""

    @model_validator(mode="after")
    def _key_and_certificate(self) -> Self:
        if (self.key_file is None) != (self.certificate_file is None):
            raise PydanticCustomError("pair", "key_file and certificate_file should be given together")
        return self


class Selftest(Section):
    """Accounts for `mailflow selftest` alone, on the servers of [mailbox], [audit] and [smtp]. When not set: none.

    What lies in their folders is deleted when it is of a self-test; with other mails there it does not begin.
    """

    address: AddressOrNone = ""
    """Address whose mail is delivered into the mailbox below."""
    user: Text | None = Field(default=None, examples=["selftest"])
    """Name of the account beside that of [mailbox]."""
    secret_file: File | None = Field(default=None, examples=["secrets/selftest"])
    """File that holds its password or token, in one line."""
    audit_address: AddressOrNone = ""
    """Address whose mail is delivered into the audit mailbox below; the invented desks write from it."""
    audit_user: Text | None = Field(default=None, examples=["selftest-audit"])
    """Name of the account beside that of [audit]."""
    audit_secret_file: File | None = Field(default=None, examples=["secrets/selftest-audit"])
    """File that holds its password or token, in one line."""


class Log(Section):
    """One line for each transition, on standard error or in the journal."""

    format: LogFormat = LogFormat.AUTO
    """`text`, `json`, or `auto`: the fields of systemd's journal when it reads us, else text."""
    level: LogLevel = LogLevel.INFO
    """`debug`, `info`, `warning` or `error`."""


class Settings(Section):
    """The whole file. Paths are relative to its folder; `%d/NAME` is a credential of systemd, else `secrets/NAME`."""

    environment: Environment = Field(examples=["ecole"])
    """`ecole` (school: every number and answer says so) or `production`. Fixed once a register is in use."""
    service: Service
    register_: Register = Field(alias="register")
    mailbox: Mailbox
    audit: Audit
    smtp: Smtp
    keys: Keys
    trust: Trust
    revocation: Revocation
    limits: Limits
    rates: Rates
    worker: Worker
    jobs: Jobs
    status: Status
    traces: Traces
    alerts: Alerts
    canary: Canary
    selftest: Selftest
    log: Log

    @model_validator(mode="before")
    @classmethod
    def _audit_is_like_mailbox(cls, data: dict[str, Any]) -> dict[str, Any]:
        mailbox, audit = data.get("mailbox"), data.get("audit")
        if not isinstance(mailbox, dict) or not isinstance(audit, dict):
            return data
        shared = {name: mailbox[name] for name in INHERITED_BY_AUDIT if name in mailbox}
        return data | {"audit": shared | audit}

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.audit.address == self.service.address:
            raise PydanticCustomError("audit", "audit.address and service.address should be two mailboxes")
        ours = {(self.mailbox.host, self.mailbox.user, folder) for folder in self.mailbox.folders}
        if (self.audit.host, self.audit.user, self.audit.folder) in ours:
            raise PydanticCustomError("audit", "audit should be a folder of its own, not one of those of mailbox")
        if self.worker.audit_reserve_minutes >= self.service.deadline_hours * 60:
            raise PydanticCustomError("reserve", "worker.audit_reserve_minutes should be less than the deadline")
        if self.worker.audit_wait_minutes * 60 <= sending_seconds_max(self.smtp.data_timeout_seconds):
            longest = f"twice smtp.data_timeout_seconds and {AROUND_DATA_SECONDS_MAX:.0f} seconds"
            raise PydanticCustomError("wait", f"worker.audit_wait_minutes should be more than {longest}")
        # What a turn claims during a lease begins its data within another one; a refusal is followed by one more reply.
        sending = sending_seconds_max(self.smtp.data_timeout_seconds) + self.smtp.timeout_seconds
        longest_turn = 2 * self.worker.lease_seconds + sending
        if self.worker.turn_seconds_max <= longest_turn:
            wanted = f"worker.turn_seconds_max should be more than {longest_turn:.0f}, the longest turn that sends"
            raise PydanticCustomError("turn", wanted)
        addresses = {self.service.address, self.service.bounce_address, self.audit.address}
        if addresses & {*self.alerts.mail_to, *self.alerts.escalation_mail_to}:
            raise PydanticCustomError("loop", "alerts should go to persons, not to a mailbox of the service")
        return self
