"""What goes into SMTP commands is exactly what was meant, or the mail is refused before anything is sent."""

import re

import pytest
from aiosmtplib.email import parse_address
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.ports import Outgoing
from mailflow.mail.smtp import fault_of, is_addr_spec, xtext

SPECIALS = "()<>[]:;@\\,.\"' \t\r\n\x00\x7f+=%é"


def an_outgoing(
    *,
    recipient: str = "ann@example.test",
    audit: str | None = "audit@example.test",
    envelope_from: str = "back+7@example.test",
    envelope_id: str = "7",
    raw: bytes = b"A: b\r\n\r\nc\r\n",
) -> Outgoing:
    return Outgoing(envelope_from=envelope_from, recipient=recipient, audit=audit, envelope_id=envelope_id, raw=raw)


@given(st.from_regex(r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~.-]{1,20}@[0-9A-Za-z.-]{1,20}", fullmatch=True))
def test_an_address_that_is_accepted_is_what_the_library_sends(address: str) -> None:
    if is_addr_spec(address):
        assert parse_address(address) == address


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from(SPECIALS)), max_size=40))
def test_no_accepted_address_can_end_a_command_or_add_to_it(text: str) -> None:
    for address in (text, f"{text}@example.test", f"ann@{text}"):
        if is_addr_spec(address):
            assert address.isascii()
            assert address.isprintable()
            assert not set(address) & set('<>"\\,;:() ')
            assert address.count("@") == 1


@pytest.mark.parametrize(
    "address", ["ann@example.test", "o'hara+x-1=y@a-b.example", "back+812@localhost", "A.B_c@EXAMPLE.org"]
)
def test_usual_addresses_are_accepted(address: str) -> None:
    assert is_addr_spec(address)
    assert not fault_of(an_outgoing(recipient=address))


@pytest.mark.parametrize(
    "address", ["", "ann", "@example.test", "ann@", "a b@example.test", "a..b@example.test", '"a"@example.test']
)
def test_other_addresses_are_a_fault_wherever_they_stand(address: str) -> None:
    assert fault_of(an_outgoing(recipient=address))
    if address:  # empty they are the null sender, and no audit mailbox
        assert fault_of(an_outgoing(envelope_from=address))
        assert fault_of(an_outgoing(audit=address))


def test_the_null_sender_and_no_audit_mailbox_are_no_fault() -> None:
    assert not fault_of(an_outgoing(envelope_from="", audit=None))


@given(st.binary(max_size=60))
def test_only_octets_that_survive_the_library_unchanged_are_sent(octets: bytes) -> None:
    mended = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    mended = mended if mended.endswith(b"\r\n") else mended + b"\r\n"
    assert bool(fault_of(an_outgoing(raw=octets))) == (octets != mended)


def test_an_envelope_id_is_measured_as_it_will_be_encoded() -> None:
    assert not fault_of(an_outgoing(envelope_id="x" * 100))
    assert fault_of(an_outgoing(envelope_id="x" * 101))
    assert fault_of(an_outgoing(envelope_id="é" * 34))


@given(st.text())
def test_xtext_is_printable_and_can_be_read_back(text: str) -> None:
    encoded = xtext(text)
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    octets = re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), encoded).encode("latin-1")
    assert octets == text.encode("utf-8", "backslashreplace")
