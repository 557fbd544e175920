"""The code lists: which values a coded element may take, and in which versions of the form (Cerfa 14069)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeValue:
    """One value of a list."""

    code: str
    label: str
    """In French."""
    versions: frozenset[str]
    """The form versions in which it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLists:
    """All lists, by the name of the element that carries their values."""

    versions: tuple[str, ...]
    """Every form version known, oldest first. Two overlap for a year, so each is accepted."""
    lists: Mapping[str, Mapping[str, CodeValue]]

    def holds(self, code_list: str, code: str, version: str | None) -> bool:
        """Whether `code` is in the list, in that form version; with None, in any."""
        value = self.lists[code_list].get(code)
        return value is not None and (version is None or version in value.versions)


@cache
def code_lists() -> CodeLists:
    """The lists that come with this release."""
    data = json.loads(files("mailflow.core").joinpath("data/codes.json").read_text(encoding="utf-8"))
    versions = tuple(data["versions"])
    return CodeLists(
        versions=versions,
        lists={
            name: {code: _value(code, value, versions) for code, value in values.items()}
            for name, values in data["lists"].items()
        },
    )


def _value(code: str, value: str | dict[str, object], versions: tuple[str, ...]) -> CodeValue:
    match value:
        case str():
            return CodeValue(code=code, label=value, versions=frozenset(versions))
        case {"label": str(label), "versions": list(held)}:
            return CodeValue(code=code, label=label, versions=frozenset(held))
    raise AssertionError(f"malformed entry {code} in codes.json")
