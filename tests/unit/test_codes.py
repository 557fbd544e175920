"""The code lists."""

from datetime import date

import pytest

from mailflow.core.codes import CodeLists, CodeValue, code_lists
from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation
from mailflow.core.shapes import WireModel, shape_of


def test_every_list_that_the_form_uses_exists() -> None:
    used = _lists_of(HousingRequest)
    assert used
    assert used <= code_lists().lists.keys()


def test_every_value_holds_in_some_known_version() -> None:
    known = code_lists()
    for values in known.lists.values():
        for value in values.values():
            assert value.label
            assert value.versions
            assert value.versions <= set(known.versions)


def test_a_value_may_hold_in_some_versions_only() -> None:
    value = CodeValue(code="X", label="nouveau", versions=frozenset({"05"}))
    lists = CodeLists(versions={}, lists={"liste": {"X": value}})
    assert lists.holds("liste", "X", {"05"})
    assert lists.holds("liste", "X", {"04", "05"})
    assert not lists.holds("liste", "X", {"04"})
    assert not lists.holds("liste", "Y", {"04", "05"})


@pytest.mark.parametrize(
    ("day", "versions"),
    [
        (date(2018, 9, 9), {"02"}),
        (date(2018, 9, 10), {"02", "03"}),
        (date(2019, 9, 9), {"02", "03"}),
        (date(2019, 9, 10), {"03"}),
        (date(2026, 1, 15), {"05"}),
        (date(2011, 1, 1), set()),
    ],
)
def test_two_versions_of_the_form_are_in_use_for_a_year(day: date, versions: set[str]) -> None:
    assert code_lists().in_use(day) == versions


def test_the_list_of_file_types_is_that_of_the_operations() -> None:
    assert set(code_lists().lists["typeFichier"]) == set(Operation)


def _lists_of(model: type[WireModel]) -> set[str]:
    found: set[str] = set()
    for shape in shape_of(model):
        if shape.coded is not None and shape.coded.code_list is not None:
            found.add(shape.coded.code_list)
        if shape.model is not None:
            found |= _lists_of(shape.model)
    return found
