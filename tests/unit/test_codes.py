"""The code lists."""

from mailflow.core.codes import CodeLists, CodeValue, code_lists
from mailflow.core.form import HousingRequest
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
    lists = CodeLists(versions=("04", "05"), lists={"liste": {"X": value}})
    assert lists.holds("liste", "X", "05")
    assert lists.holds("liste", "X", None)
    assert not lists.holds("liste", "X", "04")
    assert not lists.holds("liste", "Y", None)


def _lists_of(model: type[WireModel]) -> set[str]:
    found: set[str] = set()
    for shape in shape_of(model):
        if shape.coded is not None and shape.coded.code_list is not None:
            found.add(shape.coded.code_list)
        if shape.model is not None:
            found |= _lists_of(shape.model)
    return found
