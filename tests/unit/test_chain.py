"""The chain over a journal, without any database: whatever is changed is found, and named."""

from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.chain import NO_LINK, Head, Link, chained, digest_of, link_after, read_head
from mailflow.jobs.damage import Damage, Examination, Finding

COLUMNS = ("at", "kind", "intake_id", "number", "sender", "desk", "detail")
Entry = dict[str, str | None]
entries = st.fixed_dictionaries(dict.fromkeys(COLUMNS, st.none() | st.text(max_size=6)))
FAR = 10**9
DAY = date(2026, 11, 25)


@dataclass(slots=True)
class Journal:
    """Entries and links by their ids, as a database would keep them."""

    found: dict[int, bytes]
    links: dict[int, Link]
    end: int

    def findings(self, *heads: Head) -> list[Finding]:
        examination = Examination(self.end, heads)
        seen = [
            finding
            for id_ in sorted({*self.found, *self.links})
            for finding in examination.see(id_, self.found.get(id_), self.links.get(id_))
        ]
        return [*seen, *examination.ended()]


@st.composite
def journals(draw: st.DrawFn) -> Journal:
    """Some entries, with a gap here and there, sealed."""
    ids = sorted(draw(st.sets(st.integers(1, 30), min_size=1)))
    found = {id_: digest_of(draw(entries) | {"detail": f"of {id_}"}) for id_ in ids}
    links = chained(NO_LINK, found.items(), FAR)
    return Journal(found, {link.id: link for link in links}, links[-1].id)


def head_at(link: Link) -> Head:
    return Head(
        number=1,
        day=DAY,
        environment="production",
        position=link.id,
        entries=link.id,
        link=link.link.hex(),
        previous="00" * 32,
    )


def head_of(journal: Journal) -> Head:
    return head_at(journal.links[journal.end])


@given(journals())
def test_what_nobody_touched_is_in_order(journal: Journal) -> None:
    assert journal.findings(head_of(journal)) == []


@given(entries, st.sampled_from(COLUMNS), st.none() | st.text(max_size=6))
def test_a_digest_changes_with_every_column(entry: Entry, column: str, value: str | None) -> None:
    assert (digest_of(entry) == digest_of(entry | {column: value})) == (entry[column] == value)


@given(entries, entries)
def test_no_two_entries_have_one_digest(one: Entry, other: Entry) -> None:
    assert (digest_of(one) == digest_of(other)) == (one == other)


@given(st.data(), journals())
def test_one_damage_is_found_and_named(data: st.DataObject, journal: Journal) -> None:
    id_ = data.draw(st.sampled_from(sorted(journal.found)))
    head, link, other = head_of(journal), journal.links[id_], digest_of({"kind": "forged"})
    what = data.draw(st.sampled_from(["changed", "missing", "not sealed", "link changed", "digest changed", "both"]))
    match what:
        case "changed":
            journal.found[id_] = other
        case "missing":
            del journal.found[id_]
        case "not sealed" if id_ < journal.end:
            del journal.links[id_]
        case "link changed":
            journal.links[id_] = Link(id_, link.digest, other)
        case "digest changed":
            journal.links[id_] = Link(id_, other, link.link)
        case "both" if id_ < journal.end:
            del journal.found[id_], journal.links[id_]
        case _:
            return
    findings = journal.findings(head)
    assert findings
    assert {(finding.first, finding.last) for finding in findings} == {(id_, id_)} or what == "both"
    assert all(finding.first <= id_ <= finding.last for finding in findings)
    named = {"digest changed": {"changed", "link changed"}, "both": {"missing"}}.get(what, {what})
    assert {finding.what.value for finding in findings} == named


@given(st.data(), journals())
def test_who_makes_the_chain_anew_meets_the_head(data: st.DataObject, journal: Journal) -> None:
    head = head_of(journal)
    id_ = data.draw(st.sampled_from(sorted(journal.found)))
    journal.found[id_] = digest_of({"kind": "forged"})
    journal.links = {link.id: link for link in chained(NO_LINK, sorted(journal.found.items()), FAR)}
    assert journal.findings() == []
    assert journal.findings(head) == [Finding(Damage.REWRITTEN, 1, head.position)]


def test_a_gap_that_swallows_the_place_of_a_head_is_found() -> None:
    found = {id_: digest_of({"kind": str(id_)}) for id_ in (1, 2, 3, 4)}
    head = head_at(chained(NO_LINK, found.items(), FAR)[1])
    del found[2], found[3]
    anew = chained(NO_LINK, found.items(), FAR)
    journal = Journal(found, {link.id: link for link in anew}, 4)
    assert journal.findings(head) == [Finding(Damage.REWRITTEN, 1, 2)]


def test_a_gap_ends_the_chain_until_nobody_can_fill_it() -> None:
    found = [(1, b"a" * 32), (2, b"b" * 32), (5, b"e" * 32)]
    links = chained(NO_LINK, found, settled=3)
    assert [(link.id, link.digest) for link in links] == found[:2]
    rest = chained(links[-1], found[2:], settled=4)
    assert [(link.id, link.digest) for link in rest] == [(4, None), found[2]]
    assert rest[0].link == link_after(links[-1].link, 3, 4, None)


@given(st.integers(0, 30), st.integers(0, 3))
def test_what_is_put_into_a_gap_is_found(before: int, inside: int) -> None:
    found = {id_: digest_of({"kind": str(id_)}) for id_ in (*range(1, before + 1), before + 5)}
    links = {link.id: link for link in chained(NO_LINK, found.items(), FAR)}
    found[before + 1 + inside] = digest_of({"kind": "forged"})
    journal = Journal(found, links, before + 5)
    assert journal.findings() == [Finding(Damage.INSERTED, before + 1 + inside, before + 1 + inside)]


HEAD = Head(number=3, day=DAY, environment="school", position=17, entries=16, link="ab" * 32, previous="cd" * 32)


def test_a_head_is_read_as_it_was_written() -> None:
    assert read_head(HEAD.written()) == HEAD


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        HEAD.written() + b" ",
        HEAD.written().replace(b"17", b"17.0"),
        HEAD.written().replace(b":3,", b":true,"),
        HEAD.written().replace(b"abab", b"zzzz"),
        HEAD.written().replace(b"abab", b""),
        HEAD.written().replace(b'"school"', b'"school","more":1'),
        HEAD.written().replace(b"2026-11-25", b"20261125"),
    ],
)
def test_what_is_no_head_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_head(document)
