"""Every folder of `stories/`: what a desk wrote with openssl alone, and what it got back, or why nothing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.acceptance.reading import faults
from tests.acceptance.story import Story, Told, has_form, on_its_day, stories, tell
from tests.acceptance.world import Done, World

CHAPTERS = {"numbers": 0, "anomalies": 0, "silence": 65, "operations": 0}
"""With the exit code of the run: somebody should look at what nobody was answered."""
ONE_BY_ONE = {"operations"}
"""What comes next is about the numbers that were given before."""
ANSWER_SENT = re.compile(r"\bintake=\d+ stage=sent\b")
"""Not a dispatch, which the jobs of the first batch of a day may order."""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    runs: Sequence[Done]
    told: Mapping[str, Told]


@pytest.fixture(scope="module")
def chapters() -> dict[str, Chapter]:
    """What has been told so far."""
    return {}


@pytest.fixture
def chapter(
    request: pytest.FixtureRequest,
    chapters: dict[str, Chapter],
    shared_world: World,
    tmp_path_factory: pytest.TempPathFactory,
) -> Chapter:
    """One run of the service for all stories of a chapter."""
    name = request.node.callspec.params["name"]
    if name not in chapters:
        runs, told = tell(name, shared_world, tmp_path_factory.mktemp(name), one_by_one=name in ONE_BY_ONE)
        chapters[name] = Chapter(runs=runs, told=told)
    return chapters[name]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_run_ends_with_its_exit_code_and_counts_every_mail(chapter: Chapter, name: str) -> None:
    assert {run.code for run in chapter.runs} == {CHAPTERS[name]}, chapter.runs[-1].err
    received, answered, set_aside = (
        sum(run.json[count] for run in chapter.runs) for count in ("received", "answered", "set_aside")
    )
    assert received == answered + set_aside == len(stories(name))
    assert sum(len(ANSWER_SENT.findall(run.err)) for run in chapter.runs) == answered


@pytest.mark.parametrize(
    ("name", "story"),
    [pytest.param(name, story, id=f"{name}-{story.name}") for name in CHAPTERS for story in stories(name)],
)
def test_the_story_ends_as_told(chapter: Chapter, name: str, story: Story) -> None:
    told, expect = chapter.told[story.name], story.expect
    if "reason" in expect:
        assert not told.answers, told.transcript
        assert told.set_aside is not None, told.transcript
        assert (told.set_aside["state"], told.set_aside["reason"]) == ("set_aside", expect["reason"]), told.transcript
        return
    assert told.set_aside is None, told.transcript
    assert {desk: len(answers) for desk, answers in told.answers.items()} == {expect["answered"]: 1}, told.transcript
    (answer,) = told.answers[expect["answered"]]
    assert answer.envelope == expect.get("envelope", "authEnvelopedData aes-256-gcm")
    assert sorted(answer.anomalies) == sorted(expect.get("anomalies", [])), told.transcript
    assert len(answer.numbers) == len(expect.get("numbers", [])), told.transcript
    for number, form in zip(answer.numbers, expect.get("numbers", []), strict=True):
        assert has_form(number, form, datetime.now(UTC)), (number, form)
        assert number in answer.text
    if "states" in expect:
        now = datetime.now(UTC)
        assert answer.states == [on_its_day(state, now) for state in expect["states"]], told.transcript
    assert len([name for name in answer.files if name.startswith("ATT")]) == expect.get(
        "attestations", len(answer.numbers)
    )
    assert len(answer.returns) == expect.get("files", 1)
    assert faults(answer) == []
