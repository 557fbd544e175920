"""Poison first: mails that crash a parser do not stop those behind them (expectations, 1)."""

import base64
from datetime import date, datetime

from mailflow.demo.applications import Person
from mailflow.demo.installation import SERVICE
from mailflow.jobs.daily import JOBS
from tests.acceptance.world import World
from tests.support.letters import Letter, Writer, verdict
from tests.support.mail_world import INBOX, SERVICE_USER

GOOD = 20
BORN = date(1990, 7, 15)
NESTING = 400
ALONE = 3


def poison(writer: Writer, world: World) -> dict[str, tuple[bytes, str]]:
    """Mails by what is wrong with them, with the reason that the operator finds."""
    lille = world.software[0]

    def signed() -> bytes:
        return writer.letter("poison", lille, writer.file(lille, person(99))).raw

    head = f"To: {SERVICE}\r\nSubject: Demandes\r\nMIME-Version: 1.0\r\n".encode()
    sender = f"From: {lille.address}\r\n".encode()
    strange = b"From: =?klingon-9?B?//4A?= <" + lille.address.encode() + b">\r\n"
    part = (
        b"Content-Type: text/plain; charset=klingon-9\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=FF=00\r\n"
    )
    nested = b"".join(
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n)
        for n in range(NESTING)
    )
    cms = b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return {
        "unknown charset": (strange + head + part, "CTRL_SIG_0001"),
        "no From": (signed().replace(sender, b"", 1), "CTRL_MEL_0003"),
        "deep nesting": (sender + head + nested + part, "CTRL_MEL_0005"),
        "bad base64": (sender + head + cms + b"MII=%%%\xff" + base64.b64encode(b"0\x80" * 99), "CTRL_MEL_0023"),
        "empty From": (signed().replace(sender, b"From: \r\n", 1), "CTRL_MEL_0003"),
    }


def person(number: int) -> Person:
    return Person(surname=f"Essai{chr(97 + number // 26)}{chr(97 + number % 26)}", first_name="Ève", born_on=BORN)


def test_twenty_good_mails_behind_five_that_crash_parsers_are_all_answered(world: World, at: datetime) -> None:
    writer = Writer(world.installation, at)
    bad = poison(writer, world)
    letters = [
        Letter(what=what, software=world.software[0], message_id=what, raw=raw, files=())
        for what, (raw, _) in bad.items()
    ]
    for number in range(GOOD):
        desk = world.software[number % len(world.software)]
        letters.append(writer.letter("good", desk, writer.file(desk, person(number))))
    world.post([letter.raw for letter in letters])
    done = world.mailflow("run", "--once", "--json")
    assert done.err.count("stage=job-done") == len(JOBS), "a batch does the jobs of the day, too"
    assert done.code == 65, done.err
    counts = done.json
    assert (counts["answered"], counts["registered"], counts["sent"], counts["set_aside"]) == (GOOD, GOOD, GOOD, 5)
    world.settle()
    assert verdict(world, letters, at) == []
    rows = world.mailflow("queue", "--set-aside", "--json").json
    assert {row["intake"]: row["reason"] for row in rows} == {
        number: reason for number, (_, reason) in enumerate(bad.values(), 1)
    }
    for number, (_, reason) in enumerate(bad.values(), 1):
        assert reason in world.mailflow("show", str(number)).out


def test_mails_that_are_alone_in_the_inbox_and_cannot_be_read_are_told_and_not_taken_for_the_server(
    world: World, at: datetime
) -> None:
    """What the service once took in can still be read."""
    writer, lille = Writer(world.installation, at), world.software[0]
    letters = [writer.letter("good", lille, writer.file(lille, person(number))) for number in range(1 + ALONE)]
    first, *others = (letter.raw for letter in letters)
    world.post([first])
    assert world.mailflow("run", "--once").code == 0
    world.post(others)
    with world.dovecot.session(SERVICE_USER) as client:
        client.select(INBOX)  # which gives the files their lasting names
        uids = [int(uid) for uid in client.uid("SEARCH", "ALL")[1][0].split()]
    files = [world.dovecot.file_of(SERVICE_USER, ".", uid) for uid in uids]
    for file in files:
        file.chmod(0)
    done = world.mailflow("run", "--once", "--json")
    assert (done.code, done.err.count("stage=unreadable-in-mailbox")) == (75, ALONE), done.err
    assert "stage=unavailable" not in done.err
    for file in files:
        file.chmod(0o600)
    assert world.mailflow("run", "--once").code == 0
    world.settle()
    assert verdict(world, letters, at) == []
