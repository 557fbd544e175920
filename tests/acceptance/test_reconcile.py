"""The account sheet: an undisturbed service adds up; what is planted is found, and mended where that is promised."""

import email
import imaplib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from mailflow.demo.story import LEFEBVRE, MARTIN, NGUYEN, OSEI
from mailflow.ledger.differences import MEANINGS, Kind
from tests.acceptance.world import Done, World
from tests.support.letters import Letter, Writer
from tests.support.mail_world import AUDIT_USER, INBOX, MAIL_BYTES_MAX, PROCESSED, QUARANTINE, SERVICE_USER


@pytest.fixture
def letters(either_world: World, at: datetime) -> list[Letter]:
    """Four good mails that were answered, one that nobody can read, and one that is too large."""
    world = either_world
    writer, lille = Writer(world.installation, at), world.software[0]
    made = [writer.letter(f"person {n}", lille, writer.file(lille, who)) for n, who in enumerate(PERSONS)]
    no_name = b"From: somebody@desks.example\r\nSubject: no Message-ID\r\n\r\nBonjour\r\n"
    large = b"Message-ID: <large@desks.example>\r\n" + no_name + b"x" * (MAIL_BYTES_MAX + 1)
    world.post([*(one.raw for one in made), no_name, large])
    world.mailflow("run", "--once")
    world.settle()
    return made


PERSONS = (MARTIN, NGUYEN, LEFEBVRE, OSEI)


def sheet(world: World, *options: str) -> Done:
    """As of now: nothing counts as in motion."""
    return world.mailflow("reconcile", "--settled", "0", "--json", *options)


def found(world: World, *options: str) -> dict[str, int]:
    done = sheet(world, *options)
    assert done.code in (0, 65), done.err
    kinds = {one["kind"]: one["count"] for one in done.json["differences"]}
    assert done.code == (0 if all(MEANINGS[Kind(kind)].adds_up for kind in kinds) else 65)
    return kinds


def sql(world: World, *statements: str) -> list[Any]:
    """Somebody who may write to the database: triggers and constraints are no obstacle. The rows of the last one."""
    url = world.database_url
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(world.installation.folder / "register.db", isolation_level=None)) as file:
            for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                file.execute(f"DROP TRIGGER {name}")
            return [file.execute(statement).fetchall() for statement in statements][-1]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("SET session_replication_role = replica")
        cursors = [server.execute(statement) for statement in statements]
        return cursors[-1].fetchall() if cursors[-1].description else []


def client(world: World, user: str, folder: str) -> imaplib.IMAP4:
    session = imaplib.IMAP4(world.dovecot.host, world.dovecot.imap_port, timeout=60)
    session.login(user, world.dovecot.users[user])
    assert session.select(folder)[0] == "OK"
    return session


def do(world: World, user: str, folder: str, *commands: Sequence[str]) -> None:
    """Another mail program's commands."""
    with client(world, user, folder) as session:
        for command, *arguments in commands:
            status, said = session.uid(command, *arguments) if command != "EXPUNGE" else session.expunge()
            assert status == "OK", said


def adds_up(world: World) -> None:
    """Nothing was disturbed yet."""
    done = sheet(world)
    assert (done.code, done.json["differences"], done.json["adds_up"]) == (0, [], True)
    account = {(one["of"], one["what"]): one["count"] for one in done.json["account"]}
    assert account["mails in Processed", "on record"] == 5
    assert account["mails in Quarantine", "on record"] == 1
    assert (account["mails on record", "answered"], account["mails on record", "set_aside"]) == (4, 2)
    assert (account["outgoing, answer", "sent"], account["copies", "of this service"]) == (4, 4)
    (nord,) = [one for one in done.json["numbers"] if one["territory"] == "059"]
    assert (nord["given"], nord["used"], nord["unexplained"]) == (4, 4, 0)
    assert "Everything adds up." in world.mailflow("reconcile").out


@pytest.mark.long_on("sqlite")
def test_mails_and_copies_that_do_not_add_up(either_world: World, letters: list[Letter], at: datetime) -> None:
    world = either_world
    adds_up(world)
    harm_mails(world, letters)
    harm_copies(world, at)
    planted = {
        *(Kind.LEFT, Kind.MARKED, Kind.TWICE, Kind.NOWHERE, Kind.MISPLACED, Kind.UNKNOWN),
        *(Kind.COPY_MISSING, Kind.COPY_UNKNOWN, Kind.COPY_TWICE, Kind.COPY_ALTERED, Kind.UNRECORDED),
    }
    assert found(world, "--octets") == dict.fromkeys(planted, 1)
    before = sql(world, "SELECT count(*) FROM journal")
    assert sheet(world).code == 65
    assert sql(world, "SELECT count(*) FROM journal") == before, "a sheet changes nothing"

    assert world.mailflow("reconcile", "--apply").code == 2, "nobody said why"
    done = sheet(world, "--octets", "--apply", "--by", "anna", "--why", "a bad day")
    mended = {kind for kind in planted if MEANINGS[kind].mends}
    assert done.json["mended"] == dict.fromkeys(mended, 1), done.err
    said = sql(world, "SELECT detail FROM journal WHERE kind IN ('reconciled', 'mail-held', 'outbox-resent')")
    assert len(said) == len(mended)
    assert all('"by": "anna' in detail and '"why": "a bad day"' in detail for (detail,) in said)
    assert world.mailflow("run", "--once").code == 65, "the mail that was marked is taken in, and set aside"
    world.settle()
    assert found(world, "--octets") == dict.fromkeys({*planted - mended, Kind.MISPLACED}, 1), "taken in as it lay"
    assert sheet(world, "--apply", "--why", "the day after").json["mended"] == {Kind.MISPLACED: 1}
    assert found(world, "--octets") == dict.fromkeys(planted - mended, 1)
    assert sql(world, "SELECT count(*) FROM outbox WHERE state <> 'sent'") == [(0,)]
    assert len(world.dovecot.messages(SERVICE_USER, INBOX)) == 0
    assert world.mailflow("release", "--state", "held", "--why", "seen", "--apply").code == 0
    world.mailflow("run", "--once")
    world.settle()
    assert sql(world, "SELECT count(*) FROM request") == [(4,)], "what was bound is answered the same again"


