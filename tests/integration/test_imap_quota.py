"""How full a mailbox is: asked of a server that counts, and of one that does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.imap import ImapMailbox
from mailflow.mail.imap_syntax import Quota, quotas
from tests.servers.cyrus import Cyrus
from tests.support.mailbox_places import ServerPlace, a_mail, a_name, closing

LIMIT_OCTETS = 1_000_000 * 1024
"""`autocreate_quota` of the test server, in units of 1024 octets."""


async def test_a_server_with_quotas_tells_use_and_limit(cyrus: Cyrus) -> None:
    place = ServerPlace(cyrus, a_name("In"))
    place.put(a_mail("large", b"x" * 200_000))
    mailbox = place.mailbox()
    assert isinstance(mailbox, ImapMailbox)
    async with closing(mailbox):
        (storage,) = [one for one in await mailbox.quotas() if one.resource == "storage"]
    assert storage.limit == LIMIT_OCTETS
    assert 150_000 < storage.used < LIMIT_OCTETS


async def test_a_server_without_quotas_tells_nothing(folder: ServerPlace) -> None:
    mailbox = folder.mailbox()
    assert isinstance(mailbox, ImapMailbox)
    async with closing(mailbox):
        assert await mailbox.quotas() == ()
        assert (await mailbox.list()).uids == (), "and goes on"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'"" (STORAGE 10 512)', [Quota(resource="storage", used=10240, limit=524288)]),
        (
            b'"User quota" (STORAGE 1 2 MESSAGE 3 4)',
            [Quota(resource="storage", used=1024, limit=2048), Quota(resource="message", used=3, limit=4)],
        ),
        (b'"" ()', []),
        (b'"(x" (message 3 4)', [Quota(resource="message", used=3, limit=4)]),
        (b"", []),
        (b'"" (STORAGE ten 512)', []),
        (b'"" (STORAGE 10)', []),
    ],
)
def test_quota_responses(line: bytes, found: list[Quota]) -> None:
    assert list(quotas([line])) == found


@given(st.lists(st.binary(max_size=60)))
def test_no_response_breaks_the_reading(lines: list[bytes]) -> None:
    assert all(one.used >= 0 and one.resource.islower() for one in quotas(lines))
