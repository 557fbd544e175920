"""Who may be the same person: what is near, what is not, and that the near ones meet."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailflow.core.identity import Identity, Likeness, Profile, compare, near_keys

DAY = date(1980, 3, 4)
Who = tuple[str, str] | tuple[str, str, date] | tuple[str, str, date, str]


def profile(surname: str, first_name: str, born_on: date = DAY, used_name: str | None = None) -> Profile:
    return Profile(Identity(surname=surname, first_name=first_name, born_on=born_on, used_name=used_name))


@pytest.mark.parametrize(
    ("one", "other", "likeness"),
    [
        (("Durand", "Zoé"), ("DURAND", "zoe"), Likeness.EXACT),
        (("Martin-Durand", "Zoé"), ("Durand Martin", "Zoé"), Likeness.EXACT),
        (("МАRTIN", "Zoé"), ("Martin", "Zoé"), Likeness.EXACT),  # the first two letters are Cyrillic
        (("Иванов", "Мария"), ("Ivanov", "Mariia"), Likeness.EXACT),
        (("Παππάς", "Νίκος"), ("Pappas", "Nikos"), Likeness.EXACT),
        (("Müller", "Jürgen"), ("Mueller", "Juergen"), Likeness.SPELLING),
        (("Ouahid", "Djamel"), ("Wahid", "Jamel"), Likeness.SPELLING),
        (("Benali", "Mohammed"), ("Ben Ali", "Mohamed"), Likeness.SPELLING),
        (("Иванов", "Юлия"), ("Ivanov", "Yulia"), Likeness.SPELLING),
        (("Martin", "Thomas"), ("Thomas", "Martin"), Likeness.SWAPPED_NAMES),
        (("Martin Jean", "Luc"), ("Martin", "Jean Luc"), Likeness.SWAPPED_NAMES),
        (("Dupont", "Jean-Pierre"), ("Dupont", "Jean"), Likeness.COMPOUND_NAME),
        (("Martin", "Anne"), ("Martin-Durand", "Anne-Lise"), Likeness.COMPOUND_NAME),
        (("Goff", "Zoé"), ("Le Goff", "Zoé"), Likeness.COMPOUND_NAME),
        (("Martin", "Zoé", DAY, "Durand"), ("Durand", "Zoé"), Likeness.USED_NAME),
        (("Durand", "Zoé"), ("Durant", "Zoé"), Likeness.TYPING_ERROR),
        (("Durand", "Paul"), ("Duradn", "Paul"), Likeness.TYPING_ERROR),
        (("Durand", "Paul"), ("Durand", "Pal"), Likeness.TYPING_ERROR),
        (("Benali", "Mohamed"), ("Benali", "Muhammad"), Likeness.TYPING_ERROR),
        (("Durand", "Zoé"), ("Durand", "Zoé", date(1980, 4, 3)), Likeness.SWAPPED_DAY_AND_MONTH),
        (("Durand", "Zoé"), ("Zoé", "Durand", date(1980, 4, 3)), Likeness.SWAPPED_DAY_AND_MONTH),
        (("Durand", "Zoé"), ("Durand", "Zoé", date(1980, 3, 14)), Likeness.WRONG_DIGIT),
        (("Durand", "Zoé"), ("Durand", "Zoé", date(1990, 3, 4)), Likeness.WRONG_DIGIT),
        (("Durand", "Zoé"), ("Durand", "Zoé", date(1908, 3, 4)), Likeness.WRONG_DIGIT),
        (("Durand", "Zoé"), ("Durand", "Paul"), None),
        (("Durand", "Zoé"), ("Petit", "Zoé"), None),
        (("Durand", "Paul"), ("Durant", "Saul"), None),  # two differences
        (("Durand", "Zoé"), ("Durant", "Zoé", date(1980, 4, 3)), None),
        (("Durand", "Zoé"), ("Durand", "Zoé", date(1992, 3, 4)), None),
        (("Durand", "Zoé"), ("Durand", "Zoé", date(1980, 5, 16)), None),
        (("De Souza", "Ana"), ("De Castro", "Ana"), None),  # a particle says nothing
        (("Wu", "Li"), ("Wu", "Lu"), None),
    ],
)
def test_how_two_are_alike(one: Who, other: Who, likeness: Likeness | None) -> None:
    assert compare(profile(*one), profile(*other)) is likeness
    assert compare(profile(*other), profile(*one)) is likeness


NAMES = st.lists(
    st.sampled_from(
        ["jean", "benali", "mohammed", "de", "la", "müller", "d'arc", "durand", "xu", "saint", "łukasz", "иван"]
    )
    | st.text("abcehkosuyéœ", min_size=1, max_size=7),
    min_size=1,
    max_size=3,
).map("-".join)
DAYS = st.dates(date(1920, 1, 1), date(2007, 12, 31))


@st.composite
def changed(draw: st.DrawFn, name: str) -> str:
    """`name` with something done to it that people do."""
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from("aeht- "))
    ways: list[Callable[[], str]] = [
        lambda: name,
        lambda: name[:at] + letter + name[at:],
        lambda: name[:at] + name[at + 1 :],
        lambda: name[:at] + letter + name[at + 1 :],
        lambda: name[:at] + name[at + 1 : at + 2] + name[at] + name[at + 2 :],
        lambda: "-".join(reversed(name.split("-"))),
        lambda: name.partition("-")[2] or name,
        lambda: name.replace("-", ""),
        lambda: f"{name}-durand",
    ]
    return draw(st.sampled_from(ways))() or name


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Profile, Profile]:
    """A person, and the same or somebody like them."""
    surname, first_name, day = draw(NAMES), draw(NAMES), draw(DAYS)
    other_surname, other_first = draw(changed(surname)), draw(changed(first_name))
    if draw(st.booleans()):
        other_surname, other_first = other_first, other_surname
    days = st.just(day) | DAYS.map(lambda d: day.replace(year=d.year) if day.day < 29 else day)
    swapped = day.replace(day=day.month, month=day.day) if day.day <= 12 else day
    used = st.none() | st.just(surname)
    return profile(surname, first_name, day), profile(
        other_surname, other_first, draw(days | st.just(swapped)), draw(used)
    )


@given(pairs())
def test_who_is_near_meets_at_a_key_and_nearness_has_no_direction(pair: tuple[Profile, Profile]) -> None:
    one, other = pair
    likeness = compare(one, other)
    assert compare(other, one) is likeness
    assert (likeness is Likeness.EXACT) == (one.key == other.key)
    if likeness:
        assert set(near_keys(one)) & set(near_keys(other)), likeness


@given(NAMES, NAMES, DAYS, st.data())
def test_one_typing_error_is_always_near(surname: str, first_name: str, day: date, data: st.DataObject) -> None:
    assume(len(surname) > 4)
    at = data.draw(st.integers(0, len(surname) - 1))
    assume(surname[at].isalpha() and surname[at : at + 2].isascii())
    mistyped = surname[:at] + "m" + surname[at + 1 :]
    assert compare(profile(surname, first_name, day), profile(mistyped, first_name, day))


@given(st.text(max_size=100), st.text(max_size=100), DAYS)
def test_whatever_the_names_the_keys_are_few(surname: str, first_name: str, day: date) -> None:
    assert 1 <= len(set(near_keys(profile(surname, first_name, day)))) <= 14


def test_an_identity_shows_nothing() -> None:
    assert "Durand" not in repr(Identity(surname="Durand", first_name="Zoé", born_on=DAY))
