"""A letter that is too large for one mail becomes several, each below the published size. Pure."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO

from mailflow.mail import entities
from mailflow.mail.letter import Attachment

ENVELOPE_BYTES = 65_536
"""What is kept free in each mail for header fields, signature and certificates, recipients, and the part's number."""
FILE_BYTES = 1_024
"""The most that the header fields of an attached file take."""
_ZIP = "application/zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: the same octets each time."""


def split(
    text: bytes, attachments: Sequence[Attachment], enclosures: Sequence[Attachment], *, mail_bytes_max: int
) -> list[list[bytes]]:
    """The attached entities of each mail, in order; `text`, an entity too, goes in the first and is only counted.

    When not everything finds room in one mail, the attachments fill the first mails and the enclosures the others.
    A file that is too large by itself goes zipped; one that is too large even so goes in a mail of its own, because
    an answer that some server may refuse is better than none.
    """
    room = room_in(mail_bytes_max)
    first, others = list(_entities(attachments, room)), list(_entities(enclosures, room))
    if len(text) + sum(map(len, first)) + sum(map(len, others)) <= room:
        return [first + others]
    return [*_packed(first, room, room - len(text)), *(_packed(others, room, room) if others else [])]


def room_in(mail_bytes_max: int) -> int:
    """Octets of attached entities that one mail takes: outside, base64 makes 78 octets of 57."""
    return (mail_bytes_max - ENVELOPE_BYTES) * 57 // 78


def mails_for(sizes: Sequence[int], mail_bytes_max: int) -> list[range]:
    """Which files, of these sizes in octets, go together in mails of their own: their positions, in order."""
    room = room_in(mail_bytes_max)
    mails: list[range] = []
    left = 0
    for position, size in enumerate(sizes):
        taken = size * 78 // 57 + FILE_BYTES
        if not mails or taken > left:
            mails.append(range(position, position))
            left = room
        mails[-1] = range(mails[-1].start, position + 1)
        left -= taken
    return mails


def distinct(files: Iterable[Attachment]) -> list[Attachment]:
    """Each file once; those of one name with other octets get `-2`, `-3`, so that none is saved over another."""
    contents: dict[str, list[bytes]] = {}
    kept = []
    for file in files:
        known = contents.setdefault(file.name, [])
        if file.content in known:
            continue
        known.append(file.content)
        stem, _, extension = file.name.rpartition(".")
        name = file.name if len(known) == 1 else f"{stem}-{len(known)}.{extension}"
        kept.append(Attachment(name=name, content=file.content, content_type=file.content_type))
    return kept


def _entities(files: Sequence[Attachment], room: int) -> Iterator[bytes]:
    for file in files:
        entity = entities.file_part(file.name, file.content, file.content_type)
        yield entity if len(entity) <= room else entities.file_part(f"{file.name}.zip", _zipped(file), _ZIP)


def _zipped(file: Attachment) -> bytes:
    octets = BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(file.name, _EPOCH), file.content, zipfile.ZIP_DEFLATED)
    return octets.getvalue()


def _packed(files: Sequence[bytes], room: int, left: int) -> list[list[bytes]]:
    """In their order, each mail as full as it may be; `left` is the room in the first."""
    mails: list[list[bytes]] = [[]]
    for file in files:
        if len(file) > left and (mails[-1] or left < room):
            mails.append([])
            left = room
        mails[-1].append(file)
        left -= len(file)
    return mails
