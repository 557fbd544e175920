"""The verdict of `mailflow reconcile` is of all that was found, whichever kinds are to be told."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailflow.cli import reconcile as command
from mailflow.cli.invocation import Exit, Invocation
from mailflow.ledger.differences import Kind
from mailflow.ledger.reading import Sheet
from mailflow.register.accounts import Totals

NOTHING = Totals(mails=[], outgoing=[], requests=[], dispatches=0, last_mail=0, last_outgoing=0)
UNKNOWN = {Kind.COPY_UNKNOWN: 3}
EXPLAINED = {Kind.TWICE: 1}


def call(monkeypatch: pytest.MonkeyPatch, found: Mapping[Kind, int], *options: str) -> Result:
    async def read(*_: object, **__: object) -> tuple[Sheet, Counter[Kind]]:
        return Sheet(at=datetime.now(UTC), totals=NOTHING, found=Counter(found)), Counter()

    monkeypatch.setattr(command, "_reconcile", read)
    invocation = Invocation(config=Path("never-read.toml"))
    return CliRunner().invoke(command.reconcile, options, obj=invocation, standalone_mode=False)


def test_what_other_kinds_tell_is_counted_and_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call(monkeypatch, UNKNOWN | EXPLAINED, "--kind", Kind.UNRECORDED.value)
    assert done.return_value == Exit.SET_ASIDE
    assert "Everything adds up." not in done.output
    assert Kind.COPY_UNKNOWN not in done.output, "it is told of the kinds that are wanted"
    assert "differences of other kinds: 4. `mailflow reconcile` without --kind shows them." in done.output


def test_so_does_the_json(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call(monkeypatch, UNKNOWN | {Kind.UNRECORDED: 2}, "--json", "--kind", Kind.UNRECORDED.value)
    told = json.loads(done.output)
    assert [one["kind"] for one in told["differences"]] == [Kind.UNRECORDED]
    assert (done.return_value, told["adds_up"], told["of_other_kinds"]) == (Exit.SET_ASIDE, False, 3)


@pytest.mark.parametrize("options", [(), ("--kind", Kind.UNRECORDED.value)])
def test_what_is_explained_by_itself_adds_up(monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    done = call(monkeypatch, EXPLAINED, *options)
    assert done.return_value == Exit.DONE
    assert "Everything adds up." in done.output
    assert ("differences of other kinds: 1." in done.output) is bool(options)


def test_nothing_is_left_out_without_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call(monkeypatch, UNKNOWN)
    assert (done.return_value, "other kinds" in done.output) == (Exit.SET_ASIDE, False)
    assert json.loads(call(monkeypatch, {}, "--json").output)["of_other_kinds"] == 0
