"""SIGTERM in the middle of a batch: the worker stops in time, nothing is lost, the next run finishes."""

import signal
from datetime import datetime

from tests.acceptance.world import STOP_SECONDS, World
from tests.support.letters import Writer, many, verdict

MAILS = 60
MARGIN_SECONDS = 20
"""For a busy machine to end a process that has nothing left to do."""


def test_a_worker_that_is_told_to_stop_in_the_middle_leaves_the_rest_for_the_next(world: World, at: datetime) -> None:
    letters = many(Writer(world.installation, at), world.software, MAILS)
    world.post([letter.raw for letter in letters])
    with world.changed_settings(("processes = 1", "processes = 1\nchunk = 2")) as config:
        worker = world.spawn("run", config=config)
        assert worker.stderr is not None
        lines = []
        for line in worker.stderr:
            lines.append(line)
            if b"stage=answered" in line:
                break
        worker.send_signal(signal.SIGTERM)
        lines += worker.stderr.readlines()  # not communicate(), which would miss what was read ahead
        worker.communicate(timeout=STOP_SECONDS + MARGIN_SECONDS)
    assert worker.returncode == 0, b"".join(lines).decode()
    assert (b"stage=started" in lines[0], b"stage=stopped" in lines[-1]) == (True, True), "the log says since when"
    answered = sum(b"stage=answered" in line for line in lines)
    assert 0 < answered < MAILS
    done = world.mailflow("run", "--once", "--json")
    assert (done.code, done.json["answered"]) == (0, MAILS - answered), done.err
    world.settle()
    assert verdict(world, letters, at) == []
