"""The vault: sealed values open with the right key in the right place, tokens tell nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.errors import Misconfigured
from mailflow.register.vault import KEY_BYTES, SealBroken, Vault

VAULT = Vault({"old": b"o" * 32, "new": b"n" * 32}, first="new", lookup_key=b"l" * 32)


@given(st.binary(), st.text())
def test_what_is_sealed_opens_in_its_context(plaintext: bytes, context: str) -> None:
    key = VAULT.new_key()
    assert VAULT.open(key, VAULT.seal(key, plaintext, context), context) == plaintext


@given(st.binary(max_size=60))
def test_any_other_octets_do_not_open(sealed: bytes) -> None:
    key = VAULT.new_key()
    with pytest.raises(SealBroken):
        VAULT.open(key, sealed, "here")


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_an_altered_value_does_not_open(place: int, bit: int) -> None:
    key = VAULT.new_key()
    sealed = bytearray(VAULT.seal(key, b"plaintext", "here"))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(SealBroken):
        VAULT.open(key, bytes(sealed), "here")


def test_a_value_does_not_open_elsewhere_or_under_another_key() -> None:
    key = VAULT.new_key()
    other = VAULT.new_key()
    sealed = VAULT.seal(key, b"plaintext", "here:1")
    for opener, context in ((key, "here:2"), (key, ""), (other, "here:1")):
        with pytest.raises(SealBroken):
            VAULT.open(opener, sealed, context)


def test_sealing_twice_gives_unlike_octets() -> None:
    key = VAULT.new_key()
    assert VAULT.seal(key, b"same", "here") != VAULT.seal(key, b"same", "here")


def test_a_wrapped_key_opens_what_it_sealed() -> None:
    key = VAULT.new_key()
    sealed = VAULT.seal(key, b"plaintext", "here")
    for master in ("old", "new"):
        assert VAULT.open(VAULT.unwrap(VAULT.wrap(key, master)), sealed, "here") == b"plaintext"


def test_a_wrapped_key_is_bound_to_its_id_and_its_master() -> None:
    kept = VAULT.wrap(VAULT.new_key(), "new")
    for altered in (replace(kept, id="another"), replace(kept, master="old"), replace(kept, wrapped=b"")):
        with pytest.raises(SealBroken):
            VAULT.unwrap(altered)
    with pytest.raises(Misconfigured, match="lost"):
        VAULT.unwrap(replace(kept, master="lost"))


def test_a_master_key_that_was_not_given_is_looked_for_again() -> None:
    files = {"a": b"a" * KEY_BYTES}
    vault = Vault(files, first="a", lookup_key=b"l" * KEY_BYTES, read_again=lambda: files)
    key = vault.new_key()
    with pytest.raises(Misconfigured, match="'b'"):
        vault.wrap(key, "b")
    files["b"] = b"b" * KEY_BYTES
    assert vault.unwrap(vault.wrap(key, "b")).octets == key.octets
    assert not Vault.closed().has("a")


def test_tokens_depend_on_kind_value_and_key() -> None:
    other = Vault({"new": b"n" * 32}, first="new", lookup_key=b"x" * 32)
    tokens = [VAULT.token("a", "v"), VAULT.token("b", "v"), VAULT.token("a", "w"), other.token("a", "v")]
    assert len(set(tokens)) == 4
    assert VAULT.token("a", "v") == tokens[0]
    assert all(len(token) == 64 for token in tokens)


@pytest.mark.parametrize(
    ("masters", "first", "lookup"),
    [
        ({}, "a", b"l" * KEY_BYTES),
        ({"a": b"m" * KEY_BYTES}, "b", b"l" * KEY_BYTES),
        ({"a": b"m" * KEY_BYTES, "b": b"short"}, "a", b"l" * KEY_BYTES),
        ({"a": b"m" * KEY_BYTES}, "a", b"l" * (KEY_BYTES - 1)),
    ],
)
def test_weak_or_missing_keys_are_a_configuration_fault(masters: dict[str, bytes], first: str, lookup: bytes) -> None:
    with pytest.raises(Misconfigured):
        Vault(masters, first=first, lookup_key=lookup)


def test_keys_do_not_show(capsys: pytest.CaptureFixture[str]) -> None:
    key = VAULT.new_key()
    assert "ooo" not in repr(VAULT)
    assert "lll" not in repr(VAULT)
    assert "object at" in repr(key.cipher)
    assert "octets" not in repr(key)
