"""The short form of `make fuzz`: mutated mails beside OpenSSL and asn1crypto, and mutants for every parser."""

import hmac
import random
from collections.abc import Callable

import pytest

from mailflow.mail.mime import canonical
from mailflow.wire.samples import sample_files
from tests.fuzz import corpus, openssl
from tests.fuzz.differential import Tally, originals, portion
from tests.fuzz.mutations import mutant, mutant_inside, parted
from tests.fuzz.reading import openssl_accepts, read
from tests.fuzz.targets import TARGETS

MAILS = 2_000
MUTANTS = 150


@pytest.mark.parametrize("name", sorted(originals()))
def test_what_fuzzing_begins_from_is_accepted_by_us_and_by_openssl(name: str) -> None:
    reading = read(originals()[name])
    assert reading.verified is not None
    assert reading.parts is not None
    assert canonical(reading.verified.content).strip() == corpus.ENTITY.strip()
    assert openssl_accepts(reading.parts, reading.verified.content)


def test_openssl_refuses_another_content() -> None:
    reading = read(corpus.mails()["detached-rsa"])
    assert reading.parts is not None
    assert reading.parts.content == corpus.ENTITY
    assert openssl.signed_content(reading.parts.cms, corpus.ENTITY) == corpus.ENTITY
    assert openssl.signed_content(reading.parts.cms, corpus.ENTITY.replace(b"demandes", b"demandez")) is None
    assert openssl.signed_content(b"\x30\x00", corpus.ENTITY) is None


def test_no_mutated_mail_is_accepted_with_other_content_or_ends_otherwise() -> None:
    tally: Tally = portion(list(originals().values()), seed=1, count=MAILS)
    assert tally.findings == []
    assert tally.counts["mails"] == MAILS
    # They go deep enough to say something: some are accepted, and many fall at the signature itself.
    assert tally.counts["accepted"] > MAILS // 100
    assert tally.counts["refused CTRL_SIG_0022"] > MAILS // 100


def test_a_reader_that_does_not_look_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: True)
    tally = portion(list(corpus.mails().values()), seed=1, count=MAILS)
    assert "altered seed 1" in {name for name, _ in tally.findings}


def test_a_mutant_inside_leaves_the_rest_of_the_mail_as_it_was() -> None:
    mail = corpus.mails()["opaque-rsa"]
    head, body, tail = parted(mail)
    assert head + body + tail == mail
    changed = mutant_inside(mail, random.Random(3))
    assert changed.startswith(head)
    assert changed.endswith(tail)
    assert changed != mail


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_parser_ends_as_it_says_whatever_it_is_given(target: Callable[[bytes], None]) -> None:
    chance = random.Random(7)
    begin = [*corpus.mails().values(), *sample_files().values(), b"* 1 FETCH (UID 2 BODY[] {3}\r\nabc\r\n)"]
    begin += [b"", b"\x00", b"\x30\x80\x00\x00"]
    for _ in range(MUTANTS):
        target(mutant(chance.choice(begin), chance, begin))
