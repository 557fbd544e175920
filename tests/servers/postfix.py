"""Postfix 3 on a free loopback port: accepts for one domain, delivers by LMTP or itself, sends real delivery reports.

It wants root: its master starts as root only, and runs the rest as the user `postfix`. Without root the tests
that need it are skipped by `tests.support.available.require`. Nothing can leave the machine: every transport but
the local ones is `error:`.
"""

import contextlib
import grp
import os
import pwd
import re
import shutil
import smtplib
import stat
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tests.servers.process import START_SECONDS_MAX, ServerFailedError, ServerProcess, free_ports
from tests.servers.tls import ServerCertificate

DOMAIN = "example.test"
QUIET_SECONDS_MAX = 120.0

_MAIN = """\
compatibility_level = 3.6
config_directory = {run}/etc
queue_directory = {run}/queue
data_directory = {run}/data
maillog_file = {run}/log/postfix.log
maillog_file_prefixes = {run}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{domain}
mydomain = {domain}
mydestination =
local_recipient_maps =
local_transport = error:no local delivery
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = inline:{{ {recipients} }}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp_port}
default_transport = error:no mail leaves this machine
relay_transport = error:no mail leaves this machine
recipient_delimiter = +
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = reject_unauth_destination
append_dot_mydomain = no
biff = no
message_size_limit = 26214400
mailbox_size_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
lmtp_destination_recipient_limit = 1
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
default_process_limit = 50
in_flow_delay = 0
{sasl}{tls}"""

_TLS_SERVICE = """\
127.0.0.1:{smtps_port} inet n - n - - smtpd
    -o smtpd_tls_wrappermode=yes
"""

_SASL = """\
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl_port}
smtpd_client_restrictions = permit_sasl_authenticated, reject
"""

_TLS = """\
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
"""

_MASTER = """\
{smtp_port} inet n - n - - smtpd
pickup    unix  n  -  n  60  1  pickup
cleanup   unix  n  -  n  -   0  cleanup
qmgr      unix  n  -  n  300 1  qmgr
tlsmgr    unix  -  -  n  1000? 1 tlsmgr
rewrite   unix  -  -  n  -   -  trivial-rewrite
bounce    unix  -  -  n  -   0  bounce
defer     unix  -  -  n  -   0  bounce
trace     unix  -  -  n  -   0  bounce
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -   -  proxymap
showq     unix  n  -  n  -   -  showq
error     unix  -  -  n  -   -  error
retry     unix  -  -  n  -   -  error
lmtp      unix  -  -  n  -   -  lmtp
virtual   unix  -  n  n  -   -  virtual
anvil     unix  -  -  n  -   1  anvil
scache    unix  -  -  n  -   1  scache
postlog   unix-dgram n - n - 1 postlogd
"""

_QUEUE_FOLDERS = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("maildrop", "pid", "private", "public", "saved", "trace"),
)

_CONNECTION = re.compile(
    rb"smtpd\[(\d+)\]: connect from"
    rb"|(?:smtpd\[|process \S+/smtpd pid )(\d+)(?:\]: disconnect from| exit status| killed by signal)"
)
"""Where a connection begins, and where it ends: by the process itself, or with it (told by master(8))."""


