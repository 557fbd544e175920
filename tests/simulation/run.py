"""What a run leaves to be looked at, by the oracle and by whoever reads the story."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.simulation.letters import Letter
from tests.simulation.losses import Losses
from tests.simulation.rotations import Rotation
from tests.simulation.service import House
from tests.simulation.story import Part
from tests.simulation.successions import Word
from tests.simulation.switch import Stop
from tests.simulation.world import Transfer, World


@dataclass(slots=True)
class Run:
    """See the module."""

    seed: int
    house: House
    letters: Sequence[Letter]
    parts: Sequence[Part]
    """What could still be left out of the story."""
    stops: Sequence[Stop]
    rotation: Rotation
    losses: Losses
    sent_again: dict[str, list[datetime]] = field(default_factory=dict)
    """When an operator had a mail of ours sent again, by its Message-ID."""
    words: list[Word] = field(default_factory=list)
    """What the operator said of certificates that were offered."""
    innocents_struck: int = 0
    """Mails that were set aside for a fault of ours, before any operator looked."""

    @property
    def transfers(self) -> Sequence[Transfer]:
        """Of the life that counts."""
        return [one for n, one in enumerate(self.world.transfers) if not self.losses.is_lost(n, one)]

    @property
    def world(self) -> World:
        return self.house.world
