"""What shares a key is decided one after the other; what does not, together."""

from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from mailflow.registrar.work import in_turns

Item = tuple[int, frozenset[str]]
ITEMS = st.lists(st.frozensets(st.sampled_from("abcdef"), max_size=3), max_size=20).map(lambda sets: [*enumerate(sets)])

first = itemgetter(0)


def keys(item: Item) -> set[object]:
    return set(item[1])


@given(ITEMS)
def test_each_item_comes_right_after_those_before_it_that_share_a_key(items: list[Item]) -> None:
    turns = in_turns(items, keys)
    assert sorted((item for turn in turns for item in turn), key=first) == items
    place = {item: number for number, turn in enumerate(turns) for item in turn}
    for number, (_, mine) in enumerate(items):
        before = [place[other] for other in items[:number] if other[1] & mine]
        assert place[items[number]] == max(before, default=-1) + 1


def test_fifty_thousand_requests_of_one_person_are_put_in_order_in_one_pass() -> None:
    items = [(number, frozenset("a")) for number in range(50_000)]
    assert len(in_turns(items, keys)) == 50_000
