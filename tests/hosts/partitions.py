"""`python -m tests.hosts.partitions`: hosts are cut off from the database, from the mail servers, from each other.

Two hosts, `a` and `b`, with a worker each; the database on a third, the mail servers on a fourth. Each scenario begins
under a load, has its fault, and ends when all is whole again and nothing is left to do.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mailflow.jobs.daily import JOBS
from tests.hosts import network
from tests.hosts.network import cut
from tests.hosts.report import keep, written
from tests.hosts.scene import CutAt, InAJob, Played, Scene, scene, title_of

LONG_SECONDS = 20
"""Longer than the database takes to find out that a host is gone."""
DECIDING = "intake.settle.before-commit:2"
HANDED_OVER_SECONDS = 30
"""Twenty-five are promised until another has done one of the jobs; the rest is for a busy machine."""
LAPSE = (
    "UPDATE request SET expires_on = current_date - 2 "
    "WHERE number IN (SELECT number FROM request WHERE number LIKE '059%' ORDER BY number LIMIT 5)"
)
JOBS_DONE = "SELECT count(*) FROM job_run WHERE done_at IS NOT NULL"
ENDED = (
    "SELECT (SELECT count(*) FROM request WHERE expires_on = current_date - 2), "
    "(SELECT count(*) FROM request WHERE ended_on = current_date - 1), "
    "(SELECT count(*) FROM journal WHERE kind = 'expired')"
)


def _cut_at(s: Scene, point: str, *ways: tuple[str, str]) -> CutAt:
    hosts = {name: s.host(name) for name in ("a", "b", "db")} | {"mail": s.network.mail}
    return CutAt(point=point, ways=[(hosts[speaks], hosts[hears]) for speaks, hears in ways], mark=s.mark)


def _return(s: Scene) -> None:
    s.network.heal()
    s.note("a is back")
    s.wait_for_answers(5)


def _cut_off_and_back(s: Scene) -> None:
    """What follows a cut from the database, wherever it came."""
    s.wait_for_mark()
    s.wait_until_free("a")
    s.wait_for_answers(5)
    _return(s)


def before_the_commit(s: Scene) -> None:
    """Cut off from the database just before the commit that decides: nothing of it arrives"""
    s.start("a", _cut_at(s, DECIDING, ("a", "db"), ("db", "a")))
    s.start("b")
    _cut_off_and_back(s)


def within_the_commit(s: Scene) -> None:
    """Cut off within the commit that decides: it arrives, and its answer does not"""
    s.start("a", _cut_at(s, DECIDING, ("db", "a")))
    s.start("b")
    _cut_off_and_back(s)


def after_the_commit(s: Scene) -> None:
    """Cut off from the database just after the commit that decides"""
    s.start("a", _cut_at(s, "intake.settle.after-commit:2", ("a", "db"), ("db", "a")))
    s.start("b")
    _cut_off_and_back(s)


def after_the_claim(s: Scene) -> None:
    """Cut off from the database with claims in its hands; what it had judged by then comes too late"""
    s.start("a", _cut_at(s, "intake.claim_chunk.after-commit:2", ("a", "db"), ("db", "a")))
    s.start("b")
    _cut_off_and_back(s)


def within_a_move(s: Scene) -> None:
    """Cut off from the mailbox in the middle of a MOVE: the command arrives, its answer does not"""
    s.start("a", _cut_at(s, "mailbox.move.before:1", ("mail", "a")))
    s.wait_for_mark()
    s.start("b")
    s.note("b begins")
    s.wait_for_answers(5)
    _return(s)


def within_a_move_and_from_the_database(s: Scene) -> None:
    """Cut off from the database in the middle of a MOVE: the other host reads the mailbox meanwhile"""
    s.start("a", _cut_at(s, "mailbox.move.before:1", ("a", "db"), ("db", "a")))
    s.start("b")
    s.wait_for_mark()
    s.wait_for_answers(10)
    _return(s)


def after_the_data(s: Scene) -> None:
    """Cut off from the mail server when it has a whole answer, and from the database: nobody knows that it left"""
    s.start("a", _cut_at(s, "smtp.data.written:2", ("mail", "a"), ("a", "db"), ("db", "a")))
    s.start("b")
    _cut_off_and_back(s)


def before_the_data(s: Scene) -> None:
    """Cut off from the database when an answer is claimed, not yet from the mail server: it may not be sent"""
    s.start("a", _cut_at(s, "mailer.claim.before:2", ("a", "db"), ("db", "a")))
    s.start("b")
    _cut_off_and_back(s)


def not_heard(s: Scene) -> None:
    """In one direction only: a hears everybody, and nobody hears a"""
    s.start("a")
    s.start("b")
    s.wait_for_answers(5)
    s.wait("a has mails in its hands", lambda: s.holds("a") > 0)
    for other in (s.host("db"), s.network.mail):
        s.host("a").cut(other)
    s.note("whatever a says is lost")
    s.wait_until_free("a")
    s.wait_for_answers(5)
    _return(s)


def a_host_vanishes(s: Scene) -> None:
    """A host vanishes with mails in its hands, and comes back long after"""
    s.start("a")
    s.start("b")
    s.wait_for_answers(5)
    s.wait("a has mails in its hands", lambda: s.holds("a") > 0)
    s.network.unplug(s.host("a"))
    s.note("the cable of a is out")
    s.wait_until_free("a")
    s.wait_for_answers(5)
    time.sleep(LONG_SECONDS)
    _return(s)


def within_a_job(s: Scene) -> None:
    """The host of the worker that is at the jobs of the day vanishes in the middle of one: another goes on with them"""
    s.start("b")
    s.wait_for_answers(20)
    s.workers["b"].stop()
    (db,) = s.nodes
    db.tell(LAPSE, s.world.database)
    s.start("a", InAJob(mark=s.mark), mail_alone=False)
    s.wait("the worker on a has ended requests, and is about to commit it", s.mark.exists)
    s.start("b", mail_alone=False)
    s.wait("b finds the jobs taken", lambda: "stage=taken work=jobs" in s.said("b"))
    s.network.unplug(s.host("a"))
    s.note("the cable of a is out")
    s.wait("b has done that job", lambda: "stage=job-done job=expiry" in s.said("b"), HANDED_OVER_SECONDS)
    s.wait("b has done all jobs", lambda: db.tell(JOBS_DONE, s.world.database) == str(len(JOBS)))
    _return(s)
    s.mark.unlink()
    s.wait("a cannot commit what it had done", lambda: "work=job-expiry" in s.said("a"))
    ended = db.tell(ENDED, s.world.database).split("|")
    s.check(f"requests that lapsed, that ended, and ends on record: {', '.join(ended)}", ended == ["5"] * 3)


def from_each_other(s: Scene) -> None:
    """Cut off from each other: they never talk to each other, only to the database"""
    cut(s.host("a"), s.host("b"))
    s.note("a and b are cut off from each other")
    s.start("a")
    s.start("b")
    s.wait_for_answers(15)
    _return(s)


SCENARIOS: Mapping[str, Callable[[Scene], None]] = {
    play.__name__: play
    for play in (
        before_the_commit,
        within_the_commit,
        after_the_commit,
        after_the_claim,
        within_a_move,
        within_a_move_and_from_the_database,
        before_the_data,
        after_the_data,
        not_heard,
        a_host_vanishes,
        within_a_job,
        from_each_other,
    )
}


def play(s: Scene, scenario: Callable[[Scene], None]) -> Played:
    """One scenario from beginning to end."""
    s.anew()
    with s.load() as load:
        scenario(s)
    wrong = s.finish(load)
    missed = [what for _, what in s.timeline if what.startswith("NOT")]
    return Played(
        title=title_of(scenario),
        timeline=tuple(s.timeline),
        letters=len(load.letters),
        wrong=[*missed, *wrong],
        as_expected=not missed and not wrong,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; without any all of them")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    network.alone()
    with tempfile.TemporaryDirectory(prefix="mailflow-hosts-") as folder, scene(Path(folder), ["db"]) as s:
        played = []
        for name in options.scenarios or SCENARIOS:
            played.append(play(s, SCENARIOS[name]))
            sys.stdout.write(played[-1].text() + "\n\n")
            sys.stdout.flush()
    if options.report:
        keep(written("Partitions", played), options.report)
    sys.exit(1 if any(not one.as_expected for one in played) else 0)


if __name__ == "__main__":
    main()
