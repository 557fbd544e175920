"""`mailflow master-key`: the next one at the command line, and the end of the former one."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from mailflow import app
from mailflow.demo.installation import Installation
from mailflow.register import outbox
from mailflow.settings import load
from tests.integration.test_cli import DONE, SET_ASIDE, USAGE, Run, installation, listed, pki, run, software, template
from tests.support.records import a_draft

__all__ = ["installation", "pki", "run", "software", "template"]

CONFIGURATION = 78
WHY = ("--why", "once a year", "--apply")


def order(installation: Installation, key: str) -> None:
    """Something is sealed under a new content key."""

    async def queue() -> None:
        async with app.register_of(load(installation.config)) as register, register.begin() as tx:
            await outbox.queue(tx, [a_draft(None, key=key)], datetime.now(UTC))

    asyncio.run(queue())


def told(run: Run) -> dict[str, tuple[bool, bool, int]]:
    return {row["name"]: (row["file"], row["current"], row["wraps"]) for row in listed(run, "master-key", "list")}


def check(run: Run) -> tuple[bool, str]:
    findings: list[dict[str, Any]] = json.loads(run("check-config", "--offline", "--json")[1])
    (one,) = (finding for finding in findings if finding["what"] == "master keys")
    return one["ok"], one["detail"]


def test_a_new_register_is_not_told_to_remove_its_only_key(run: Run) -> None:
    """Nothing was sealed yet, so the register has none on record."""
    ((name, state),) = told(run).items()
    assert state == (True, True, 0)
    assert check(run) == (True, f"{name} is current")
    assert run("master-key", "remove", name, *WHY)[0] == SET_ASIDE


def test_a_rotation_from_its_plan_to_the_end_of_the_former_key(run: Run, installation: Installation) -> None:
    order(installation, "before")
    ((first, state),) = told(run).items()
    assert state == (True, True, 1)
    files = installation.folder / "keys" / "master"

    code, out, _ = run("master-key", "rotate", "--to", "next")
    assert (code, "wrap 1 content keys anew" in out, "Nothing was changed" in out) == (DONE, True, True)
    assert run("master-key", "rotate", "--to", "next", "--apply")[0] == USAGE, "a reason is wanted"
    assert run("master-key", "rotate", "--to", "../next")[0] == USAGE
    assert told(run) == {first: state}

    assert run("master-key", "remove", first, *WHY)[0] == SET_ASIDE, "it is current"
    assert run("master-key", "rotate", "--to", "next", *WHY)[0] == DONE
    assert told(run) == {first: (True, False, 0), "next": (True, True, 1)}
    assert (files / "next.key").stat().st_mode == (files / f"{first}.key").stat().st_mode
    order(installation, "after")
    assert told(run)["next"] == (True, True, 2)
    assert check(run) == (True, f"{first} wraps nothing: mailflow master-key remove {first}; next is current")

    assert run("master-key", "remove", first, *WHY)[0] == DONE
    assert not (files / f"{first}.key").exists()
    assert told(run) == {"next": (True, True, 2)}
    assert run("master-key", "remove", first)[0] == SET_ASIDE, "there is none"

    (files / "next.key").rename(files / "lost.key")
    assert run("check-config", "--offline")[0] == CONFIGURATION
    ok, detail = check(run)
    assert not ok
    assert "next wraps 2 content keys" in detail


def test_the_next_one_is_named_for_the_day(run: Run) -> None:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    for _ in range(2):
        assert run("master-key", "rotate", *WHY)[0] == DONE
    assert [name for name in sorted(told(run)) if day in name] == [day, f"{day}-2"]
