"""What the elements of the interface mean, in French: what the schemas and the guide for vendors say of each."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from mailflow.core.shapes import WireModel


def meaning(model: type[WireModel], wire_name: str) -> str:
    """What the field of that name says in `model`. A field that nobody has described is a KeyError."""
    known = meanings()
    for declaring in model.__mro__:
        if found := known.get(declaring.__name__, {}).get(wire_name):
            return found
    raise KeyError(f"{wire_name} of {model.__name__} has no meaning in elements.toml")


@cache
def meanings() -> Mapping[str, Mapping[str, str]]:
    """Every sentence, by model and name."""
    return tomllib.loads(files("mailflow.core").joinpath("data/elements.toml").read_text(encoding="utf-8"))
