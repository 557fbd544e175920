"""Alerts as mails: whatever an operator's files are called, it is one plain mail that says so."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.alerting import Occasion
from mailflow.mail import alert
from mailflow.ops.alarms import Alarm, Found
from mailflow.ops.messages import LISTED_MAX, Told, message

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


def a_mail(*told: Told) -> bytes:
    return alert.compose(
        message(told, environment="ecole", host="host-a", at=AT),
        name="Enregistrement (école)",
        address="demandes@service.example",
        recipient="anne@operators.example",
        token="t0",
        at=AT,
    )


def of_file(name: str) -> Told:
    found = Found(alarm=Alarm.LIST_ENDS, about={"name": name}, value="5 hours")
    return Told(occasion=Occasion.RAISED, found=found, since=AT, alarm_id=7)


@given(st.text(max_size=2000))
def test_any_name_of_a_file_makes_a_mail_with_the_same_headers(name: str) -> None:
    raw = a_mail(of_file(name))
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    mail = message_from_bytes(raw, policy=default)
    assert set(mail.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Precedence"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    }
    assert mail["Subject"].startswith("[mailflow ecole] warning: The revocation list")
    assert mail["To"] == "anne@operators.example"
    assert "See why its source fails; or fetch the authority's new list into trust.crls_dir." in mail.get_content()


def test_so_much_at_once_is_told_in_part() -> None:
    many = [of_file(f"{number}.crl") for number in range(LISTED_MAX + 3)]
    said = message(many, environment="ecole", host="host-a", at=AT)
    assert said.text.count("  alarm  ") == LISTED_MAX
    assert "And 3 more" in said.text
    assert said.document["left_out"] == 3
