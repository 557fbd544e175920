"""`python -m tests.hosts.failovers`: the primary of PostgreSQL is lost, or changed, in the middle of a load.

Two workers; PostgreSQL on two hosts of its own, `one` (primary at the beginning) and `two`, which follows it. Each
scenario begins with a fresh pair and an empty register. Numbers count as given once a desk was told of them.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mailflow.register.issuing import SERVICE
from tests.hosts import network
from tests.hosts.load import DECIDED
from tests.hosts.network import cut
from tests.hosts.report import keep, written
from tests.hosts.scene import ARCHIVE_KEY, CutAt, Played, Scene, scene, title_of
from tests.servers.replicas import Node

SYNCHRONOUS = "two"
"""As `synchronous_standby_names` of `one`: a commit is acknowledged once `two` has it on disk."""
SETTLED_SECONDS = 2
STANDSTILL_SECONDS = 10
WHY = ("--why", "the tail is lost", "--apply")


def _follow(s: Scene, *, synchronous: bool = True) -> tuple[Node, Node]:
    """`two` follows `one`."""
    one, two = s.nodes
    two.copy_of(one)
    two.start()
    if synchronous:
        one.set("synchronous_standby_names", SYNCHRONOUS)
    state = "sync" if synchronous else "async"
    asked = f"SELECT count(*) FROM pg_stat_replication WHERE sync_state = '{state}'"
    s.wait(f"two follows one ({state})", lambda: one.tell(asked) == "1")
    return one, two


def _work(s: Scene) -> None:
    s.start("a")
    s.start("b")
    s.wait_for_answers(5)


def _promote(s: Scene, two: Node) -> None:
    two.promote()
    s.register.look_at(two.server.url(s.world.database))
    s.note("two is promoted")


def the_primary_is_killed(s: Scene) -> None:
    """The primary is killed (kill -9) under load, and the standby promoted"""
    one, two = _follow(s)
    _work(s)
    one.kill()
    s.note("one is killed")
    _promote(s, two)
    s.wait_for_answers(10)


def within_a_deciding_commit(s: Scene) -> None:
    """The primary is lost within a commit that decides: it arrives, and nobody hears how it ended"""
    one, two = _follow(s)
    s.start("a", CutAt(point="intake.settle.before-commit:2", ways=[(one.host, s.host("a"))], mark=s.mark))
    s.start("b")
    s.wait_for_mark()
    one.kill()
    s.note("one is killed")
    _promote(s, two)
    s.host("one").heal(s.host("a"))
    s.wait_for_answers(10)


def the_standby_is_lost(s: Scene) -> None:
    """The standby is lost first: commits wait, nothing is acknowledged, until it is back"""
    _, two = _follow(s)
    _work(s)
    two.kill()
    s.note("two is killed")
    time.sleep(SETTLED_SECONDS)
    before = s.register.sent()
    time.sleep(10)
    s.note(f"answers that left in ten seconds: {s.register.sent() - before}")
    two.start()
    s.note("two is back")
    s.wait_for_answers(10)


def a_switch_over(s: Scene) -> None:
    """A planned switch-over: the primary is stopped, the standby promoted, the former primary follows it"""
    one, two = _follow(s)
    _work(s)
    one.stop()
    s.note("one is stopped")
    _promote(s, two)
    one.rewound_to(two)
    one.start(synchronous_standby_names="")
    s.note("one follows two")
    s.wait_for_answers(10)


def a_zombie(s: Scene) -> None:
    """The primary is cut off with a worker on its side, the standby promoted on the other; then they meet again"""
    one, two = _follow(s)
    _work(s)
    a, b = s.host("a"), s.host("b")
    for other in (two.host, b):
        cut(one.host, other)
    cut(a, two.host)
    s.note("one and a are cut off from two and b; both reach the mail servers")
    _promote(s, two)
    s.wait_for_answers(10)
    count = "SELECT count(*) FROM outbox WHERE state = 'sent'"
    before = one.tell(count, s.world.database)
    time.sleep(10)
    after = one.tell(count, s.world.database)
    s.note(f"answers that left meanwhile by the register that one shows: {int(after) - int(before)}")
    one.stop("immediate")
    s.note("one is fenced (stopped)")
    s.network.heal()
    s.note("everybody reaches everybody")
    one.start()
    one.stop()
    one.rewound_to(two)
    one.start(synchronous_standby_names="")
    s.note("one follows two: what it alone had is undone")
    s.wait_for_answers(5)


def an_asynchronous_standby(s: Scene) -> None:
    """Without a synchronous standby the tail is lost: the workers stop the numbers, the operator restores"""
    one, two = _follow(s, synchronous=False)
    _work(s)
    cut(one.host, two.host)
    s.note("two hears nothing any more, and nobody waits for it")
    _, decided, _ = s.register.decided()
    s.wait("10 answers have left to mails that two knows undecided", lambda: s.register.sent() >= decided + 10)
    one.kill()
    s.note("one is killed")
    had = two.tell(DECIDED, s.world.database)
    s.network.heal()
    _promote(s, two)
    s.wait("the workers have stopped the numbers", lambda: s.register.stopped_by() == SERVICE)
    time.sleep(STANDSTILL_SECONDS)
    mails, decided, numbers = s.register.decided()
    stands = had == f"{mails}|{decided}|{numbers}"
    s.check(f"{STANDSTILL_SECONDS} s later nothing is taken in or decided: {numbers} numbers are given", stands)
    _restore(s)
    s.wait_for_answers(10)


def _restore(s: Scene) -> None:
    """What OPERATING says for it; nobody needs to stop what has stopped by itself."""
    s.wait("the mail server has delivered all that it accepted", lambda: not s.world.postfix.holds_mail())
    key = str(s.world.folder / ARCHIVE_KEY)
    code, said = s.mailflow("a", "restore", "--archive-key", key, *WHY, "--json")
    kept = json.loads(said)["reserved"] if code == 0 else 0
    s.check(f"`mailflow restore` ends with {code}: {kept} numbers that had gone out are kept", code == 0 and kept > 0)
    code, _ = s.mailflow("a", "resume", *WHY)
    s.check(f"`mailflow resume` ends with {code}", code == 0)


def _account(s: Scene) -> None:
    """What the service itself finds of it in the end."""
    code, said = s.mailflow("a", "restore", "--why", "what came of it", "--json")
    again = json.loads(said)["given_again"]
    s.check(f"`mailflow restore` ends with {code}: {again} of these numbers are given again", code == 0 and again > 0)
    code, sheet = s.mailflow("a", "reconcile", "--settled", "0", "--json")
    named = {one["kind"]: one["count"] for one in json.loads(sheet)["differences"] if not one["adds_up"]}
    s.check(f"`mailflow reconcile` ends with {code} and names {named}", code == 0 and not named)


SCENARIOS: Mapping[str, Callable[[Scene], None]] = {
    play.__name__: play
    for play in (
        the_primary_is_killed,
        within_a_deciding_commit,
        the_standby_is_lost,
        a_switch_over,
        a_zombie,
        an_asynchronous_standby,
    )
}
LOSES = an_asynchronous_standby.__name__
"""In this one the register loses what it had acknowledged, and is restored."""


def play(name: str) -> Played:
    """One scenario from beginning to end, with a pair of its own."""
    with _fresh() as s:
        s.anew()
        with s.load() as load:
            SCENARIOS[name](s)
        wrong = s.finish(load, restored=name == LOSES)
        if name == LOSES:
            _account(s)
        missed = [what for _, what in s.timeline if what.startswith("NOT")]
        return Played(
            title=title_of(SCENARIOS[name]),
            timeline=tuple(s.timeline),
            letters=len(load.letters),
            wrong=[*missed, *wrong],
            as_expected=not wrong and not missed,
        )


@contextlib.contextmanager
def _fresh() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="mailflow-hosts-") as folder, scene(Path(folder), ["one", "two"]) as s:
        yield s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; without any all of them")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    network.alone()
    played = []
    for name in options.scenarios or SCENARIOS:
        played.append(play(name))
        sys.stdout.write(played[-1].text() + "\n\n")
        sys.stdout.flush()
    if options.report:
        keep(written("Fail-overs of PostgreSQL", played), options.report)
    sys.exit(0 if all(one.as_expected for one in played) else 1)


if __name__ == "__main__":
    main()
