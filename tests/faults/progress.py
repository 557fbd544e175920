"""What a sweep has played already, so that one that was cut off is gone on with: a line for each case."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mailflow.selftest.points import Fault, Point
from tests.faults.played import Played


@dataclass(slots=True, kw_only=True)
class Progress:
    """Of one place, by one version; several processes may write into the same file, each its own cases."""

    file: Path | None = None
    """None: nothing is kept."""
    place: str = ""
    version: str = ""
    _known: dict[tuple[Fault, ...], Played] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file and self.file.exists() else []
        for line in lines:
            # Whoever was killed while it wrote has left half a line, to which the next one adds its own.
            if (read := _read(line)) and (read["place"], read["version"]) == (self.place, self.version):
                played = _played(read["played"])
                self._known[played.faults] = played

    def of(self, *faults: Fault) -> Played | None:
        """How these faults ended, if they were played."""
        return self._known.get(faults)

    def note(self, asked: tuple[Fault, ...], played: Played) -> None:
        """What came of the faults that were asked for, of which the last may have happened at an earlier time."""
        if self.file is None:
            return
        kept = {**asdict(played), "faults": [asdict(fault) for fault in asked]}
        line = json.dumps({"place": self.place, "version": self.version, "played": kept})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _read(line: str) -> dict[str, Any] | None:
    try:
        read = json.loads(line)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def _played(kept: dict[str, Any]) -> Played:
    faults = tuple(Fault(point=Point(**fault["point"]), how=fault["how"]) for fault in kept["faults"])
    return Played(**{**kept, "faults": faults, "wrong": tuple(kept["wrong"])})