def harm_mails(world: World, letters: Sequence[Letter]) -> None:
    """Left, lying twice, nowhere, misplaced, unknown, marked deleted: one of each."""
    do(world, SERVICE_USER, PROCESSED, ("MOVE", "1", INBOX))
    (where,) = sql(world, "SELECT uidvalidity, max(uid) FROM intake GROUP BY uidvalidity")
    sql(world, f"UPDATE intake SET uid = {where[1] + 1} WHERE id = 1")
    do(world, SERVICE_USER, PROCESSED, ("COPY", "2", PROCESSED))
    do(world, SERVICE_USER, PROCESSED, ("STORE", "3", "+FLAGS", r"(\Deleted)"), ("EXPUNGE",))
    do(world, SERVICE_USER, PROCESSED, ("MOVE", "4", QUARANTINE))
    with world.dovecot.session(SERVICE_USER) as session:
        session.append(QUARANTINE, "", "", letters[1].raw.replace(b"Subject:", b"X-Again: 1\r\nSubject:"))
        session.append(INBOX, r"(\Deleted)", "", b"Message-ID: <marked@desks.example>\r\n\r\nBonjour\r\n")


def harm_copies(world: World, at: datetime) -> None:
    """Missing, altered, lying twice, unknown, not on record as sent; and a stranger's mail, which is none of these."""
    earlier = f"{at - timedelta(hours=3):%Y-%m-%d %H:%M:%S}.000000"
    sql(world, f"UPDATE outbox SET sent_at = '{earlier}{'' if world.database_url.startswith('sqlite') else '+00'}'")
    copies = world.dovecot.messages(AUDIT_USER)
    unrecorded = email.message_from_bytes(copies[3])["Message-ID"]
    sql(world, f"UPDATE outbox SET state = 'composed', next_at = sent_at, sent_at = NULL "
        f"WHERE message_id = '{unrecorded}'")  # fmt: skip
    head, _, _ = copies[2].partition(b"\r\n\r\n")
    with world.dovecot.session(AUDIT_USER) as session:
        for raw in (
            copies[1],
            head + b"\r\n\r\nanother body\r\n",
            re.sub(rb"Message-ID: <.", b"Message-ID: <g", copies[2]),
            b"Message-ID: <spam@elsewhere.example>\r\n\r\nBonjour\r\n",
        ):
            assert session.append(INBOX, "", "", raw)[0] == "OK"
        session.select(INBOX)
        session.store("1", "+FLAGS", r"(\Deleted)")
        session.expunge()


@pytest.mark.long_on("sqlite")
def test_numbers_that_do_not_add_up(either_world: World, letters: list[Letter]) -> None:
    world = either_world
    assert len(letters) == 4
    sql(
        world,
        "UPDATE counter SET last = 9 WHERE last = 4",
        "UPDATE history_counter SET last = 2",
        "DELETE FROM history WHERE sequence = 2",
        "UPDATE intake SET state = 'set_aside' WHERE id = 3",
        "DELETE FROM outbox WHERE intake_id = 1",
    )
    said = {
        *(Kind.HOLE, Kind.HISTORY_BEHIND, Kind.HISTORY_HOLE, Kind.NO_HISTORY, Kind.NOT_TOLD),
        *(Kind.UNANSWERED, Kind.COPY_UNKNOWN),
    }
    assert found(world) == dict.fromkeys(said, 1)
    sql(world, "UPDATE counter SET last = 3")
    assert found(world, "--kind", "number-hole", "--kind", "number-counter-behind") == {Kind.COUNTER_BEHIND: 1}
    mended = sheet(world, "--apply", "--why", "set by hand").json["mended"]
    assert mended == {Kind.COUNTER_BEHIND: 1, Kind.HISTORY_BEHIND: 1}
    assert sql(world, "SELECT last FROM counter") == [(4,)]
    assert sql(world, "SELECT last FROM history_counter") == [(4,)]
