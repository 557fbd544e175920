"""What judging and composing cost by themselves, in this process: what a mail costs at the very least."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from mailflow import app
from mailflow.core.model import FileReceipt, Registered, RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.kinds import ANSWER, KINDS
from mailflow.mail.letter import Composition
from mailflow.mail.model import Accepted, Reply, Verdict
from mailflow.settings import Settings

NUMBER = UniqueNumber("0590123000001Z0001")
WARM_UP = 20

T = TypeVar("T")
U = TypeVar("U")


def measure(settings: Settings, mails: Sequence[bytes], at: datetime) -> dict[str, float]:
    """CPU milliseconds per mail of the pure parts."""
    judge = asyncio.run(_judge(settings))
    composer = app.make_composer(settings)(judge.trust)
    unjudged = [Unjudged(intake=n, raw=raw, received_at=at) for n, raw in enumerate(mails)]
    judging, verdicts = _milliseconds(lambda mail: judge.judge(mail, at), unjudged)
    compositions = [_composition(verdict, at) for verdict in verdicts]
    composing, _ = _milliseconds(lambda composition: composer.compose(composition, at), compositions)
    return {"judge": judging, "compose": composing}


async def _judge(settings: Settings) -> Judge:
    async with app.register_of(settings) as register:
        return await app.judge_of(settings, register)


def _milliseconds(work: Callable[[T], U], items: Sequence[T]) -> tuple[float, list[U]]:
    for item in items[:WARM_UP]:
        work(item)
    begun = time.thread_time()
    done = [work(item) for item in items]
    return 1000 * (time.thread_time() - begun) / len(items), done


def _composition(verdict: Verdict, at: datetime) -> Composition:
    assert isinstance(verdict, Accepted), verdict
    files = tuple(
        FileReceipt(
            file=file,
            record=None,
            decided_at=at,
            anomalies=(),
            outcomes=tuple(
                Registered(number=NUMBER, state=RequestState.ACTIVE, expires_on=at.date(), revision=1)
                for _ in file.requests
            ),
        )
        for file in verdict.submission.files
    )
    intake = verdict.submission.intake
    reply = Reply(
        context=verdict.reply, intake=intake, received_at=at, decided_at=at, files=files, anomalies=verdict.anomalies
    )
    return Composition(
        kind=ANSWER,
        order=KINDS[ANSWER].order.dump_json(reply),
        recipient=verdict.reply.recipient,
        message_id=f"<{intake:032x}@example.test>",
        further="",
        dated_at=at,
    )
