"""The pool of processes: order is kept, and whatever a mail does to its process it does alone."""

import asyncio
import contextlib
import errno
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import psutil
import pytest
from pebble.pool.process import WorkerManager

from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.mail.judge import Unjudged
from mailflow.mail.kinds import ANSWER, KINDS
from mailflow.mail.letter import Composition
from mailflow.mail.model import Accepted, Rejected, Reply, Verdict
from mailflow.mail.pool import NICENESS, Pool, PoolLimits, TaskFailed
from mailflow.mail.trust import TrustMaterial
from tests.support.judging import JUDGED_AT, RECEIVED_AT, a_mail, accepted, everybody, mairie
from tests.support.pki import shared_pki
from tests.support.pool_parts import (
    BREAKS,
    BREAKS_OFF,
    DAWDLES,
    DIES,
    EATS,
    EXIT_CODE,
    HANGS,
    KEYLESS,
    LOCKED,
    PANICS,
    UNTOLD,
    MakeComposer,
    MakeStillborn,
    MakeStumblingJudge,
)

LIMITS = PoolLimits(processes=2, task_seconds_max=4.0, memory_bytes_max=2 << 30)
SECONDS_MAX = 60
PIPE_BYTES = 65_536


def service_pair() -> tuple[bytes, bytes]:
    return shared_pki().service_ec.key_pem, shared_pki().service_ec.pem


def a_pool(*, fails_in_process: bool = False, limits: PoolLimits = LIMITS) -> Pool:
    key, certificate = service_pair()
    judge = MakeStumblingJudge(key=key, certificate=certificate, fails_in_process=fails_in_process)
    return Pool(limits, judge, MakeComposer(key=key, certificate=certificate))


def material(generation: int = 1, *, enrolled: bool = True) -> TrustMaterial:
    given = everybody().material
    senders = given.directory.senders if enrolled else ()
    return replace(given, directory=replace(given.directory, generation=generation, senders=senders))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One for all tests that leave it whole: processes start slowly."""
    opened = a_pool()
    asyncio.run(opened.serve(material()))
    yield opened
    asyncio.run(opened.close())


def unjudged(*mails: bytes) -> list[Unjudged]:
    return [Unjudged(intake=number, raw=raw, received_at=RECEIVED_AT) for number, raw in enumerate(mails)]


async def judged(pool: Pool, *mails: bytes) -> list[Verdict | None]:
    async with asyncio.timeout(SECONDS_MAX):
        return await pool.judge(unjudged(*mails), JUDGED_AT)


def intakes(verdicts: Sequence[Verdict | None]) -> list[int | None]:
    return [verdict.submission.intake if isinstance(verdict, Accepted) else None for verdict in verdicts]


async def test_each_mail_has_its_verdict_in_order(pool: Pool) -> None:
    good, bad = a_mail(), b"From: a@b.example\r\n\r\n"
    assert intakes(await judged(pool, good, bad, good, good, bad)) == [0, None, 2, 3, None]
    assert intakes(await judged(pool, good)) == [0]
    assert await judged(pool) == []


def niceness_of_processes() -> list[int]:
    """Of each that is a child of this one and was spawned."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.nice())
    return found


async def test_its_processes_stand_back_for_the_worker(pool: Pool) -> None:
    expected = {min(19, psutil.Process().nice() + NICENESS)}
    await judged(pool, a_mail())  # the first work starts them, and not each is ready when the first is
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_MAX):
            while set(niceness_of_processes()) != expected:  # noqa: ASYNC110  no process sets an event for it
                await asyncio.sleep(0.05)
    found = niceness_of_processes()
    assert (set(found), len(found) >= LIMITS.processes) == (expected, True)


async def test_the_verdicts_are_those_of_the_judge_itself(pool: Pool) -> None:
    (verdict,) = await judged(pool, a_mail())
    assert isinstance(verdict, Accepted)
    assert replace(verdict.submission, intake=7) == accepted(a_mail()).submission


async def test_answers_are_composed_in_order(pool: Pool) -> None:
    context = accepted(a_mail()).reply
    reply = Reply(context=context, intake=1, received_at=RECEIVED_AT, decided_at=JUDGED_AT, files=(), anomalies=())
    orders = [
        Composition(
            kind=ANSWER,
            order=KINDS[ANSWER].order.dump_json(
                replace(reply, context=replace(context, encrypt_to=mairie().identity.der))
            ),
            message_id=f"<{number}@service.example>",
            dated_at=JUDGED_AT,
            further="secret",
            recipient=context.recipient,
        )
        for number in range(5)
    ]
    composed = await pool.compose(orders, JUDGED_AT)
    assert [one.mails[0].message_id for one in composed] == [order.message_id for order in orders]


