"""What OPERATING shows as typed at a terminal."""

import re
from collections.abc import Iterator
from pathlib import Path

HANDBOOK = Path(__file__).parents[2] / "OPERATING.md"


def typed_lines(text: str) -> Iterator[str]:
    """What follows a prompt in the blocks that show a terminal."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^\$ (.*)$", block, re.MULTILINE)


def typed_under(heading: str) -> list[str]:
    """The commands of one chapter of the handbook, in order."""
    _, found, after = HANDBOOK.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, heading
    return list(typed_lines(after.partition("\n## ")[0]))
