"""What the watch over the service needs to know and the queues do not tell: workers, jobs, sends, desks, promises."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.alerting import DeskCount, JobRun, WorkerSign
from mailflow.register import migrations
from mailflow.register.alarm_tables import broken_promise, job_run, worker_sign
from mailflow.register.tables import counter, evidence, history, intake, journal, on_its_way, outbox, request
from mailflow.register.transaction import Transaction
from mailflow.register.types import IntakeState, OutboxState

# Workers


async def beat(tx: Transaction, sign: WorkerSign, *, former: Collection[str] = ()) -> None:
    """A sign of life. These former workers are forgotten."""
    await tx.run(sa.delete(worker_sign).where(worker_sign.c.owner.in_(former)))
    values = {
        "host": sign.host,
        "begun_at": sign.begun_at,
        "beaten_at": sign.beaten_at,
        "emptied_at": sign.emptied_at,
        "state": sign.state,
        "tables": migrations.NEWEST,
    }
    new = tx.insert(worker_sign).values(owner=sign.owner, **values)
    await tx.run(new.on_conflict_do_update(index_elements=["owner"], set_=values))


async def older_workers(tx: Transaction, since: datetime) -> list[str]:
    """Hosts of workers of a former program that gave a sign of life since then."""
    alive = (worker_sign.c.tables < migrations.NEWEST, worker_sign.c.beaten_at >= since)
    rows = await tx.all(sa.select(worker_sign.c.host.distinct().label("host")).where(*alive))
    return sorted(row.host for row in rows)


async def signs(tx: Transaction) -> list[WorkerSign]:
    """The last sign of life of every worker."""
    columns = [worker_sign.c[name] for name in WorkerSign.__slots__]
    rows = await tx.all(sa.select(*columns).order_by(worker_sign.c.host, worker_sign.c.begun_at))
    return [WorkerSign(**row._mapping) for row in rows]


async def forget_host(tx: Transaction, host: str) -> bool:
    """No worker runs there any more: nobody waits for a sign of life from it."""
    return bool(await tx.run(sa.delete(worker_sign).where(worker_sign.c.host == host)))


# Jobs


async def expect_jobs(tx: Transaction, jobs: Collection[str], at: datetime) -> None:
    """From now on these are to be done every day."""
    rows = [{"job": job, "since": at} for job in jobs]
    await tx.run(tx.insert(job_run).on_conflict_do_nothing(), rows)


async def job_done(tx: Transaction, job: str, at: datetime) -> None:
    """All that was due of it was done."""
    new = tx.insert(job_run).values(job=job, since=at, done_at=at)
    await tx.run(new.on_conflict_do_update(index_elements=["job"], set_={"done_at": at}))


async def job_runs(tx: Transaction) -> list[JobRun]:
    """Every job that is to be done, with when it was done last."""
    return [JobRun(**row._mapping) for row in await tx.all(sa.select(job_run).order_by(job_run.c.job))]


# Sends and desks


async def put_off_sends(tx: Transaction) -> int:
    """Outgoing mails that a server would not have until now."""
    deferred = (on_its_way, outbox.c.state == OutboxState.COMPOSED.value, outbox.c.attempts > 0)
    (row,) = await tx.all(sa.select(sa.func.count().label("rows")).where(*deferred))
    return int(row.rows)


async def sends(tx: Transaction, kind: str, since: datetime) -> int:
    """Outgoing mails of this kind that left since then."""
    left = (outbox.c.kind == kind, outbox.c.sent_at >= since)
    (row,) = await tx.all(sa.select(sa.func.count().label("rows")).where(*left))
    return int(row.rows)


async def desk_counts(tx: Transaction, kind: str, since: datetime) -> list[DeskCount]:
    """What became of the requests whose answers (mails of this kind) left since then, by desk.

    Found from the answers, whose index knows when they left: the journal is the longest table but one.
    """
    answered = sa.select(outbox.c.intake_id).where(outbox.c.kind == kind, outbox.c.sent_at >= since)
    refused = sa.func.sum(sa.case((journal.c.kind == "refused", 1), else_=0)).label("refused")
    statement = (
        sa.select(journal.c.desk, sa.func.count().label("decided"), refused)
        .where(
            journal.c.intake_id.in_(answered),
            journal.c.desk.is_not(None),
            journal.c.kind.not_like("file-%"),
        )
        .group_by(journal.c.desk)
        .order_by(journal.c.desk)
    )
    return [DeskCount(desk=r.desk, decided=r.decided, refused=int(r.refused)) for r in await tx.all(statement)]


# Promises


async def count_broken(tx: Transaction) -> dict[str, int]:
    """Promises that no constraint can keep, each with how often it is broken. Reads whole tables: once a day."""
    unanswered = sa.select(outbox.c.id).where(outbox.c.intake_id == intake.c.id)
    untold = sa.select(history.c.number).where(history.c.number == request.c.number)
    month, sequence = sa.func.substr(request.c.number, 4, 4), sa.func.substr(request.c.number, 8, 6)
    counted = sa.select(counter.c.territory).where(
        counter.c.territory == request.c.territory,
        counter.c.month == month,
        counter.c.last >= sa.cast(sequence, sa.Integer),
    )
    proof = sa.select(evidence.c.intake_id).where(evidence.c.intake_id == journal.c.intake_id)
    broken = {
        "acceptance-has-evidence": sa.select(journal.c.id).where(
            journal.c.kind == "mail-answered", journal.c.detail.contains('"evidence"'), ~proof.exists()
        ),
        "answered-has-an-answer": sa.select(intake.c.id).where(
            intake.c.state == IntakeState.ANSWERED.value, ~unanswered.exists()
        ),
        "number-has-a-history": sa.select(request.c.number).where(~untold.exists()),
        "number-was-counted": sa.select(request.c.number).where(~counted.exists()),
    }
    found = {}
    for name, statement in broken.items():
        (row,) = await tx.all(sa.select(sa.func.count().label("rows")).select_from(statement.subquery()))
        found[name] = int(row.rows)
    return found


async def keep_broken(tx: Transaction, found: dict[str, int], at: datetime) -> None:
    """Keep what was found, for whoever watches."""
    for name, times in found.items():
        values = {"times": times, "looked_at": at}
        new = tx.insert(broken_promise).values(invariant=name, **values)
        await tx.run(new.on_conflict_do_update(index_elements=["invariant"], set_=values))


async def broken(tx: Transaction) -> dict[str, int]:
    """Promises that were looked at, with how often each was broken then."""
    rows = await tx.all(sa.select(broken_promise).order_by(broken_promise.c.invariant))
    return {row.invariant: row.times for row in rows}