@pytest.mark.parametrize(
    ("mail", "what", "place"),
    [
        (HANGS, "timeout", ""),
        (DIES, "died", f"exit-{EXIT_CODE}"),
        (EATS, "memory", ""),
        (BREAKS + b" over Durand", "valueerror", "pool_parts.py"),
        (UNTOLD + b" of Durand", "untolderror", "pool_parts.py"),
        (PANICS + b" at Durand", "panicerror", "pool_parts.py"),
    ],
    ids=["hangs", "dies", "eats memory", "breaks", "breaks with what cannot be told", "panics"],
)
async def test_a_mail_that_harms_its_process_fails_by_name_and_the_pool_goes_on(
    pool: Pool, mail: bytes, what: str, place: str
) -> None:
    with pytest.raises(TaskFailed) as failed:
        await judged(pool, a_mail(), mail)
    assert failed.value.what == what
    assert failed.value.place.startswith(place)
    assert "Durand" not in str(failed.value)
    assert intakes(await judged(pool, a_mail(), a_mail(), a_mail())) == [0, 1, 2]


async def test_others_that_are_judged_at_the_same_time_are_not_harmed(pool: Pool) -> None:
    poison, good = await asyncio.gather(judged(pool, DIES), judged(pool, a_mail()), return_exceptions=True)
    assert isinstance(poison, TaskFailed)
    assert not isinstance(good, BaseException)
    assert intakes(good) == [0]


@pytest.mark.parametrize(
    ("mail", "error", "why"),
    [(KEYLESS, Unavailable, "token t: DeviceRemoved"), (LOCKED, Misconfigured, "token t: the PIN is locked")],
)
async def test_a_key_that_is_away_blames_no_mail_and_has_new_processes_made(
    pool: Pool, mail: bytes, error: type[MailflowError], why: str
) -> None:
    served = pool.served
    with pytest.raises(error, match=why):
        await judged(pool, a_mail(), mail)
    assert pool.served is None, "so the next turn serves anew"
    pool.served = served


# Generations


async def test_a_new_generation_is_served_and_work_under_way_ends_under_the_former() -> None:
    pool = a_pool()
    try:
        await pool.serve(first := material(1))
        assert pool.served is first
        under_way = asyncio.create_task(judged(pool, DAWDLES + b": x\r\n" + a_mail()))
        await asyncio.sleep(0.1)
        await pool.serve(second := material(2, enrolled=False))
        assert pool.served is second
        (former,) = await under_way
        (now,) = await judged(pool, a_mail())
    finally:
        await pool.close()
    assert isinstance(former, Accepted)
    assert former.submission.submitter.trust_generation == 1
    assert isinstance(now, Rejected)
    assert now.anomalies[0].code.name == "SIGNER_NOT_ENROLLED"


@pytest.mark.parametrize("wrong", ["anchors", "key"])
async def test_unusable_material_is_told_at_once_and_the_former_goes_on(pool: Pool, wrong: str) -> None:
    served = pool.served
    if wrong == "anchors":
        with pytest.raises(Misconfigured):
            await pool.serve(replace(material(2), anchors=(b"no certificate",)))
    else:
        strange = a_pool()
        strange._makers = (
            MakeStumblingJudge(key=mairie().identity.key_pem, certificate=service_pair()[1]),
            MakeComposer(key=service_pair()[0], certificate=service_pair()[1]),
        )
        with pytest.raises(Misconfigured):
            await strange.serve(material())
        assert strange.served is None
        await strange.close()
    assert pool.served is served
    assert intakes(await judged(pool, a_mail())) == [0]


async def test_processes_that_cannot_begin_are_nobodys_fault_but_the_surroundings() -> None:
    pool = a_pool(fails_in_process=True)
    try:
        for _ in range(2):
            await pool.serve(material())
            with pytest.raises(Unavailable):
                await judged(pool, a_mail())
            assert pool.served is None, "so that whoever asks next serves anew"
    finally:
        await pool.close()


