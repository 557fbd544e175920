"""Planted faults, by the stage that they are planted in."""

from tests.simulation.mutants import changing, deciding, lateness, nightly, receiving, sending
from tests.simulation.mutants.planting import MUTANTS

__all__ = ["MUTANTS", "changing", "deciding", "lateness", "nightly", "receiving", "sending"]
