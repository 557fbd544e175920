"""What of a seed is played: all of it, or less; and the least of it that still breaks a promise."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Self

KINDS = ("weather", "step", "stop", "loss", "letter")
"""What can be left out, in the order in which that is tried: the bad weather of a step, a step, a spell without
numbers, that the register is lost, a letter."""
PLAYS_MAX = 250
"""How often a story is played at most to find the shortest."""

Part = tuple[str, int]
"""One of `KINDS`, and which."""


@dataclass(frozen=True, slots=True)
class Story:
    """A seed without some parts. What is left of a seed stays what it was: each step has its own dice."""

    seed: int
    left_out: frozenset[Part] = frozenset()

    def has(self, kind: str, number: int) -> bool:
        return (kind, number) not in self.left_out

    def without(self, parts: Iterable[Part]) -> Self:
        return replace(self, left_out=self.left_out | set(parts))

    def parts(self, *, steps: int, letters: int, stops: int = 0, losses: int = 0) -> list[Part]:
        """What can still be left out of it, when the seed has so many."""
        many = {"weather": steps, "step": steps, "stop": stops, "loss": losses, "letter": letters}
        every = [(kind, number) for kind in KINDS for number in range(many[kind])]
        return [part for part in every if part not in self.left_out]

    def __str__(self) -> str:
        """As `read` reads it, and the command line has it."""
        parts = [f"{kind}:{ranges(n for other, n in self.left_out if other == kind)}" for kind in KINDS]
        return " ".join([str(self.seed), *(part for part in parts if not part.endswith(":"))])

    @classmethod
    def read(cls, words: Sequence[str]) -> Self:
        """Raises ValueError."""
        left_out: set[Part] = set()
        for word in words[1:]:
            if (found := re.fullmatch(r"(\w+):([\d,-]+)", word)) is None or found[1] not in KINDS:
                raise ValueError(f"{word!r} is no part of a story: it is like step:0-7,12")
            left_out |= {(found[1], number) for number in numbers_in(found[2])}
        return cls(int(words[0]), frozenset(left_out))


def ranges(numbers: Iterable[int]) -> str:
    """As `numbers_in` reads them: `0-3,7`."""
    runs = groupby(enumerate(sorted(numbers)), key=lambda one: one[1] - one[0])
    spans = [[n for _, n in run] for _, run in runs]
    return ",".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else f"{span[0]}" for span in spans)


def numbers_in(ranges: str) -> set[int]:
    """Of `0-3,7` the five. Raises ValueError."""
    spans = [span.partition("-") for span in ranges.split(",")]
    return {number for first, _, last in spans for number in range(int(first), int(last or first) + 1)}


def shortest(story: Story, parts: Sequence[Part], fails: Callable[[Story], bool], plays_max: int = PLAYS_MAX) -> Story:
    """Leave out of `parts` what `story` fails without: halves, then quarters and so on, at last one by one."""
    left, size, plays = list(parts), max(1, len(parts) // 2), 0
    while left:
        before = len(left)
        for chunk in _chunks(left, size):
            if plays == plays_max:
                return story
            plays += 1
            if fails(shorter := story.without(chunk)):
                story, left = shorter, [part for part in left if part not in chunk]
        if size == 1 and len(left) == before:
            return story
        size = max(1, size // 2)
    return story


def _chunks(parts: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    yield from (parts[start : start + size] for start in range(0, len(parts), size))
