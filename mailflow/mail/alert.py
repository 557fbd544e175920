"""A mail to operators, complete: plain text for any mail program, neither signed nor encrypted. Pure.

Nothing in it is worth hiding, and who is woken by it at night should need no key to read it.
"""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mailflow.ops.messages import Message

SUBJECT_LENGTH_MAX = 200
LINE_LENGTH_MAX = 900
"""RFC 5322, 2.1.1, allows 998. Lines that are not broken can be searched, and copied into a terminal."""


def compose(message: Message, *, name: str, address: str, recipient: str, token: str, at: datetime) -> bytes:
    """The octets. `token` makes the Message-ID unique; `name` and `address` are the service's own."""
    mail = EmailMessage(policy=SMTP.clone(max_line_length=LINE_LENGTH_MAX))
    mail["From"] = Address(display_name=name, addr_spec=address)
    mail["To"] = Address(addr_spec=recipient)
    mail["Subject"] = _one_line(message.subject)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<alert.{token}@{address.rpartition('@')[2]}>"
    # Nobody's absence is to be answered to us (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail["Precedence"] = "bulk"
    mail.set_content(message.text.encode("utf-8", "replace").decode("utf-8"))
    return mail.as_bytes()


def _one_line(text: str) -> str:
    """What a header can hold: names of files may have anything in them."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:SUBJECT_LENGTH_MAX]