async def test_when_no_process_can_be_started_no_mail_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file descriptor is left for its channel, say."""
    pool = a_pool()

    def exhausted(*_: object) -> tuple[object, object]:
        raise OSError(errno.EMFILE, "Too many open files")

    try:
        await pool.serve(material())
        with monkeypatch.context() as patch:
            patch.setattr(WorkerManager, "create_channels", exhausted)
            with pytest.raises(Unavailable):
                await judged(pool, a_mail())
        assert pool.served is None, "so the next turn serves anew"
        await pool.serve(material())
        assert intakes(await judged(pool, a_mail())) == [0]
    finally:
        await pool.close()


async def test_a_process_that_dies_while_it_is_starting_keeps_nobody_waiting() -> None:
    """What it is given is more than fits into the pipe between the two: whoever writes it would never end."""
    key, certificate = service_pair()
    pool = Pool(LIMITS, MakeStillborn(key=key, certificate=certificate), MakeComposer(key=key, certificate=certificate))
    much = replace(material(), anchors=material().anchors * 500)
    assert sum(map(len, much.anchors)) > 4 * PIPE_BYTES
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await pool.serve(much)
            with pytest.raises(Unavailable):
                await pool.judge(unjudged(a_mail()), JUDGED_AT)
            await pool.serve(material())
    finally:
        await pool.close()


async def test_a_former_generation_that_falls_silent_holds_up_no_other() -> None:
    pool = a_pool()
    try:
        await pool.serve(material(1))
        assert intakes(await judged(pool, a_mail())) == [0]
        silenced = asyncio.create_task(judged(pool, BREAKS_OFF, a_mail()))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(SECONDS_MAX):
            await pool.serve(material(2))
        assert intakes(await judged(pool, a_mail(), a_mail())) == [0, 1]
        assert pool.served is not None, "the failure of the former says nothing of these"
        with pytest.raises((TaskFailed, Unavailable)):
            await silenced
        assert intakes(await judged(pool, a_mail(), a_mail())) == [0, 1]
    finally:
        await pool.close()


async def test_when_idle_processes_are_killed_no_mail_is_to_blame() -> None:
    """By the kernel, say, when memory is short."""
    pool = a_pool()
    others = set(psutil.Process().children())
    try:
        await pool.serve(material())
        assert intakes(await judged(pool, a_mail(), a_mail())) == [0, 1]
        for process in set(psutil.Process().children()) - others:
            process.kill()
        for _ in range(3):
            if pool.served is None:
                await pool.serve(material())
            with contextlib.suppress(Unavailable):
                assert intakes(await judged(pool, a_mail())) == [0]
                break
        else:
            pytest.fail("the pool does not come back")
    finally:
        await pool.close()


async def test_a_process_that_is_killed_while_it_tells_its_result_silences_nobody_for_long() -> None:
    """Half of its message lies in the channel that all share: nobody is heard there any more."""
    pool = a_pool()
    try:
        await pool.serve(material())
        with pytest.raises(TaskFailed, match="died exit--9"):
            await judged(pool, BREAKS_OFF)
        with pytest.raises(Unavailable, match="say nothing"):
            await judged(pool, a_mail(), a_mail())
        assert pool.served is None, "so the next turn serves anew"
        await pool.serve(material())
        assert intakes(await judged(pool, a_mail(), a_mail())) == [0, 1]
    finally:
        await pool.close()


async def test_who_dies_in_that_way_among_others_is_to_blame() -> None:
    """Or it would be tried for ever: only a mail that failed is run alone, and set aside in the end."""
    pool = a_pool()
    try:
        await pool.serve(material())
        with pytest.raises(TaskFailed, match="died exit--9"):
            await judged(pool, BREAKS_OFF, DAWDLES + b": x\r\n" + a_mail())
    finally:
        await pool.close()


async def test_what_a_mail_broke_is_not_told_on_any_way(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """The message of an exception may hold what somebody wrote."""
    with pytest.raises(TaskFailed):
        await judged(pool, BREAKS + b" over Durand")
    gc.collect()
    await asyncio.sleep(0)
    assert "Durand" not in caplog.text


async def test_processes_that_are_only_beginning_when_all_ends_say_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs a batch from cron would get a mail about it."""
    close_channels = WorkerManager.close_channels

    def close_long_before_the_end(manager: WorkerManager) -> None:
        close_channels(manager)  # type: ignore[no-untyped-call]  # pebble names no types here
        time.sleep(3)  # a process has begun by then

    monkeypatch.setattr(WorkerManager, "close_channels", close_long_before_the_end)
    pool = a_pool()
    await pool.serve(material())
    judging = asyncio.create_task(judged(pool, a_mail()))
    await asyncio.sleep(0.1)
    judging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await judging
    await pool.close()
    assert capfd.readouterr().err == ""


async def test_closing_does_not_wait_for_what_hangs() -> None:
    pool = a_pool(limits=replace(LIMITS, task_seconds_max=300.0))
    await pool.serve(material())
    hanging = asyncio.create_task(pool.judge(unjudged(HANGS), JUDGED_AT))
    await asyncio.sleep(0.5)
    hanging.cancel()
    async with asyncio.timeout(SECONDS_MAX):
        await pool.close()
        await pool.close()
    with pytest.raises(asyncio.CancelledError):
        await hanging
