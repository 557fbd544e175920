"""Mails made to be slow or large cost what their size says. Where the cost grows faster, these tests do not end."""

import tracemalloc

import pytest

from mailflow.mail.bounces import classify
from mailflow.mail.mime import MimeLimits, canonical, read
from mailflow.mail.pem import CERTIFICATE, PemError, read_der

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("robot", ["postmaster+", "bounces-", "no-reply+", "ne-pas-repondre-"])
def test_a_sender_field_full_of_robots_is_looked_through_once(robot: str) -> None:
    limits = MimeLimits(header_bytes_max=4 * MEBIBYTE, depth_max=8, parts_max=100)
    field = f"<{robot}" * (3 * MEBIBYTE // len(robot))
    entity = read(f"From: {field}\r\n\r\nBonjour\r\n".encode(), limits)
    assert classify(entity, own_addresses=(), own_message_id=lambda _: False) is None


def test_a_certificate_file_full_of_blanks_is_looked_through_once() -> None:
    with pytest.raises(PemError):
        read_der(b"-----BEGIN CERTIFICATE-----" + b" " * (4 * MEBIBYTE) + b"!", CERTIFICATE)


def test_line_ends_alone_are_made_canonical_within_a_few_times_their_size() -> None:
    octets = b"\n" * MEBIBYTE
    tracemalloc.start()
    try:
        assert canonical(octets) == b"\r\n" * MEBIBYTE
        assert tracemalloc.get_traced_memory()[1] < 6 * MEBIBYTE
    finally:
        tracemalloc.stop()
