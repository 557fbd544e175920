"""Planted faults, by the stage that they are planted in."""

from tests.simulation.mutants import (
    asking,
    bouncing,
    changing,
    deciding,
    dispatching,
    lateness,
    losing,
    nightly,
    receiving,
    rotating,
    sending,
    stopping,
    succeeding,
)
from tests.simulation.mutants.planting import MUTANTS

__all__ = [
    "MUTANTS",
    "asking",
    "bouncing",
    "changing",
    "deciding",
    "dispatching",
    "lateness",
    "losing",
    "nightly",
    "receiving",
    "rotating",
    "sending",
    "stopping",
    "succeeding",
]
