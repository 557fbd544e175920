"""Whoever steals the register, its files or a dump of it learns nothing that was said of anybody."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.mail import composing, delivery, entities, worker
from mailflow.mail.door import Progress
from mailflow.register import Register
from tests.servers.postgres import find_binaries
from tests.support.canaries import all_forms
from tests.support.doors import House
from tests.support.judging import a_mail, dem_name
from tests.support.records import execute, rows
from tests.support.requests import a_file, a_form

APPLICANT = "personnePhysique/demandeur/"
SAID = {
    APPLICANT + "nom": "Quénéhervé-Zylberstajn",
    APPLICANT + "prenom": "Apolline-Xanthe",
    APPLICANT + "dateNaissance": "1937-11-29",
    APPLICANT + "nir": "237112935012349",
    APPLICANT + "coordonnees/adresse/voie": "17 rue du Crépuscule-Ambré",
    APPLICANT + "coordonnees/adresse/ville": "Villeneuve-les-Chimères",
    APPLICANT + "coordonnees/telephone": "0199753186",
    APPLICANT + "coordonnees/courriel": "apolline.q@chimeres.example",
}
REFERENCE = "dossier-Quénéhervé-29111937"
CANARIES = (*SAID.values(), "Quénéhervé", "Zylberstajn", "29/11/1937", "19371129", "Crépuscule", "chimeres", REFERENCE)
FORMS = all_forms(CANARIES)


async def everything_happens(house: House) -> None:
    """A mail is registered and answered, another is refused; all octets are kept."""
    octets = a_file(a_form(SAID), reference=REFERENCE)
    assert all(value.encode() in octets for value in SAID.values())
    wrong = octets.replace(b"1937-11-29", b"29/11/1937")
    for sequence, content in enumerate((octets, wrong), 1):
        house.mailbox.deliver(a_mail(entities.file_part(dem_name(sequence), content, "application/xml")))
    door = house.door()
    while sum([await stage(door) for stage in (worker.receive, worker.process, composing.compose)], Progress()):
        pass
    while await delivery.deliver(door):
        pass


def stolen(url: str, since: float) -> Iterator[tuple[str, bytes]]:
    """Every file of the database as it lies there while the service runs, and a dump.

    Of the log of a whole server what was written `since` then.
    """
    parsed = sa.make_url(url)
    if parsed.drivername == "sqlite":
        file = Path(parsed.database or "")
        for one in file.parent.glob(f"{file.stem}*"):
            yield one.name, one.read_bytes()
        return
    binaries, folder, name = find_binaries(), Path(str(parsed.query["host"])), parsed.database
    assert binaries is not None
    ask: list[str | Path] = ["-h", str(folder), "-U", "postgres"]
    yield "dump", subprocess.run([binaries / "pg_dump", *ask, str(name)], check=True, capture_output=True).stdout
    number = [binaries / "psql", *ask, "-XAtc", f"SELECT oid FROM pg_database WHERE datname = '{name}'", "postgres"]
    oid = subprocess.run(number, check=True, capture_output=True, text=True).stdout.strip()
    log = (one for one in (folder / "data/pg_wal").iterdir() if one.stat().st_mtime >= since)
    for one in (*(folder / "data/base" / oid).iterdir(), *log):
        if one.is_file():
            yield one.name, one.read_bytes()


def found_in(octets: bytes) -> list[bytes]:
    written = re.sub(rb"\0{64,}", b"\0", octets)  # files are mostly empty
    return [form for form in FORMS if form in written]


@pytest.mark.long_on("postgresql")
async def test_a_stolen_register_says_nothing(house: House, register_url: str) -> None:
    since = time.time()
    await everything_happens(house)
    register: Register = house.register
    kept = await rows(register, "SELECT count(raw), sum(length(raw)) FROM intake")
    assert kept[0][0] == 2
    assert len(await rows(register, "SELECT number FROM request")) == 1
    assert len(await rows(register, "SELECT request_id FROM nir")) == 1
    assert len(await rows(register, "SELECT id FROM outbox WHERE raw IS NOT NULL")) == 2
    assert len(await rows(register, "SELECT id FROM attestation WHERE content IS NOT NULL")) == 1
    if register_url.startswith("postgresql"):
        await execute(register, "CHECKPOINT")
    size = 0
    for name, octets in stolen(register_url, since):
        assert found_in(octets) == [], name
        size += len(octets)
    assert size > kept[0][1], "what is sealed was among it"


@pytest.mark.long_on("postgresql")
async def test_the_search_finds_what_lies_open(house: House, register_url: str) -> None:
    """The same search, of a register in which one value in each form was left open."""
    since = time.time()
    nir, text = SAID[APPLICANT + "nir"], REFERENCE.encode("utf-16-be").hex()
    await execute(house.register, "INSERT INTO desk VALUES ('Z0009', :nir, :text, 'active')", nir=nir, text=text)
    if register_url.startswith("postgresql"):
        await execute(house.register, "CHECKPOINT")
    found = {form for _, octets in stolen(register_url, since) for form in found_in(octets)}
    assert {nir.encode(), text.encode()} <= found