class Postfix:
    """A context manager. `folder` receives the log at the end; the queue lies in a short folder apart.

    `recipients` are local parts that are accepted at RCPT, with or without `+detail`; whether a mail can be
    delivered to them only shows later, at the LMTP server. `settings` are further lines of main.cf. With a
    `certificate` it offers STARTTLS, and TLS on `smtps_port`; with the `sasl_port` of a Dovecot it takes mails from
    that one's users only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lmtp_port: int,
        recipients: Iterable[str],
        certificate: ServerCertificate | None = None,
        sasl_port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.lmtp_port = lmtp_port
        self.recipients = tuple(recipients)
        self.certificate = certificate
        self.sasl_port = sasl_port
        self.settings = dict(settings or {})
        self.host = "127.0.0.1"
        self.port, self.smtps_port = free_ports(2)
        self._run: Path
        self._process: ServerProcess
        self._told = 0
        """So many octets of the log are about connections that ended, or former runs: the killed say no goodbye."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = Path(tempfile.mkdtemp(prefix="postfix-"))
        try:
            self._configure()
            # Not `postfix start`: master in the foreground is one process that we own and can surely end.
            self._process = ServerProcess(
                [str(_daemon_directory() / "master"), "-c", str(self._run / "etc"), "-d"],
                log=self._run / "master.log",
                ports=[self.port],
            )
            self._start()
        except BaseException:
            shutil.rmtree(self._run, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        (self.folder / "postfix.log").write_text(self.log())
        shutil.rmtree(self._run, ignore_errors=True)

    def restart(self, *, kill: bool = False, away_seconds: float = 0.0) -> None:
        """Stop (or kill) and start again, after so long, with the same queue on the same port."""
        if kill:
            self._process.kill()
        else:
            self._process.stop()
        self._told += len(self._told_since())
        time.sleep(away_seconds)
        self._start()

    def _start(self) -> None:
        """Returns when the server greets: an open port alone may be the dying listener of the one before."""
        self._process.start()
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                with smtplib.SMTP(self.host, self.port, timeout=2):
                    return
            except (OSError, smtplib.SMTPException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the master; everything that Postfix does, it and its descendants do."""
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self._run / "log" / "postfix.log"

    def _told_since(self) -> bytes:
        """The whole lines since then."""
        if not self._log.exists():
            return b""
        with self._log.open("rb") as log:
            log.seek(self._told)
            lines, end, _ = log.read().rpartition(b"\n")
            return lines + end

    def wait_until_quiet(self) -> None:
        """Until nothing is queued or being received: what was accepted then lies in its mailbox, or came back."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while not self._is_quiet():
            if time.monotonic() > deadline:
                raise ServerFailedError(f"Postfix stays busy:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def holds_mail(self) -> bool:
        """Whether anything that was accepted is still to be delivered."""
        return any(
            _is_complete(file)
            for name in ("maildrop", "incoming", "active", "deferred")
            for file in (self._run / "queue" / name).rglob("*")
        )

    def _is_quiet(self) -> bool:
        log = self._told_since()
        is_quiet = not self.holds_mail() and not _serving(log)
        if is_quiet:
            self._told += len(log)
        return is_quiet

    def _configure(self) -> None:
        run = self._run
        run.chmod(0o755)
        for name in ("etc", "queue", "data", "log"):
            (run / name).mkdir()
        self._make_queue()
        tls = "smtpd_tls_security_level = none\n"
        if self.certificate is not None:
            tls = _TLS.format(certificate=self.certificate.certificate.resolve(), key=self.certificate.key.resolve())
        main = _MAIN.format(
            run=run,
            domain=DOMAIN,
            recipients=", ".join(f"{local}@{DOMAIN}={local}/maildir/" for local in self.recipients),
            lmtp_port=self.lmtp_port,
            tls=tls,
            sasl="" if self.sasl_port is None else _SASL.format(sasl_port=self.sasl_port),
        )
        named = (line.partition("=") for line in main.splitlines())
        settings = {name.strip(): value.strip() for name, _, value in named} | self.settings
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (run / "etc" / "main.cf").write_text("".join(lines))
        # Postfix waits while main.cf is younger than two seconds: somebody might still be writing it.
        os.utime(run / "etc" / "main.cf", (0, 0))
        services = _MASTER.format(smtp_port=self.port)
        if self.certificate is not None:
            services += _TLS_SERVICE.format(smtps_port=self.smtps_port)
        (run / "etc" / "master.cf").write_text(services)

    def _make_queue(self) -> None:
        """What `postfix check` makes, which takes two seconds and also copies files for a chroot."""
        owner = pwd.getpwnam("postfix")
        postdrop = grp.getgrnam("postdrop").gr_gid
        os.chown(self._run / "data", owner.pw_uid, owner.pw_gid)
        for name in _QUEUE_FOLDERS:
            folder = self._run / "queue" / name
            folder.mkdir(mode=0o700)
            if name != "pid":
                os.chown(folder, owner.pw_uid, 0)
        for name, mode in (("public", 0o710), ("maildrop", 0o1730)):
            folder = self._run / "queue" / name
            os.chown(folder, owner.pw_uid, postdrop)
            folder.chmod(mode)
        (self._run / "queue" / "pid").chmod(0o755)


def by_itself(mails: Path) -> dict[str, str]:
    """Settings with which it writes into the users' Maildirs in that folder without LMTP (virtual(8)), as its owner."""
    owner = mails.stat()
    return {
        "virtual_transport": "virtual",
        "virtual_mailbox_base": str(mails),
        "virtual_minimum_uid": "1",
        "virtual_uid_maps": f"static:{owner.st_uid}",
        "virtual_gid_maps": f"static:{owner.st_gid}",
    }


def times_taken(log: str) -> Counter[str]:
    """How often Postfix took each mail into its queue, by envelope sender."""
    taken = set(re.findall(r"qmgr\[\d+\]: (\w+): from=<(\S+)>", log))
    return Counter(sender for _, sender in taken)


def _serving(log: bytes) -> set[bytes]:
    """The processes that serve a client: each serves one at a time, and one that ends badly says no goodbye."""
    serving: set[bytes] = set()
    for begins, ends in _CONNECTION.findall(log):
        serving.add(begins)
        serving.discard(ends)
    return serving - {b""}


def _is_complete(file: Path) -> bool:
    """Whether it is a mail that Postfix has accepted: it then becomes executable. The others are never delivered."""
    with contextlib.suppress(FileNotFoundError):  # delivered meanwhile
        return bool(file.is_file() and file.stat().st_mode & stat.S_IXUSR)
    return False


def _daemon_directory() -> Path:
    postconf = shutil.which("postconf", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    answer = subprocess.run(
        [postconf or "postconf", "-dh", "daemon_directory"], check=True, capture_output=True, text=True
    )
    return Path(answer.stdout.strip())
