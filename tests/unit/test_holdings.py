"""A desk's copy of the register: whatever the order of the files, and however often each comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.form import HousingRequest
from mailflow.core.model import Environment, Operation
from mailflow.mail import holdings
from mailflow.mail.holdings import Holding, OtherEnvironment
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.dispatch import NotOfTheService
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from tests.support.reception import a_request

AT = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)
NUMBER = "059012600000159123"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change left behind."""

    state: str
    content: str | None
    """The applicant's surname; None when it is not active."""
    said: bool
    """Whether the file that tells of it carries the content."""


def file_of(
    revision: int,
    change: Change,
    kind: Operation = Operation.RETURN,
    environment: Environment = Environment.PRODUCTION,
) -> bytes:
    element = RequestElement(
        number=NUMBER,
        state=change.state,
        revision=revision,
        expires_on=date(2027, 1, revision) if change.state == "active" else None,
        form=a_request(change.content) if change.said and change.content else None,
    )
    document = InterfaceFile(
        version=VERSIONS[-1],
        environment=environment,
        header=Header(file_type=kind, dated_at=AT),
        requests=(element,),
    )
    return to_bytes(write(document, ROOT, NUU))


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Changes of one request, each told of at least once; what a file does not say was said before."""
    changes = [Change(state="active", content="A", said=True)]
    for surname in draw(st.lists(st.sampled_from("ABC"), max_size=6)):
        last = changes[-1]
        if last.state != "active" or draw(st.booleans()):
            changes.append(Change(state="active", content=surname, said=True))
        elif draw(st.booleans()):
            changes.append(Change(state="active", content=last.content, said=False))
        else:
            changes.append(Change(state="radiee", content=None, said=False))
    return changes


def applied(files: Sequence[bytes]) -> dict[str, Holding]:
    known: dict[str, Holding] = {}
    for file in files:
        known = holdings.apply(holdings.load(holdings.dump(known)), file)
    return known


@given(histories(), st.data())
def test_files_are_applied_in_any_order_and_as_often_as_one_likes(changes: list[Change], data: st.DataObject) -> None:
    files = [file_of(revision, change) for revision, change in enumerate(changes, start=1)]
    again = data.draw(st.lists(st.sampled_from(files), max_size=3))
    (holding,) = applied(data.draw(st.permutations([*files, *again]))).values()
    last = changes[-1]
    assert (holding.state, holding.revision) == (last.state, len(changes))
    assert holding.expires_on == (date(2027, 1, len(changes)) if last.state == "active" else None)
    assert (holding.form and HousingRequest.model_validate(holding.form)) == (last.content and a_request(last.content))


def test_what_says_nothing_of_a_request_is_passed_over_and_what_is_no_answer_refused() -> None:
    refused = InterfaceFile(
        version=VERSIONS[-1],
        environment=Environment.PRODUCTION,
        header=Header(file_type=Operation.RETURN, dated_at=AT),
        requests=(RequestElement(form=a_request("A")),),
    )
    assert holdings.apply({}, to_bytes(write(refused, ROOT, NUU))) == {}
    for other in (b"<file/>", b"<", file_of(1, Change(state="active", content="A", said=True), Operation.CREATION)):
        with pytest.raises(NotOfTheService):
            holdings.apply({}, other)


def test_the_school_and_the_real_register_are_never_mixed() -> None:
    change = Change(state="active", content="A", said=True)
    with pytest.raises(OtherEnvironment):
        holdings.apply(applied([file_of(1, change)]), file_of(2, change, environment=Environment.SCHOOL))
