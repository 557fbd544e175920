"""What OPERATING shows as typed at a terminal, or written into the settings of another program."""

import re
from collections.abc import Iterator
from pathlib import Path

HANDBOOK = Path(__file__).parents[2] / "OPERATING.md"


def typed_lines(text: str) -> Iterator[str]:
    """What follows a prompt in the blocks that show a terminal."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^\$ (.*)$", block, re.MULTILINE)


def typed_under(heading: str) -> list[str]:
    """The commands under one heading of the handbook, in order."""
    return list(typed_lines(_under(heading)))


def settings_under(heading: str) -> str:
    """The settings of another program under one heading of the handbook."""
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", _under(heading), re.MULTILINE | re.DOTALL)
    return "".join(lines for language, lines in blocks if not language)


def _under(heading: str) -> str:
    """Up to the next heading, of whatever level."""
    text = HANDBOOK.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)
