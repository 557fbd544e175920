"""What the elements of the interface mean is told of each of them, in the schemas and in the guide."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from lxml import etree

from mailflow.core.elements import meaning, meanings
from mailflow.core.form import HousingRequest
from mailflow.core.shapes import models_below, shape_of
from mailflow.wire.acknowledgement import Acknowledgement, Reception
from mailflow.wire.catalogue import json_schema, published
from mailflow.wire.codec import build
from mailflow.wire.envelope import InterfaceFile
from mailflow.wire.management import ManagementFile
from mailflow.wire.xsd import XS
from tests.support.requests import ASSOCIATION, WHOLE

PUBLISHED = published()
ROOTS = (InterfaceFile, Acknowledgement, Reception, ManagementFile)
MODELS = {model.__name__: model for root in ROOTS for model in models_below(root)}
VALIDATOR = Draft202012Validator(json_schema(HousingRequest), format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_field_of_the_interface_has_a_meaning(name: str) -> None:
    for shape in shape_of(MODELS[name]):
        sentence = meaning(MODELS[name], shape.wire_name)
        assert sentence[0].isupper() or sentence[0] == "`", sentence
        assert sentence[-1] in ".?", sentence


def test_no_meaning_is_told_of_what_is_not_there() -> None:
    fields: dict[str, set[str]] = {}
    for model in MODELS.values():
        for declaring in model.__mro__:
            fields.setdefault(declaring.__name__, set()).update(shape.wire_name for shape in shape_of(model))
    stale = [(model, name) for model, names in meanings().items() for name in names if name not in fields[model]]
    assert not stale


@pytest.mark.parametrize("name", sorted(name for name in PUBLISHED if name.endswith(".xsd")))
def test_every_declaration_of_the_schema_is_explained(name: str) -> None:
    """But for the root, and for items, which the list that holds them explains."""
    tags = (f"{{{XS}}}element", f"{{{XS}}}attribute")
    declarations = [one for one in etree.fromstring(PUBLISHED[name]).iter(*tags) if one.get("name")]
    groups = (f"{{{XS}}}all", f"{{{XS}}}choice")
    inside = [one for one in declarations if (holder := one.getparent()) is not None and holder.tag in groups]
    attributes = [one for one in declarations if one.tag == tags[1] and one.get("name") != "code"]
    unexplained = [one.get("name") for one in inside + attributes if one.findtext(f".//{{{XS}}}documentation") is None]
    assert inside
    assert not unexplained


def test_the_form_in_json_is_valid_against_its_schema() -> None:
    Draft202012Validator.check_schema(json_schema(HousingRequest))
    for form in (WHOLE, ASSOCIATION):
        assert list(VALIDATOR.iter_errors(form)) == []


LEAVES: st.SearchStrategy[Any] = st.text(max_size=8) | st.sampled_from(
    [
        *(None, True, 3, -1, 2.5, 1999, 1_000_000, [], {}, ["T3", "T4"], [None]),
        *("", "x" * 65, "x" * 151, "\u0001", "\u0085", "\ufffe", "true"),
        *("12.5", "12,5", "1e3", "1999", "2026-02-30", "2026-01-12", "20260112", "2026-01-12\n"),
    ]
)


@given(st.data())
@settings(max_examples=300)
def test_what_the_json_schema_accepts_the_model_holds(data: st.DataObject) -> None:
    """A valid form is changed in one or two places. (The model also takes numbers and truths written as text.)"""
    form: Any = deepcopy(data.draw(st.sampled_from([WHOLE, ASSOCIATION])))
    for _ in range(data.draw(st.integers(1, 2))):
        holder = form
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = data.draw(st.sampled_from([*places, "surprise"] if isinstance(holder, dict) else places))
            inner = holder.get(key) if isinstance(holder, dict) else holder[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                break
            holder = inner
        holder[key] = data.draw(LEAVES)
    if VALIDATOR.is_valid(form):
        assert build(HousingRequest, form, "")[1] == ()
