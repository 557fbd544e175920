"""The oracle of what desks get: which technical receipts may go before an answer that is late."""

from collections import Counter

import pytest

from tests.support.letters import Found, without_receipts


def came(*files: str) -> list[Found]:
    """To one request mail."""
    return [
        Found(message_id=f"<{number}@x>", digest="", in_reply_to="<m@x>", files={name: b""})
        for number, name in enumerate(files)
    ]


ANSWER, RECEIPT, ANOTHER = "RET.xml", "accuse-technique-1.xml", "accuse-technique-2.xml"


@pytest.mark.parametrize(
    ("files", "sent", "left"),
    [
        ([RECEIPT, ANSWER], 1, [ANSWER]),
        ([RECEIPT, ANSWER, ANOTHER, ANSWER], 2, [ANSWER, ANSWER]),
        ([ANSWER, RECEIPT], 1, [ANSWER, RECEIPT]),
        ([RECEIPT, RECEIPT, ANSWER], 1, [RECEIPT, ANSWER]),
        ([RECEIPT], 0, [RECEIPT]),
        ([ANSWER, ANSWER], 1, [ANSWER, ANSWER]),
    ],
)
def test_one_receipt_for_each_mail_may_go_before_its_answer(files: list[str], sent: int, left: list[str]) -> None:
    found = without_receipts(came(*files), Counter({"<m@x>": sent}))
    assert [name for one in found for name in one.files] == left
