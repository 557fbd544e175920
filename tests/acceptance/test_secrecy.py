"""After everything that can happen to a mail, no column, log line or file holds what the mails said of anybody."""

import base64
import quopri
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mailflow.demo.applications import Person, request_file, request_form
from mailflow.demo.story import LILLE
from mailflow.mail import entities
from tests.acceptance.world import Done, World
from tests.support.canaries import all_forms
from tests.support.collector import Collector, collector
from tests.support.letters import Fate, Letter, RequestFile, Writer
from tests.support.mail_world import MAIL_BYTES_MAX

APPLICANT = Person(surname="Quénéhervé-Zylberstajn", first_name="Apolline-Xanthe", born_on=date(1937, 11, 29))
PARTNER = Person(surname="Wojciechowska", first_name="Ségolène-Pélagie", born_on=date(1941, 3, 17))
STREET, TOWN, TELEPHONE = "17 rue du Crépuscule-Ambré", "Villeneuve-les-Chimères", "0199753186"
CANARIES = (
    *("Quénéhervé", "Zylberstajn", "Apolline-Xanthe", "Wojciechowska", "Ségolène-Pélagie"),
    *("1937-11-29", "29/11/1937", "19371129", "1941-03-17", "17/03/1941", "19410317"),
    *(STREET, "Crépuscule", TOWN, TELEPHONE),
)
KEY_FOLDERS = ("keys", "secrets")


FORMS = all_forms(CANARIES)


def found_in(octets: bytes) -> set[bytes]:
    return {form for form in FORMS if form in octets}


@pytest.fixture
def traces() -> Iterator[Collector]:
    with collector() as found:
        yield found


