"""Splitting a letter: everything once, in order, each mail with room for it, nothing apart that could be together."""

from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.letter import Attachment
from mailflow.mail.splitting import ENVELOPE_BYTES, distinct, split

MAIL_BYTES_MAX = ENVELOPE_BYTES + 4_000
ROOM = 4_000 * 57 // 78
SIZES = st.lists(st.integers(0, 4_000), max_size=6)
TEXT = b"x" * 500


def _files(kind: str, sizes: list[int]) -> list[Attachment]:
    return [
        Attachment(name=f"{kind}{number}.bin", content=bytes(size), content_type="application/octet-stream")
        for number, size in enumerate(sizes)
    ]


@given(attached=SIZES, enclosed=SIZES)
def test_everything_goes_once_and_in_order(attached: list[int], enclosed: list[int]) -> None:
    attachments, enclosures = _files("a", attached), _files("e", enclosed)
    mails = split(TEXT, attachments, enclosures, mail_bytes_max=MAIL_BYTES_MAX)
    names = [file.name.encode() for file in attachments + enclosures]
    sent = [entity for mail in mails for entity in mail]
    assert len(sent) == len(names)
    assert all(name in entity for name, entity in zip(names, sent, strict=True))
    first = len(attachments)
    if len(mails) > 1:
        for mail in mails:
            positions = [sent.index(entity) for entity in mail]
            assert all(p < first for p in positions) or all(p >= first for p in positions)
    loads = [sum(map(len, mail)) + (len(TEXT) if n == 0 else 0) for n, mail in enumerate(mails)]
    assert all(load <= ROOM for load in loads), "zeros shrink when zipped, so all find room"
    whole = len(TEXT) + sum(map(len, sent))
    assert (len(mails) == 1) == (whole <= ROOM)


def test_what_no_zip_makes_small_goes_alone() -> None:
    noise = Attachment(
        name="noise", content=bytes(n * n * 31 % 251 for n in range(9_000)), content_type="application/pdf"
    )
    small = _files("a", [10, 10])
    mails = split(TEXT, [small[0], noise, small[1]], [], mail_bytes_max=ENVELOPE_BYTES + 200)
    assert [len(mail) for mail in mails] == [0, 1, 1, 1]


def test_files_of_one_name_do_not_hide_each_other() -> None:
    pdf = "application/pdf"
    files = [Attachment(name="ATT1.pdf", content=octets, content_type=pdf) for octets in (b"1", b"2", b"1", b"3")]
    assert [(file.name, file.content) for file in distinct(files)] == [
        ("ATT1.pdf", b"1"),
        ("ATT1-2.pdf", b"2"),
        ("ATT1-3.pdf", b"3"),
    ]
