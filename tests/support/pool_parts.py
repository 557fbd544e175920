"""Makers for the processes of the pool: the real judge, which stumbles over mails that say so."""

import inspect
import multiprocessing
import os
import signal
import struct
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pebble.pool.channel import WorkerChannel

from mailflow.core.model import Environment
from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail import cms
from mailflow.mail.composer import Composer
from mailflow.mail.judge import Judge, JudgeLimits, Unjudged
from mailflow.mail.letter import Letterhead
from mailflow.mail.model import Verdict
from mailflow.mail.trust import Trust
from tests.support.judging import LIMITS, SERVICE

HANGS, DIES, EATS, BREAKS, DAWDLES = b"hangs", b"dies", b"eats", b"breaks", b"dawdles"
KEYLESS, LOCKED = b"keyless", b"locked"
BREAKS_OFF, UNTOLD, PANICS = b"is cut off", b"cannot be told", b"panics"
EXIT_CODE = 7


class UntoldError(Exception):
    """It crosses to no other process: it cannot be made again from what it says of itself."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what)
        self.where = where


class PanicError(BaseException):
    """As a library in Rust raises it."""


def break_off() -> None:
    """Die as a process does that is killed while it tells a result that does not fit into the channel at once."""
    callers = (frame.frame.f_locals.get("channel") for frame in inspect.stack(0))
    channel = next(one for one in callers if isinstance(one, WorkerChannel))
    os.write(channel.writer.fileno(), struct.pack("!i", 100_000) + bytes(1_000))
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class StumblingJudge(Judge):
    """Judges as the judge does, but what such a mail says happens first."""

    def judge(self, mail: Unjudged, at: datetime) -> Verdict:
        if mail.raw.startswith(HANGS):
            time.sleep(600)
        elif mail.raw.startswith(DIES):
            os._exit(EXIT_CODE)
        elif mail.raw.startswith(EATS):
            len(bytearray(1 << 40))
        elif mail.raw.startswith(BREAKS):
            raise ValueError(mail.raw.decode())
        elif mail.raw.startswith(KEYLESS):
            raise Unavailable("token t: DeviceRemoved")
        elif mail.raw.startswith(LOCKED):
            raise Misconfigured("token t: the PIN is locked")
        elif mail.raw.startswith(DAWDLES):
            time.sleep(0.5)
        elif mail.raw.startswith(BREAKS_OFF):
            break_off()
        elif mail.raw.startswith(UNTOLD):
            raise UntoldError(mail.raw.decode(), "here")
        elif mail.raw.startswith(PANICS):
            raise PanicError(mail.raw.decode())
        return Judge.judge(self, mail, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeStumblingJudge:
    """Picklable, as the pool wants it."""

    key: bytes
    certificate: bytes
    fails_in_process: bool = False
    limits: JudgeLimits = LIMITS

    def __call__(self, trust: Trust) -> Judge:
        if self.fails_in_process and multiprocessing.parent_process() is not None:
            raise Misconfigured("not here")
        return StumblingJudge(
            trust=trust,
            keys=(cms.load_decryption_key(self.key, self.certificate),),
            limits=self.limits,
            own_addresses=frozenset({SERVICE, "audit@service.example"}),
            own_domain="service.example",
        )


class MakeStillborn(MakeStumblingJudge):
    """Kills the process that is to begin with it, before that has read what it was given."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (EXIT_CODE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeComposer:
    key: bytes
    certificate: bytes
    mail_bytes_max: int = 1 << 23
    environment: Environment = Environment.PRODUCTION

    def __call__(self, trust: Trust) -> Composer:
        return Composer(
            trust=trust,
            signing_key=cms.load_signing_key(self.key, self.certificate),
            archive=None,
            letterhead=Letterhead(
                name="Enregistrement",
                address=SERVICE,
                contact="assistance@service.example",
                environment=self.environment,
            ),
            mail_bytes_max=self.mail_bytes_max,
        )
