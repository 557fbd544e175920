"""The first look at a mail, which tells whose it says it is."""

import pytest

from mailflow.mail.mime import Glance, glance


@pytest.mark.parametrize(
    ("header", "message_id", "from_address"),
    [
        (b"Message-ID: <1@x.test>\r\nFrom: Mairie <Ville@X.test>\r\n\r\n", "<1@x.test>", "ville@x.test"),
        (b"From: ville@x.test\nMessage-ID: <1@x.test>\n\n", "<1@x.test>", "ville@x.test"),
        (b"From: a@x.test\r\nFrom: b@x.test\r\nMessage-ID: <1@x.test>\r\n\r\n", "<1@x.test>", ""),
        (b"From: a@x.test, b@x.test\r\n\r\n", "", ""),
        (b"Message-ID: <1@x.test>\r\nMessage-ID: <2@x.test>\r\nFrom: a@x.test\r\n\r\n", "", "a@x.test"),
        (b"no header\r\n\r\nFrom: a@x.test\r\n", "", ""),
        (b"", "", ""),
    ],
)
def test_the_first_look_tells_what_the_header_says_once(header: bytes, message_id: str, from_address: str) -> None:
    assert glance(header) == Glance(message_id=message_id, from_address=from_address)
