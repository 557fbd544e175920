"""The table that is published is the one that decides."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mailflow.core.anomalies import Code
from mailflow.mail.cms import CmsError, algorithm_table
from mailflow.mail.cms.algorithms import TABLE, Algorithm, Use, allowed, era, is_allowed, rsa_bits_min

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def test_the_published_table_is_plain_data_with_every_row() -> None:
    table = algorithm_table()
    assert json.loads(json.dumps(table)) == table
    rows = table["algorithms"]
    assert isinstance(rows, list)
    assert [(row["use"], row["oid"]) for row in rows] == [(row.use.value, row.oid) for row in TABLE]


def test_no_row_stands_twice() -> None:
    assert len({(row.use, row.oid) for row in TABLE}) == len(TABLE)
    assert len({(row.use, row.name) for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", [row for row in TABLE if row.until], ids=lambda row: f"{row.use}-{row.name}")
def test_a_row_holds_through_its_last_day(row: Algorithm) -> None:
    assert row.until is not None
    midnight = datetime(row.until.year, row.until.month, row.until.day, tzinfo=UTC) + timedelta(days=1)
    assert is_allowed(row.use, row.oid, midnight - timedelta(seconds=1))
    assert not is_allowed(row.use, row.oid, midnight)


def test_the_dates_are_those_that_were_decided() -> None:
    ends = {(row.use, row.name): row.until for row in TABLE if row.until}
    v15 = {name: day for (use, name), day in ends.items() if use is Use.SIGNATURE}
    assert set(v15.values()) == {date(2030, 12, 31)}
    assert all(name.startswith("rsa-pkcs1v15") for name in v15)
    others = {name: day for (use, name), day in ends.items() if use is not Use.SIGNATURE}
    assert others == dict.fromkeys(("rsa-pkcs1v15", "aes128-cbc", "aes192-cbc", "aes256-cbc"), date(2028, 12, 31))


def test_small_keys_end_with_the_year_2030_and_the_published_table_says_so() -> None:
    last = datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert [rsa_bits_min(at) for at in (last, last + timedelta(seconds=1), FAR)] == [2048, 3072, 3072]
    keys = algorithm_table()["keys"]
    assert isinstance(keys, dict)
    assert keys["rsa"]["sizes"] == [{"bitsMin": 2048, "until": "2030-12-31"}, {"bitsMin": 3072, "until": None}]


def test_an_era_is_a_time_in_which_the_same_is_allowed() -> None:
    ends = {row.until for row in TABLE if row.until} | {date(2030, 12, 31)}
    first = datetime(2026, 1, 1, tzinfo=UTC)
    days = [first + timedelta(days=n) for n in range(365 * 8)]
    for before, after in pairwise(days):
        assert (era(before) != era(after)) == (before.date() in ends)
    assert era(first) == 0


def test_sha1_is_allowed_for_oaep_and_derivation_only() -> None:
    assert {row.use for row in TABLE if "sha1" in row.name} == {Use.OAEP_DIGEST, Use.KEY_AGREEMENT}
    assert not is_allowed(Use.DIGEST, "1.3.14.3.2.26", FAR)


def test_what_is_off_the_table_is_refused_with_its_oid() -> None:
    with pytest.raises(CmsError) as caught:
        allowed(Use.CONTENT_ENCRYPTION, "1.2.840.113549.3.7", FAR)
    assert (caught.value.code, caught.value.detail) == (Code.ALGORITHM_REFUSED, "1.2.840.113549.3.7")


def test_what_is_published_is_the_table() -> None:
    published = json.loads((Path(__file__).parents[2] / "schemas/algorithms.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(algorithm_table()))
