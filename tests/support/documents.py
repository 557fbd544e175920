"""What the documents say of settings and anomalies is written from the code. `make fix` writes it anew."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from mailflow.cli.main import cli
from mailflow.core.anomalies import Level, Severity, catalogue
from mailflow.core.life import TABLE, Action, Role, Standing
from mailflow.ledger import differences
from mailflow.mail.cms import algorithm_table
from mailflow.ops import alarms
from mailflow.register.acts import MAILS, OUTGOING, Left
from mailflow.register.types import IntakeState, OutboxState
from mailflow.settings import sample
from tests.support import transcripts
from tests.support.guide import elements, lists, mails
from tests.support.guide.markdown import table
from tests.support.producers import roster

ROOT = Path(__file__).parents[2]


def entries_for_operators() -> str:
    """The reasons for which a whole mail is set aside or refused."""
    rows = [
        f"| `{entry.code}` | {entry.english} | {entry.remedy_english} |"
        for entry in catalogue().values()
        if entry.level is Level.MAIL and entry.severity is not Severity.WARNING
    ]
    return "\n".join(["| code | what it means | what helps |", "|---|---|---|", *rows]) + "\n"


def commands() -> str:
    """Every command with the sentence that its help begins with."""
    rows = [f"| `mailflow {name}` | {command.get_short_help_str(limit=200)} |" for name, command in walk(cli)]
    return "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"


def walk(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands inside a group, to any depth, with their full names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def states() -> str:
    """Every cell of the state table, a row for each action and role; the last role is told once."""
    rows = [
        [action if role is Role.CREATOR else "", role, *(_cell(standing, action, role) for standing in Standing)]
        for action in Action
        for role in Role
        if role is not Role.STRANGER
    ]
    never = [_cell(standing, action, Role.STRANGER) for standing in Standing for action in Action]
    assert len(set(never)) == 1, "then the row cannot stand for all actions"
    rows.append(["any", Role.STRANGER, *never[: len(Standing)]])
    return table(["action", "role", *Standing], rows)


def _cell(standing: Standing, action: Action, role: Role) -> str:
    code = TABLE[standing, action, role]
    return "**done**" if code is None else f"`{code.name}`"


def act_table() -> str:
    """What may be done in which state."""

    def cells(states: Any, of: Mapping[Any, Mapping[Any, Left | None]]) -> str:
        rows = [[f"`{verb}`", *(_may(of[verb][state]) for state in states)] for verb in of]
        return table(["act", *(f"`{state}`" for state in states)], rows)

    tables = [cells(IntakeState, MAILS), cells(OutboxState, OUTGOING)]
    return f"To mails:\n\n{tables[0]}\nTo outgoing mails:\n\n{tables[1]}"


def _may(left: Left | None) -> str:
    return "**done**" if left is None else left.value


def alarm_table() -> str:
    """What operators do about each alarm."""
    head = ["alarm", "what happened", "what it means", "what to do", "type first"]
    rows = [
        [
            f"`{alarm}`, {meant.severity}",
            _shown(meant.happened),
            meant.meaning,
            meant.action,
            f"`{_as_typed(meant.command)}`",
        ]
        for alarm, meant in alarms.catalogue().items()
    ]
    return table(head, rows)


def _as_typed(command: str) -> str:
    """With what is filled in in capital letters."""
    return re.sub(r"{(\w+)}", lambda found: found[1].upper(), command)


def _shown(sentence: str) -> str:
    """With what is filled in as *emphasis*; a count is `n`."""
    return re.sub(r"\{(\w+)\}", lambda found: "*n*" if found[1] == "value" else f"*{found[1]}*", sentence)


def difference_table() -> str:
    """Every kind of difference of the reconciliation."""
    head = ["difference", "what it means", "what helps", "`--apply`"]
    rows = [
        [f"`{kind}`", meaning.explanation, meaning.remedy, meaning.mends or ("adds up" if meaning.adds_up else "")]
        for kind, meaning in differences.MEANINGS.items()
    ]
    return table(head, rows)


BLOCKS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"terminal": transcripts.terminal},
    "DESIGN.md": {"states": states, "producers": roster.matrix},
    "OPERATING.md": {
        "acts": act_table,
        "alarms": alarm_table,
        "commands": commands,
        "differences": difference_table,
        "settings": sample.reference,
        "reasons": entries_for_operators,
    },
    "docs/interface.md": {"delays": lists.delays},
    "docs/message.md": {"algorithms": lists.algorithms, "limits": lists.limits},
    "docs/operations.md": {"operations": lists.operations, "states": lists.states, "samples": lists.samples},
    "docs/elements.md": {"elements": elements.of_file, "shared": elements.of_shared, "receipts": elements.of_receipts},
    "docs/codes.md": {"versions": lists.versions, "codes": lists.codes},
    "docs/anomalies.md": {"anomalies": lists.anomalies},
}


def _of_document(name: str) -> bytes:
    """A document as it is, with each block of it as it should be."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for block, make in BLOCKS[name].items():
        start, end = f"<!-- from the code: {block} -->\n", f"<!-- end: {block} -->"
        before, _, rest = text.partition(start)
        _, closing, after = rest.partition(end)
        assert closing, f"{name} should have a block {block}"
        text = before + start + make() + end + after
    return text.encode()


WRITTEN: dict[Path, Callable[[], bytes]] = {
    ROOT / "config/mailflow.toml": lambda: sample.sample().encode(),
    **{
        ROOT / "config" / name: (ROOT / "mailflow/demo/data" / name).read_bytes
        for name in ("bailleurs.csv", "commissions.csv")
    },
    ROOT / "schemas/algorithms.json": lambda: (json.dumps(algorithm_table(), indent=2) + "\n").encode(),
    **mails.mails(),
    **{ROOT / name: partial(_of_document, name) for name in BLOCKS},
}
"""Each file that is written from the code, wholly or in part, and what makes what it should hold."""


if __name__ == "__main__":
    for path, content in WRITTEN.items():
        path.write_bytes(content())