def letters(world: World, at: datetime) -> list[Letter]:
    """Mails to each end: number, refusals, set aside for many reasons, the same again, too large."""
    writer, (lille, region, editor) = Writer(world.installation, at), world.software
    form = request_form(
        APPLICANT, desk=lille.desk, deposited_on=at.date(), municipalities=[LILLE], co_applicant=PARTNER
    )
    form["personnePhysique"]["demandeur"]["coordonnees"] = {
        "adresse": {"voie": STREET, "codePostal": "59000", "ville": TOWN},
        "telephone": TELEPHONE,
    }
    file = replace(writer.file(lille, APPLICANT), octets=request_file([form], made_at=at))

    def other(octets: bytes) -> RequestFile:
        return replace(writer.file(lille, APPLICANT), octets=octets)

    broken = file.octets[: file.octets.index(b"pieceIdentite")]
    latin = file.octets.decode().replace("UTF-8", "ISO-8859-1").encode("latin-1")
    doctype = file.octets.replace(b"?>", b"?><!DOCTYPE x [<!ENTITY a '" + STREET.encode() + b"'>]>", 1)
    wrong = file.octets.replace(b"1937-11-29", b"29/11/1937").replace(TELEPHONE.encode(), STREET.encode())
    good = writer.letter("good", lille, file)
    unsigned = writer.unsigned("unsigned", lille, f"{APPLICANT.surname} {APPLICANT.born_on} {STREET}")
    stranger = replace(lille, identity=world.identities["stranger"])
    raws = [
        entities.mail([("From", f'"{APPLICANT.surname}" <x@desks.example>')], entities.text_part(STREET)),
        good.raw.replace(b"Subject: Demandes", f"Subject: {APPLICANT.surname} {STREET}".encode()),
        good.raw.replace(b"Message-ID: <", f"Message-ID: <{TOWN}.1937-11-29.".encode()),
        unsigned.raw.replace(b"text/plain", f"text/{APPLICANT.surname}".encode()),
        unsigned.raw + STREET.encode() * (MAIL_BYTES_MAX // len(STREET)),
    ]
    return [
        good,
        good,
        writer.letter("another name", lille, other(file.octets)),
        writer.letter("broken", lille, other(broken)),
        writer.letter("latin", lille, other(latin)),
        writer.letter("doctype", lille, other(doctype)),
        writer.letter("wrong values", lille, other(wrong)),
        writer.letter("future", lille, writer.file(lille, APPLICANT, fate=Fate.REFUSED)),
        writer.letter("odd name", lille, replace(file, name=f"DEM-{APPLICANT.surname}-1937-11-29.xml")),
        writer.letter("taken name", lille, replace(file, octets=wrong)),
        writer.letter("rival", editor, writer.file(editor, APPLICANT)),
        writer.letter("other territory", region, writer.file(region, APPLICANT, co_applicant=PARTNER)),
        writer.letter("stranger", stranger, file, encrypted=False),
        unsigned,
        *(Letter(what="raw", software=lille, message_id="raw", raw=raw, files=()) for raw in raws),
    ]


@pytest.mark.long_on("sqlite")
def test_neither_register_nor_log_nor_files_hold_what_was_sent(
    either_world: World, at: datetime, traces: Collector, tmp_path: Path
) -> None:
    world = either_world
    sent = letters(world, at)
    assert {form for form in CANARIES if form.encode() in b"".join(f.octets for one in sent for f in one.files)}
    world.post([letter.raw for letter in sent])
    text = world.installation.config.read_text(encoding="utf-8")
    debug = (text, f'{text}\n[log]\nlevel = "debug"\n[traces]\nendpoint = "{traces.endpoint}"\n')
    said: list[Done] = []
    # First nothing can leave: what waits is kept in the register, and the attempts are told in the log.
    unreachable = (f"port = {world.postfix.port}", "port = 9")
    for changes in ([debug, unreachable], [debug]):
        with world.changed_settings(*changes) as config:
            said.append(world.mailflow("run", "--once", "--json", config=config))
    # The second finds nothing that is due yet.
    assert [one.code for one in said] == [75, 75], [one.err for one in said]
    assert said[0].json["registered"] == 2
    said += [
        world.mailflow(*command)
        for command in (("queue",), ("queue", "--set-aside"), ("forecast",), ("report",), ("show", "1"), ("show", "9"))
    ]
    said += [world.mailflow("replay", "--json"), *(world.mailflow("case", intake) for intake in ("4", "9"))]
    assert [one.code for one in said[-3:]] == [0, 0, 0], "and all is decided again as it was"
    said.append(world.mailflow("verify", "--archive", "--json", "--export", str(tmp_path / "evidence")))
    proven = said[-1].json
    assert (said[-1].code, proven["content"], proven["findings"]) == (0, {"verified": proven["mails"]}, [])
    assert proven["mails"] > 5
    world.settle()
    assert len(traces.named("mail decided")) > len(said)
    assert found_in(b"".join(traces.bodies)) == set()
    for one in said:
        assert found_in(f"{one.out}\n{one.err}".encode()) == set()
    dumped = 0
    for table, column, octets in dump(world):
        assert found_in(octets) == set(), (table, column)
        dumped += 1
    assert dumped > 1000
    exported = [file.read_bytes() for file in (tmp_path / "evidence").rglob("*") if file.is_file()]
    assert len(exported) > proven["mails"]
    assert found_in(b"".join(exported)) == set()
    for file in world.installation.folder.rglob("*"):
        if file.is_file() and file.relative_to(world.installation.folder).parts[0] not in KEY_FOLDERS:
            assert found_in(file.read_bytes()) == set(), file.name


def dump(world: World) -> Iterator[tuple[str, str, bytes]]:
    """Every value of every column of every table."""
    register: Any
    if world.database_url.startswith("sqlite"):
        register = sqlite3.connect(world.installation.folder / "register.db")
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
    else:
        register = psycopg.connect(world.database_url)
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    cursor = register.cursor()
    for (table,) in cursor.execute(tables).fetchall():
        rows = cursor.execute(f'SELECT * FROM "{table}"')  # a name from the schema itself
        names = [column[0] for column in rows.description]
        for row in rows.fetchall():
            for column, value in zip(names, row, strict=True):
                if value is not None:
                    yield table, column, value if isinstance(value, bytes) else str(value).encode()
    register.close()


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for form in ("Zylberstajn", "CRÉPUSCULE", "1937-11-29"):
        for charset in ("utf-8", "latin-1", "utf-16-le"):
            for before in (b"", b"x", b"xy"):
                octets = before + form.encode(charset) + b" and more"
                for written in (octets, octets.hex().encode(), base64.b64encode(octets), quopri.encodestring(octets)):
                    assert found_in(written), (form, charset, before)
    assert found_in(b"nothing of it") == set()
