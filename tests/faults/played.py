"""What came of a story."""

from dataclasses import dataclass

from mailflow.selftest.points import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A story with these faults, one for each run."""

    faults: tuple[Fault, ...]
    reached: bool
    """Every fault happened."""
    instead: bool = False
    """The last one at an earlier time than was meant, which was not reached."""
    seconds: float = 0.0
    """What it took."""
    wrong: tuple[str, ...]
    """In sentences: what did not come to its end, or to more than one."""

    def __str__(self) -> str:
        return "\n  ".join([" then ".join(map(str, self.faults)), *self.wrong])
