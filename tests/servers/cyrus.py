"""Cyrus IMAP 3.10 on a free loopback port, from packages that `tests/servers/install` unpacked without installing."""

import imaplib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.servers.dovecot import MAIL_USER, USERS, read_folder
from tests.servers.process import ServerProcess, free_ports

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "cyrus"
ROOT = CACHE / "root"

_IMAPD = """\
configdirectory: {run}/conf
partition-default: {run}/spool
defaultpartition: default
proc_path: {run}/proc
mboxname_lockpath: {run}/lock
idlesocket: {run}/idle
cyrus_user: {user}
admins: cyrus
allowplaintext: yes
delete_mode: {delete_mode}
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {run}/sasldb2
virtdomains: off
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 1000000
autocreate_post: yes
duplicatesuppression: 0
imapidlepoll: 1
"""

_MASTER = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {run}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {run}/imapd.conf -U 30" listen="127.0.0.1:{port}" prefork=1 maxchild=100
}}
DAEMON {{
  idled cmd="{bin}/idled -C {run}/imapd.conf" wait=n
}}
EVENTS {{
}}
"""


class Cyrus:
    """A context manager. `folder` holds the log; all else lies in a short folder apart, for the socket paths.

    `keeps_deleted`, as is its default: under a name with the second, so that within it no folder of the same name can
    be deleted again; whoever has selected one goes on with it.
    """

    def __init__(self, folder: Path, *, users: Mapping[str, str] = USERS, keeps_deleted: bool = False) -> None:
        self.folder = folder
        self.users = users
        self.keeps_deleted = keeps_deleted
        self.host = "127.0.0.1"
        (self.imap_port,) = free_ports(1)
        self._run: Path
        self._process: ServerProcess

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = Path(tempfile.mkdtemp(prefix="cyrus-"))
        programs = ROOT / "usr/lib/cyrus/bin"
        # Cyrus refuses to be root.
        user = MAIL_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        libraries = next((ROOT / "usr/lib").glob("*-linux-gnu"))
        env = {
            "LD_LIBRARY_PATH": str(libraries),
            "SASL_PATH": str(libraries / "sasl2"),
            "CYRUS_USER": user,
        }
        try:
            for name in ("conf", "spool", "proc", "lock"):
                (self._run / name).mkdir()
            delete_mode = "delayed" if self.keeps_deleted else "immediate"
            (self._run / "imapd.conf").write_text(_IMAPD.format(run=self._run, user=user, delete_mode=delete_mode))
            (self._run / "cyrus.conf").write_text(_MASTER.format(run=self._run, bin=programs, port=self.imap_port))
            for name, password in self.users.items():
                subprocess.run(
                    [
                        *(str(ROOT / "usr/sbin/saslpasswd2"), "-p", "-c"),
                        *("-f", str(self._run / "sasldb2"), "-u", socket.gethostname(), name),
                    ],
                    input=password.encode(),
                    env={**os.environ, **env},
                    check=True,
                    capture_output=True,
                )
            self._process = ServerProcess(
                [
                    *(str(programs / "master"), "-C", str(self._run / "imapd.conf")),
                    *("-M", str(self._run / "cyrus.conf"), "-p", str(self._run / "master.pid"), "-D"),
                ],
                log=self.folder / "cyrus.log",
                ports=[self.imap_port],
                env=env,
                user=user if os.geteuid() == 0 else None,
            )
            for path in [self._run, *self._run.iterdir()]:
                os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
            self._process.start()
        except BaseException:
            shutil.rmtree(self._run, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        shutil.rmtree(self._run, ignore_errors=True)

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
