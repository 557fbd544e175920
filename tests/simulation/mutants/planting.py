"""The list of planted faults: each is one mistake that somebody could make, and that the simulation must find."""

from collections.abc import Callable

import pytest

Plant = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, Plant] = {}


def mutant(plant: Plant) -> Plant:
    """Put a planted fault on the list, under the sentence that its function's name is."""
    MUTANTS[plant.__name__.replace("_", " ")] = plant
    return plant
