"""How much is taken: of one mail, and of one sender."""

from pydantic import Field

from mailflow.settings.section import Section
from mailflow.settings.values import Count


class Limits(Section):
    """What is published to vendors as the largest that we take."""

    mail_bytes_max: Count = 26_214_400
    """Size of a request mail, which is not read when it is larger, and of one request file, unpacked."""
    header_bytes_max: Count = 65_536
    """Size of one block of header fields."""
    depth_max: Count = 8
    """Depth of nested MIME parts."""
    parts_max: Count = 100
    """Number of MIME parts in a mail."""
    requests_max: Count = 1_000
    """Number of requests in a mail."""
    request_bytes_max: Count = 262_144
    """Size of one request."""
    zip_ratio_max: Count = 200
    """How much larger than itself a zip file may unpack to."""
    zip_bytes_max: Count = 67_108_864
    """Size of all that the zip files of a mail unpack to."""
    answer_bytes_max: int = Field(default=8_388_608, strict=True, ge=262_144)
    """Size of one mail that we send; an answer that would be larger comes in several."""


class Rates(Section):
    """How much a sender may send before its mails wait for their turn, unless `mailflow sender amend` says otherwise.

    Nothing is refused for it. What is beyond a budget of an hour is answered in time all the same; one of a day holds
    whatever becomes of the deadline.
    """

    mails_an_hour: Count = 20_000
    """Mails within an hour."""
    bytes_an_hour: Count = 4_294_967_296
    """Size of the mails of an hour."""
    requests_an_hour: Count = 50_000
    """Requests and questions within an hour."""
    mails_a_day: Count = 100_000
    """Mails within a day."""
    bytes_a_day: Count = 21_474_836_480
    """Size of the mails of a day."""
    requests_a_day: Count = 250_000
    """Requests and questions within a day."""
