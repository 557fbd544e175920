"""What looks at decided mails again, with the parts of the settings; the register is open for reading only."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from mailflow.app.keys import key_files
from mailflow.app.parts import judge_of, make_judge, make_pool, now, register_of, trust_files
from mailflow.core.promises import Doubt
from mailflow.core.service_keys import KeyUse
from mailflow.errors import Misconfigured, Unavailable
from mailflow.jobs.work import Examine
from mailflow.mail import cms
from mailflow.mail.judge import Judge
from mailflow.mail.trust import Trust
from mailflow.register import Register, directory
from mailflow.registrar import Terms
from mailflow.review import case
from mailflow.review.archive import Archive
from mailflow.review.rederiving import rederive
from mailflow.review.scratch import scratch_register
from mailflow.review.shadow import Shadow
from mailflow.settings import Settings


@contextlib.asynccontextmanager
async def shadow_of(settings: Settings) -> AsyncIterator[Shadow]:
    """A shadow of the service as these settings have it, on one view of the register.

    Raises Misconfigured and Unavailable.
    """
    async with contextlib.AsyncExitStack() as parts:
        register = await parts.enter_async_context(register_of(settings, read_only=True))
        tx = await parts.enter_async_context(register.read())
        enrolled = await directory.read(tx)
        pool = make_pool(settings)
        parts.push_async_callback(pool.close)
        await pool.serve(await trust_files(settings, register).material(enrolled))
        scratch = await parts.enter_async_context(scratch_register(enrolled.generation))
        terms = Terms(directory=enrolled, environment=settings.environment)
        yield Shadow(tx=tx, judges=pool, terms=terms, scratch=scratch, at=now())


@contextlib.asynccontextmanager
async def archive_of(settings: Settings, *, on_record: bool = False) -> AsyncIterator[tuple[Register, Archive]]:
    """The evidence of this register, which is only read; the journal can be written to if who reads goes `on_record`.

    Raises Misconfigured and Unavailable.
    """
    async with register_of(settings, read_only=not on_record) as register:
        yield register, archive_on(settings, register)


def archive_on(settings: Settings, register: Register) -> Archive:
    """Its evidence, and every key that is there to open what is kept, whether it serves or not."""
    keys: list[cms.DecryptionKey] = []
    for one in key_files(settings, now).all():
        if one.use is KeyUse.DECRYPTION:
            with contextlib.suppress(Misconfigured, Unavailable):  # what it would open is told as not opened
                keys.append(cms.open_decryption_key(one.pair()))
    make = make_judge(settings)

    def judge(trust: Trust) -> Judge:
        return replace(make(trust), keys=tuple(keys))

    return Archive(register, judge)


def examine_of(settings: Settings) -> Examine:
    """Reads accepted mails again by these settings. Raises Misconfigured and Unavailable."""

    async def examine(register: Register, intakes: Sequence[int]) -> list[Doubt]:
        return await rederive(register, archive_on(settings, register), intakes)

    return examine


async def tell_case(settings: Settings, intake_id: int) -> dict[str, Any] | None:
    """One mail as a case without personal data; None when there is none. Raises Misconfigured and Unavailable."""
    async with register_of(settings, read_only=True) as register:
        async with register.read() as tx:
            kept = await case.read(tx, intake_id)
        return None if kept is None else case.tell(kept, await judge_of(settings, register), now())
