"""What goes wrong in an operator's life, with mails, answers and desks. See `tests.acceptance.operator`."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person
from mailflow.demo.pki import DAY
from mailflow.demo.story import LEFEBVRE, MARTIN, NGUYEN
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.model import Verdict
from mailflow.ops.alarms import Alarm
from tests.acceptance.operator import Operator, trouble
from tests.support.letters import Fate
from tests.support.mail_world import SERVICE_USER

BROKEN = 25
BORN = date(1990, 7, 15)


# Answers that do not arrive


@trouble("an answer bounced", alarm=Alarm.ANSWERS_BOUNCE, shows=r"answer .* held .* bounced")
def _(op: Operator) -> Iterator[None]:
    with op.world.dovecot.without_user(op.lille.sender):
        (letter,) = op.comes(op.letter(MARTIN))
        assert op.batch()["sent"] == 1
        (report,) = op.world.dovecot.messages(SERVICE_USER)
        assert b"multipart/report" in report
        assert op.batch()["set_aside"] == 1
        yield
    op.does("release --reason bounced")
    op.batch()
    assert op.answers(letter) == 1


@trouble(
    "a desk's certificate for answers has expired",
    alarm=Alarm.HELD,
    shows=r"answer .* held .* no valid encryption certificate",
)
def _(op: Operator) -> Iterator[None]:
    """Never sent in clear."""
    region = op.world.software[1]
    identity = op.world.pki.issue("closing", kind="p256")
    closing = replace(region, sender="closing", address="closing@desks.example", identity=identity)
    sign, _ = identity.write(op.folder)
    encrypt, _ = op.world.pki.issue("past", kind="p256", starts=-400 * DAY, ends=-20 * DAY).write(op.folder)
    addresses = f"--address {closing.address} --answer-to {region.address}"
    op.does(f"sender add closing --name Closing {addresses} --sign {sign} --encrypt {encrypt}")
    op.does(f"mandate add closing {closing.desk} {closing.territory}")
    (letter,) = op.comes(op.letter(MARTIN, closing))
    assert (op.batch()["held"], op.world.answers(region)) == (1, {})
    yield
    op.does(f"sender amend closing --encrypt {sign}")
    op.does("release --state held")
    op.batch()
    assert letter.message_id in op.world.answers(region)


@trouble("SMTP refuses: no answer can leave", alarm=Alarm.SENDING_FAILS, shows=r"smtp")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    with op.no_server(op.world.postfix.port):
        assert op.batch()["sent"] == 0
        op.sees("queue", "answer .* composed")
        yield
    op.batch()
    assert op.answers(letter) == 1


@trouble("a desk has lost a day of mail", view="find --sender mairie-lille --what answer", shows=r"answer .* sent")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    op.batch()
    yield
    op.does(f"resend --what answer --sender mairie-lille --since {op.at - DAY:%Y-%m-%d}")
    op.batch()
    assert op.answers(letter) == 2


# Mails that are not decided


@trouble("a revocation list is out of date", alarm=Alarm.UNDETERMINED, shows=r"issuing-rsa.crl +ended")
def _(op: Operator) -> Iterator[None]:
    with op.no_lists():
        op.publish_lists(op.at - 8 * DAY)
        (letter,) = op.comes(op.letter(MARTIN))
        assert op.batch()["undetermined"] == 1
        op.sees("queue", "undetermined")
        yield
        op.publish_lists(op.at)
        op.batch()
    assert op.answers(letter) == 1


@trouble("a revocation list ends in a few hours", alarm=Alarm.LIST_ENDS, shows=r"issuing-rsa.crl +current")
def _(op: Operator) -> Iterator[None]:
    with op.no_lists():
        op.publish_lists(op.at - 7 * DAY + timedelta(hours=4))
        op.batch()
        yield


@trouble("a mail crashes the parser", alarm=Alarm.FAULT, shows=r"mail .* set_aside .* CTRL_SYS_0001")
def _(op: Operator) -> Iterator[None]:
    poison, good = op.comes(op.letter(MARTIN), op.letter(LEFEBVRE))
    judge = Judge.judge_some

    def crashes(self: Judge, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        if any(poison.message_id.encode() in mail.raw for mail in mails):
            raise RecursionError
        return judge(self, mails, at)

    with op.patch.context() as version:
        version.setattr(Judge, "judge_some", crashes)
        for _ in range(3):
            op.batch()
            op.later(hours=1)
        assert (op.answers(good), op.answers(poison)) == (1, 0)
        yield
    op.does("rejudge --reason CTRL_SYS_0001")
    op.batch()
    assert op.answers(poison) == 1


@trouble("somebody held a mail and went home", alarm=Alarm.DEADLINE_NEAR, shows=r"held until somebody releases them: 1")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    with op.no_lists():
        op.batch()
        op.does("hold --state undetermined")
    op.later(hours=7)
    op.batch()
    yield
    op.sees("find --state held", "4 h|5 h")
    op.does("release --state held")
    op.batch()
    assert op.answers(letter) == 1


@trouble("the service stood still for a night", alarm=Alarm.LATE, shows=r"(?s)undetermined")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    with op.no_lists():
        op.batch()
        op.later(hours=13)
        yield
    op.batch()
    assert op.answers(letter) == 1
    month = f"{legal_day(op.at + op.ahead):%Y-%m}"
    op.sees(f"report --month {month}", "breach|late|too late")


# Senders and desks


@trouble("a vendor sends broken files all night", alarm=Alarm.DESK_FAILS, shows=r"mail .* answered")
def _(op: Operator) -> Iterator[None]:
    for start in range(0, BROKEN, 5):
        people = [
            Person(surname=f"Essai{chr(97 + n)}", first_name="Ève", born_on=BORN) for n in range(start, start + 5)
        ]
        files = [op.writer.file(op.lille, one, fate=Fate.REFUSED) for one in people]
        op.comes(op.writer.letter("all night", op.lille, *files))
    op.batch()
    yield
    op.sees("show 1", "CTRL_")
    op.does(f"sender suspend {op.lille.sender}")
    (more,) = op.comes(op.letter(MARTIN))
    op.later(hours=1)
    assert op.batch()["set_aside"] == 1
    op.does(f"sender release {op.lille.sender}")
    op.does("rejudge --reason CTRL_SIG_0019")
    op.batch()
    assert op.answers(more) == 1


@trouble("a sender was suspended by mistake", view="queue --set-aside", shows="CTRL_SIG_0019")
def _(op: Operator) -> Iterator[None]:
    op.does(f"sender suspend {op.lille.sender}")
    (letter,) = op.comes(op.letter(MARTIN))
    op.batch()
    assert op.answers(letter) == 0
    yield
    op.sees("sender list", "suspended")
    op.does(f"sender release {op.lille.sender}")
    op.does("rejudge --reason CTRL_SIG_0019")
    op.batch()
    assert op.answers(letter) == 1


@trouble("a desk signs with a certificate that nobody enrolled", view="queue --set-aside", shows="CTRL_SIG_0012")
def _(op: Operator) -> Iterator[None]:
    identity = op.world.pki.issue("lille-2027", kind="rsa", address=op.lille.address)
    (letter,) = op.comes(op.letter(MARTIN, replace(op.lille, identity=identity)))
    op.batch()
    assert op.world.answers(op.lille) == {}
    yield
    certificate, _ = identity.write(op.folder)
    op.does(f"sender amend {op.lille.sender} --sign {certificate}")
    op.does("rejudge --reason CTRL_SIG_0012")
    op.batch()
    assert letter.message_id in op.world.answers(op.lille)


@trouble("the key of a desk was stolen", view="sender list", shows=r"sign:[0-9a-f]{16}")
def _(op: Operator) -> Iterator[None]:
    yield
    fingerprint = hashlib.sha256(op.lille.identity.der).hexdigest()
    renewed = op.world.pki.issue("lille-renewed", kind="rsa", address=op.lille.address)
    certificate, _ = renewed.write(op.folder)
    elsewhere = op.world.software[2].address
    op.does(f"sender amend {op.lille.sender} --sign {certificate} --encrypt {certificate} --suspend {fingerprint[:16]}")
    op.does(f"sender amend {op.lille.sender} --answer-to {elsewhere}")
    stolen, own = op.comes(op.letter(MARTIN), op.letter(LEFEBVRE, replace(op.lille, identity=renewed)))
    done = op.batch()
    assert (done["set_aside"], done["registered"]) == (1, 1)
    assert op.world.answers(op.lille) == {}
    assert set(op.world.answers(op.world.software[2])) == {own.message_id} != {stolen.message_id}


@trouble("two desks dispute a person", view="find --desk Z5901", shows=r"mail .* answered")
def _(op: Operator) -> Iterator[None]:
    editor = op.world.software[2]
    op.comes(op.letter(MARTIN))
    op.batch()
    (second,) = op.comes(op.letter(MARTIN, editor))
    op.batch()
    yield
    op.sees("show 2", "CTRL_UNI")
    op.does(f"homonym release {second.files[0].name}")
    (again,) = op.comes(op.letter(MARTIN, editor))
    assert op.batch()["registered"] == 1
    assert op.answers(again) == 1


@trouble("a desk asks to drop what it sent for a test", view="find --state held", shows=r"mail .* held")
def _(op: Operator) -> Iterator[None]:
    letter, other = op.comes(op.letter(MARTIN), op.letter(NGUYEN, op.world.software[1]))
    with op.no_lists():
        op.batch()
        op.does("hold --intake 1")
    op.does("retry --state undetermined")
    op.batch()
    assert (op.answers(letter), op.answers(other)) == (0, 1)
    yield
    op.does('reject --intake 1 --tell "Envoi d\'essai."')
    assert op.batch()["registered"] == 0
    (told,) = op.world.answers(op.lille)[letter.message_id]
    assert "Envoi d'essai." in op.world.installation.open(op.lille, told, op.at).text
