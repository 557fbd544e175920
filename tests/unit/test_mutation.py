"""The changes that `make mutation` plants: which there are, that each is planted, and that none is left behind."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.mutation.operators import changes
from tests.mutation.planting import NotPlantedError, functions_of, plant

SOURCE = '''
"""A module that is changed."""

from dataclasses import dataclass
from functools import lru_cache

LIMIT = 3
NAMES = {"one": 1}


@dataclass(frozen=True)
class Box:
    """Holds something."""

    size: int = 2

    @property
    def is_large(self) -> bool:
        return self.size > LIMIT and "one" in NAMES

    def shifted(self, by: int = 1) -> int:
        if not by:
            raise ValueError("no text is changed")
        return self.size - by


@lru_cache
def doubled(number: int) -> int:
    """Is remembered."""
    total = number + number
    return total
'''


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    file = tmp_path / "changed_in_tests.py"
    file.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    yield made
    del sys.modules[file.stem]


def planted(module: ModuleType, what: str) -> Any:
    """The module after that change."""
    tree = ast.parse(SOURCE)
    functions = functions_of({str(module.__file__)})
    for change in changes(tree):
        if change.what == what:
            plant(tree, module, change.function, functions)
            return module
    raise AssertionError(f"no change {what}")


def test_what_is_changed_and_where() -> None:
    tree = ast.parse(SOURCE)
    before = ast.unparse(tree)
    found = {(change.function, change.what) for change in changes(tree)}
    assert ast.unparse(tree) == before
    assert found == {
        ("", "`3` → `4` in `LIMIT = 3`"),
        ("", "`'one'` → `'one-other'` in `{'one': 1}`"),
        ("", "`1` → `2` in `{'one': 1}`"),
        ("", "`2` → `3` in `size: int = 2`"),
        ("", "`1` → `2`"),
        ("Box.is_large", "`self.size > LIMIT and 'one' in NAMES` → `self.size > LIMIT`"),
        ("Box.is_large", "`self.size > LIMIT and 'one' in NAMES` → `'one' in NAMES`"),
        ("Box.is_large", "`self.size > LIMIT` → `self.size >= LIMIT`"),
        ("Box.is_large", "`'one' in NAMES` → `'one' not in NAMES`"),
        ("Box.is_large", "`'one'` → `'one-other'` in `'one' in NAMES`"),
        ("Box.shifted", "`not by` → `by`"),
        ("Box.shifted", "without `raise ValueError('no text is changed')`"),
        ("Box.shifted", "`return self.size - by` → `return None`"),
        ("Box.shifted", "`self.size - by` → `self.size + by`"),
        ("doubled", "`total = number + number` → `total = None`"),
        ("doubled", "`number + number` → `number - number`"),
        ("doubled", "`return total` → `return None`"),
    }


def test_a_change_reaches_whoever_holds_the_function_or_the_value_already(module: ModuleType) -> None:
    box, doubled = module.Box(size=3), module.doubled
    assert (box.is_large, box.shifted(), doubled(2)) == (False, 2, 4)
    planted(module, "`self.size > LIMIT` → `self.size >= LIMIT`")
    assert box.is_large
    planted(module, "`self.size - by` → `self.size + by`")
    assert box.shifted() == 4
    doubled.cache_clear()
    planted(module, "`number + number` → `number - number`")
    assert doubled(2) == 0


def test_what_a_module_computes_when_it_is_loaded_is_computed_anew(module: ModuleType) -> None:
    made = module.Box
    assert planted(module, "`3` → `4` in `LIMIT = 3`").LIMIT == 4
    assert not module.Box(size=4).is_large
    assert module.Box is made
    planted(module, "`1` → `2`")
    assert module.Box(size=3).shifted() == 1
    planted(module, "`2` → `3` in `size: int = 2`")
    assert module.Box().size == 3


def test_what_cannot_be_planted_is_said_to_be_so(module: ModuleType) -> None:
    with pytest.raises(NotPlantedError):
        plant(ast.parse(SOURCE), module, "nothing", functions_of({str(module.__file__)}))
