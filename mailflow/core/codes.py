"""The code lists: which values a coded element may take, and in which versions of the form (Cerfa 14069)."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files

from mailflow.core.calendar import anniversary


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeValue:
    """One value of a list."""

    code: str
    label: str
    """In French."""
    versions: frozenset[str]
    """The form versions in which it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormVersion:
    """A version of the form, and when it may be used. Both days are inclusive."""

    starts_on: date
    ends_on: date | None
    """A year after the next version began; None for the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLists:
    """All lists, by the name of the element that carries their values."""

    versions: Mapping[str, FormVersion]
    """Every form version known, oldest first."""
    lists: Mapping[str, Mapping[str, CodeValue]]

    def in_use(self, day: date) -> frozenset[str]:
        """The form versions that may be used on that day: one, or two in the year after a new one began."""
        return frozenset(
            name
            for name, version in self.versions.items()
            if version.starts_on <= day and (version.ends_on is None or day <= version.ends_on)
        )

    def holds(self, code_list: str, code: str, versions: Collection[str]) -> bool:
        """Whether `code` is in the list, in one of those form versions."""
        value = self.lists[code_list].get(code)
        return value is not None and not value.versions.isdisjoint(versions)


@cache
def code_lists() -> CodeLists:
    """The lists that come with this release."""
    data = json.loads(files("mailflow.core").joinpath("data/codes.json").read_text(encoding="utf-8"))
    versions = _versions(data["versions"])
    return CodeLists(
        versions=versions,
        lists={
            name: {code: _value(code, value, versions) for code, value in values.items()}
            for name, values in data["lists"].items()
        },
    )


def _versions(starts: Mapping[str, str]) -> dict[str, FormVersion]:
    """The versions with their days: each may be used for one more year when the next begins."""
    days = [date.fromisoformat(day) for day in starts.values()]
    ends = [anniversary(day) - timedelta(days=1) for day in days[1:]]
    return {
        name: FormVersion(starts_on=start, ends_on=end)
        for name, start, end in zip(starts, days, [*ends, None], strict=True)
    }


def _value(code: str, value: str | dict[str, object], versions: Collection[str]) -> CodeValue:
    match value:
        case str():
            return CodeValue(code=code, label=value, versions=frozenset(versions))
        case {"label": str(label), "versions": list(held)}:
            return CodeValue(code=code, label=label, versions=frozenset(held))
    raise AssertionError(f"malformed entry {code} in codes.json")
