"""Dovecot 2.4 on free loopback ports: IMAP in clear, STARTTLS, TLS, OAuth with a local key; LMTP; SASL for Postfix."""

import base64
import grp
import hashlib
import hmac
import imaplib
import json
import os
import pwd
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.servers.process import ServerProcess, free_ports
from tests.servers.tls import ServerCertificate, make_certificate

PASSWORD = "secret"
USERS: Mapping[str, str] = dict.fromkeys(("svc", "audit", "ann", "bob"), PASSWORD)
DOMAIN = "example.test"

_TOKEN_KEY = b"the key that signs the tokens of the tests"
_TOKEN_ISSUER = "https://idp.test"
MAIL_USER = "mail"
"""As root Dovecot gives mails to this user, which every Debian has; otherwise to whoever runs the tests."""

_CONFIG = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {run}/base
state_dir = {run}/state
instance_name = mailflow-test-{imap_port}
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = {listen}
ssl = yes
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
auth_allow_cleartext = yes
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 0
mail_driver = {driver}
mail_home = {run}/mail/%{{user}}
mail_path = %{{home}}/{driver}
mailbox_list_layout = fs
mail_fsync = {fsync}
{users}{capability}{settings}
passdb passwd-file {{
  passwd_file_path = {run}/users
  default_password_scheme = plain
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {run}/mail/%{{user}}
  }}
}}
oauth2 {{
  introspection_mode = local
  username_attribute = sub
  issuers = {issuer}
  oauth2_local_validation {{
    dict fs {{
      fs posix {{
        prefix = {run}/oauth2-keys/
      }}
    }}
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  restart_request_count = unlimited
  process_min_avail = 1
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service auth {{
  inet_listener sasl {{
    listen = 127.0.0.1
    port = {sasl_port}
  }}
}}
service lmtp {{
  restart_request_count = unlimited
  inet_listener lmtp {{
    listen = 127.0.0.1
    port = {lmtp_port}
  }}
}}
protocol imap {{
  mail_max_userip_connections = 100
}}
protocol lmtp {{
  auth_username_format = %{{user | username | lower}}
}}
"""

_AS_ROOT = """\
service lmtp {{
  user = {user}
}}
"""
"""All mails belong to one user: to become that user anew for each of them takes time."""

_ROOTLESS = """\
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth-worker {{
  user = {user}
}}
"""


class Dovecot:
    """A context manager. `folder` holds configuration and log; sockets and mails lie in a short folder apart,
    since socket paths are limited to 108 octets and root's temporary folders are closed to the mail user.

    `without` names capabilities that the server does not announce and does not offer, e.g. `MOVE`. Tests want
    speed, not durability; `durable` writes mails to disk as a real server does, for measuring. `driver` is the
    format of the mailboxes; `settings` are further lines of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] = USERS,
        without: Sequence[str] = (),
        durable: bool = False,
        driver: str = "maildir",
        settings: Mapping[str, str] | None = None,
        address: str = "",
    ) -> None:
        """`address`: by which other hosts reach it too."""
        self.folder = folder
        self.address = address
        self.users = users
        self.without = without
        self.durable = durable
        self.driver = driver
        self.settings = dict(settings or {})
        self.host = "127.0.0.1"
        self.imap_port, self.imaps_port, self.lmtp_port, self.sasl_port = free_ports(4)
        self.certificate: ServerCertificate
        self._run: Path
        self._process: ServerProcess

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = Path(tempfile.mkdtemp(prefix="dovecot-"))
        try:
            config = self._configure()
            program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
            self._process = ServerProcess(
                [program or "dovecot", "-F", "-c", str(config)],
                log=self.folder / "dovecot.log",
                ports=[self.imap_port, self.imaps_port, self.lmtp_port, self.sasl_port],
                sockets=self._run / "base",
            )
            self._start()
        except BaseException:
            shutil.rmtree(self._run, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        shutil.rmtree(self._run, ignore_errors=True)

    def restart(self, *, kill: bool = False, away_seconds: float = 0.0) -> None:
        """Stop (or kill) and start again, after so long, with the same mails on the same ports."""
        if kill:
            self._process.kill()
            (self._run / "base" / "master.pid").unlink(missing_ok=True)
            # It would wait two minutes before it takes the locks of a dead process for stale.
            for lock in self.mails.rglob("*.lock"):
                lock.unlink()
        else:
            self._process.stop()
        time.sleep(away_seconds)
        self._start()

    def _start(self) -> None:
        self._process.start()
        try:
            # A server that is stopped, or used, before its helpers have settled takes five seconds over it.
            with imaplib.IMAP4(self.host, self.imap_port, timeout=60) as client:
                client.noop()
        except BaseException:
            self._process.stop()
            raise

    def _configure(self) -> Path:
        self.certificate = make_certificate(self.folder, [one for one in (self.host, self.address) if one])
        self._run.chmod(0o711)
        for name in ("base", "state", "mail"):
            (self._run / name).mkdir()
        uid, gid = os.geteuid(), os.getegid()
        if uid == 0:
            owner = pwd.getpwnam(MAIL_USER)
            uid, gid = owner.pw_uid, owner.pw_gid
            os.chown(self.mails, uid, gid)
            users = _AS_ROOT.format(user=MAIL_USER)
        else:
            users = _ROOTLESS.format(user=pwd.getpwuid(uid).pw_name, group=grp.getgrgid(gid).gr_name)
        keys = self._run / "oauth2-keys/default/HS256"
        keys.mkdir(parents=True, exist_ok=True)
        (keys / "default").write_bytes(base64.b64encode(_TOKEN_KEY))
        (self._run / "users").write_text("".join(f"{user}:{{PLAIN}}{one}::::::\n" for user, one in self.users.items()))
        hidden = "".join(f"  {name} = no\n" for name in self.without)
        config = self.folder / "dovecot.conf"
        config.write_text(
            _CONFIG.format(
                folder=self.folder.resolve(),
                run=self._run,
                imap_port=self.imap_port,
                imaps_port=self.imaps_port,
                lmtp_port=self.lmtp_port,
                sasl_port=self.sasl_port,
                certificate=self.certificate.certificate.resolve(),
                key=self.certificate.key.resolve(),
                uid=uid,
                gid=gid,
                users=users,
                driver=self.driver,
                fsync="optimized" if self.durable else "never",
                capability=f"imap_capability {{\n{hidden}}}\n" if hidden else "",
                settings="".join(f"{name} = {value}\n" for name, value in self.settings.items()),
                issuer=_TOKEN_ISSUER,
                listen="*" if self.address else self.host,
            )
        )
        return config

    @property
    def mails(self) -> Path:
        """Where the mails of each user lie, in a folder by the name of the driver within the user's own."""
        return self._run / "mail"

    @property
    def lmtp_socket(self) -> Path:
        """Where it takes mails in as well, for programs of this machine."""
        return self._run / "base" / "lmtp"

    @property
    def pid(self) -> int:
        """Of the master; everything that Dovecot does, it and its descendants do."""
        return self._process.pid

    def count(self, user: str, folder: str = "INBOX") -> int:
        """How many mails lie in a folder of `user`, which there is."""
        found = self._admin("mailbox", "status", "-u", user, "messages", folder)
        return int(found.rpartition("=")[2])

    def octets(self, user: str) -> int:
        """The size of all mails in the inbox of `user`."""
        found = self._admin("mailbox", "status", "-u", user, "vsize", "INBOX")
        return int(found.rpartition("=")[2])

    def fill(self, user: str, mails: Sequence[bytes]) -> None:
        """Put many mails into the inbox of `user`, much faster than one by one."""
        with tempfile.TemporaryDirectory(dir=self._run) as name:
            folder = Path(name)
            for part in ("cur", "new", "tmp"):
                (folder / part).mkdir()
            for number, raw in enumerate(mails):
                (folder / "cur" / f"{number:06}:2,").write_bytes(raw)
            for path in (folder, *folder.rglob("*")) if os.geteuid() == 0 else ():
                shutil.chown(path, MAIL_USER)
            self._admin("import", "-u", user, f"maildir:{folder}", "", "ALL")

    def _admin(self, *command: str) -> str:
        program = shutil.which("doveadm", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
        arguments = [program or "doveadm", "-c", str(self.folder / "dovecot.conf"), *command]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout

    def file_of(self, user: str, folder: str, uid: int) -> Path:
        """Where a mail of `user` lies in the file system (Maildir)."""
        maildir = self.mails / user / self.driver / folder
        _, *lines = (maildir / "dovecot-uidlist").read_text().splitlines()
        name = next(line.partition(" :")[2] for line in lines if line.split(" ")[0] == str(uid))
        (file,) = [path for path in maildir.rglob("*") if path.name.partition(":")[0] == name.partition(":")[0]]
        return file

    def forget_uids(self, user: str) -> None:
        """All UIDs of `user` become others, as after a move to another server."""
        for file in (self.mails / user / self.driver).glob("dovecot*"):
            file.unlink()

    @contextmanager
    def without_user(self, user: str) -> Iterator[None]:
        """For a while the server knows no such user, and refuses their mail; what lies in their mailbox stays."""
        users = self._run / "users"
        everybody = users.read_text()
        users.write_text("".join(line for line in everybody.splitlines(True) if not line.startswith(f"{user}:")))
        try:
            self._wait_until(user, known=False)
            yield
        finally:
            users.write_text(everybody)
            self._wait_until(user, known=True)

    def _wait_until(self, user: str, *, known: bool) -> None:
        """Dovecot looks whether the list of users has changed once a second."""
        until = time.monotonic() + 5
        while self._knows(user) != known:
            if time.monotonic() > until:
                raise TimeoutError(f"Dovecot still {'refuses' if known else 'knows'} {user}")
            time.sleep(0.1)

    def _knows(self, user: str) -> bool:
        try:
            with self.session(user):
                return True
        except imaplib.IMAP4.error:
            return False

    def token(self, user: str, *, lifetime_seconds: int = 3600) -> str:
        """An OAuth access token (a JWT, RFC 7519) that this server believes."""

        def part(octets: bytes) -> str:
            return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

        now = int(time.time())
        claims = {"sub": user, "iss": _TOKEN_ISSUER, "iat": now - 5, "nbf": now - 5, "exp": now + lifetime_seconds}
        signed = ".".join(part(json.dumps(piece).encode()) for piece in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{signed}.{part(hmac.new(_TOKEN_KEY, signed.encode(), hashlib.sha256).digest())}"

    def deliver(self, user: str, *mails: bytes, sender: str = f"ann@{DOMAIN}") -> None:
        """Hand mails in by LMTP, as an MTA would; Dovecot puts Return-Path and Received before them."""
        with smtplib.LMTP(self.host, self.lmtp_port, timeout=60) as client:
            for raw in mails:
                client.sendmail(sender, [f"{user}@{DOMAIN}"], raw)

    @contextmanager
    def session(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A second client, written by somebody else: the standard library's."""
        with imaplib.IMAP4(self.host, self.imap_port, timeout=60) as client:
            client.login(user, self.users[user])
            yield client

    def append(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """Store exactly these octets (with CRLF line ends), without any header added."""
        with self.session(user) as client:
            client.append(f'"{folder}"', "", "", raw)

    def messages(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """The octets of all mails in a folder, as they arrived; none when there is no such folder."""
        with self.session(user) as client:
            return read_folder(client, folder)

    def log(self) -> str:
        return (self.folder / "dovecot.log").read_text(errors="replace")


def read_folder(client: imaplib.IMAP4, folder: str) -> list[bytes]:
    """All mails of a folder, named in modified UTF-7, without marking them seen; [] when it does not exist."""
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    status, answer = client.select(f'"{escaped}"', readonly=True)
    if status != "OK" or not int(answer[0] or b"0"):
        return []
    _, parts = client.fetch("1:*", "(BODY.PEEK[])")
    return list(_literals(parts))


def _literals(parts: Iterable[object]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, tuple):
            yield bytes(part[1])
