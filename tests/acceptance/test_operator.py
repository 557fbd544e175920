"""Operators' stories: what goes wrong is heard of, seen, mended and over, by commands alone."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance import operator_machine, operator_mails
from tests.acceptance.operator import TROUBLES, Operator, Trouble, play
from tests.acceptance.world import World

CHAPTERS = {chapter.__name__ for chapter in (operator_mails, operator_machine)}
STORIES = [told for told in TROUBLES if told.course.__module__ in CHAPTERS]


@pytest.fixture
def operator(world: World, at: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    made = Operator(world=world, at=at, patch=monkeypatch, folder=tmp_path)
    made.knows_what_is_old()
    return made


@pytest.mark.one_in(6)
@pytest.mark.parametrize("told", STORIES, ids=lambda told: told.title.replace(" ", "-"))
def test_an_operator_finds_and_mends(told: Trouble, operator: Operator) -> None:
    play(told, operator)
