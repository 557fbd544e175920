"""A case tells how a mail is built and read, and nothing of what it says, whoever put what where."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from mailflow.core.shapes import FieldShape, WireModel, shape_of
from mailflow.mail import entities, worker
from mailflow.register import retention
from mailflow.register.acts import Verb, perform
from mailflow.register.cases import Filter
from mailflow.register.journal import Act
from mailflow.review import case
from mailflow.wire.codec import EXTENSION, NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, Header, InterfaceFile, RequestElement
from mailflow.wire.management import MANAGEMENT, ManagementFile
from tests.support.canaries import all_forms
from tests.support.doors import House
from tests.support.judging import (
    MAIRIE,
    Software,
    a_judge,
    a_mail,
    dem_name,
    dem_part,
    encrypted,
    mailed,
    mairie,
    multipart,
    signed,
)
from tests.support.pki import AT, shared_pki
from tests.support.records import rows

NAME, NIR, MAIL = "Quénéhervé-Zylberstajn", "188027512345678", "apolline.zylberstajn@chimeres.example"
STREET, BORN = "17 rue du Crépuscule-Ambré", date(1937, 11, 29)
FORMS = all_forms(("Quénéhervé", "Zylberstajn", "zylberstajn", NIR, MAIL, "chimeres", "Crépuscule", "1937-11-29"))


async def receive(house: House, *mails: bytes) -> None:
    for raw in mails:
        house.mailbox.deliver(raw)
    door = house.door()
    await worker.receive(door)
    while await worker.process(door):
        pass


async def told(house: House, intake: int) -> dict[str, Any]:
    """As it is written."""
    async with house.register.read() as tx:
        kept = await case.read(tx, intake)
    assert kept is not None
    written = json.loads(json.dumps(case.tell(kept, a_judge(), house.now), ensure_ascii=False, default=str))
    assert isinstance(written, dict)
    return written


def leaking(written: object) -> set[bytes]:
    octets = json.dumps(written, ensure_ascii=False).encode()
    return {form for form in FORMS if form in octets}


# Canaries


def values(kind: type[WireModel], said: str) -> dict[str, Any]:
    """Every field of a model filled, texts and codes with `said`."""
    return {
        shape.attribute_name: (_value(shape, said),) if shape.repeated else _value(shape, said)
        for shape in shape_of(kind)
    }


def _value(shape: FieldShape, said: str) -> Any:
    if shape.model is not None:
        return shape.model.model_construct(**values(shape.model, said))
    plain: dict[type | None, Any] = {date: BORN, bool: True, int: 188027, Decimal: Decimal("188027.51")}
    return plain.get(shape.plain, said if shape.plain is str else AT)


def documents() -> Iterator[bytes]:
    """Files that say it in every element, in unknown ones, in comments, in what cannot be read."""
    for said in (NAME, NIR, MAIL, STREET):
        element = RequestElement.model_construct(**values(RequestElement, said))
        header = Header(file_type="CRE", dated_at=AT)
        yield to_bytes(
            write(InterfaceFile.model_construct(version=said, header=header, requests=(element,)), ROOT, NUU)
        )
    asked = ManagementFile.model_construct(**values(ManagementFile, NAME))
    yield to_bytes(write(asked, MANAGEMENT, EXTENSION))
    name = NAME.replace("-", "")
    inside = f"<!-- {NAME} --><?{name} {MAIL}?><t:{name}>{STREET}</t:{name}>{NAME}"
    yield f'<t:{ROOT} xmlns:t="{NUU}" {name}="{NIR}">{inside}</t:{ROOT}>'.encode()
    yield f'<!DOCTYPE x [<!ENTITY a "{NAME}">]><x>&a;{NIR}</x>'.encode()
    yield f"<{ROOT}><nom>{NAME}</nom><courriel>{MAIL}<nir>{NIR}".encode()
    yield f"<{ROOT}><nom>{NAME}</nom>".encode("latin-1", "replace")
    yield f"{NAME} {NIR} {MAIL} {STREET}".encode("utf-16")


def mails() -> Iterator[bytes]:
    for number, octets in enumerate(documents(), 1):
        yield a_mail(entities.file_part(dem_name(number), octets, "application/xml"))
    good = dem_part(40)
    yield mailed(
        signed(good),
        headers=[
            ("Subject", NAME),
            (f"X-{NIR}", MAIL),
            ("Reply-To", f'"{STREET}" <{MAIL}>'),
            ("X-Mailer", NAME),
            ("Cc", MAIL),
        ],
    )
    yield a_mail(good).replace(b"<1@mairie.example>", f"<{NIR}.{MAIL}>".encode())
    yield a_mail(good).replace(MAIRIE.encode(), MAIL.encode())
    yield a_mail(multipart(good, entities.text_part(f"{NAME} {NIR} {STREET}"), boundary="zylberstajn-chimeres"))
    yield a_mail(good.replace(b"application/xml", b"application/zylberstajn; charset=chimeres"))
    yield a_mail(entities.file_part(f"DEM-{NAME}-{NIR}.xml", next(documents()), "application/xml"))
    yield a_mail(entities.file_part(f"CER{NIR}.pem", f"{NAME} {MAIL}".encode(), "application/x-pem-file"))
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr(f"{NAME}.xml", NAME)
    yield a_mail(entities.file_part("zylberstajn.zip", packed.getvalue(), "application/zip"))
    holder = Software(identity=shared_pki().issue(NAME, address=MAIL), address=MAIRIE, code="holder")
    yield mailed(signed(good, by=holder))
    yield mailed(encrypted(signed(dem_part(41, surname="Zylberstajn"))))
    yield mailed(encrypted(signed(dem_part(42, surname="Zylberstajn"))).replace(b"MII", b"MIJ", 1))
    yield mailed(signed(dem_part(43, surname="Zylberstajn")).replace(b"DEM59123", b"DEM59124"))
    yield mailed(entities.text_part(f"{NAME} {NIR}"), sender=f'"{NAME}" <{MAIL}>')
    yield mailed(entities.text_part(NAME), headers=[("Auto-Submitted", "auto-replied"), ("X-Failed-Recipients", MAIL)])
    yield b"From: " + NAME.encode() + b"\r\nno field " + NIR.encode() + b"\r\n\r\n" + STREET.encode()


async def test_no_case_says_what_the_mail_says(house: House) -> None:
    for raw in mails():
        await receive(house, raw)
    act = Act(by=NAME, why=f"{STREET} {MAIL}")
    async with house.register.begin() as tx:
        for verb in (Verb.HOLD, Verb.SET_ASIDE, Verb.RETRY):
            await perform(tx, verb, Filter(), act, house.now)
    found = [int(row.id) for row in await rows(house.register, "SELECT id FROM intake ORDER BY id")]
    assert len(found) == len(list(mails()))
    cases = [await told(house, intake) for intake in found]
    assert [(one["mail"]["intake"], leaking(one)) for one in cases if leaking(one)] == []
    assert {bool(one.get("files")) for one in cases} == {True, False}
    assert leaking(NAME), "what is looked for could be found"


# What it tells


async def test_a_refused_request_is_told_with_its_file_and_its_anomalies(house: House) -> None:
    document = next(documents())
    await receive(house, mailed(encrypted(signed(entities.file_part(dem_name(7), document, "application/xml")))))
    written = await told(house, 1)
    assert [layer["layer"] for layer in written["layers"]] == ["mail", "decrypted", "signed content"]
    outer, inner, content = written["layers"]
    assert (outer["cms"]["kind"], outer["cms"]["encryption"]["name"]) == ("auth_enveloped", "aes256-gcm")
    (signer,) = inner["cms"]["signers"]
    (leaf, *_) = inner["cms"]["certificates"]
    assert (signer["certificate"]["serial"], signer["digest"]["name"]) == (leaf["serial"], "sha256")
    assert leaf["sha256"] == mairie().identity.fingerprint
    assert signer["signed_at"] == str(AT)
    assert content["parts"][0]["names"] == [dem_name(7)]
    (file,) = written["files"]
    assert any("<tns:nom>Xxéxéxxxxé-Xxxxxxxxxxx</tns:nom>" in line for line in file["xml"])
    codes = {anomaly["code"] for anomaly in file["anomalies"]}
    assert codes <= written["sentences"].keys()
    assert {one["code"] for one in written["on_record"][-1]["anomalies"]} <= codes
    assert [entry["kind"] for entry in written["timeline"]][-1] == "mail-answered"
    assert written["judged_now"]["verdict"] == "accepted"


async def test_a_mail_that_proved_nothing_is_told_with_the_step_that_failed(house: House) -> None:
    raw = mailed(signed(dem_part()).replace(b"DEM59123", b"DEM59124"))
    await receive(house, raw)
    written = await told(house, 1)
    failed = [step for step in written["judged_now"]["steps"] if not step["passed"]]
    assert [(step["step"], step["detail"]) for step in failed] == [("signature", "CTRL_SIG_0003")]
    assert written["mail"]["reason"] == "CTRL_SIG_0003"
    assert written["sentences"]["CTRL_SIG_0003"]["fr"]
    assert written["layers"][0]["lines"]["lf"] == 0


async def test_of_an_erased_mail_the_record_is_left(house: House) -> None:
    await receive(house, b"From: a@b.example\r\n\r\nBonjour\r\n")
    written = await told(house, 1)
    assert written["layers"][0]["parts"] == [
        {"place": "0", "type": "text/plain", "encoding": "7bit", "octets": 30, "body_octets": 9, "names": []}
    ]
    async with house.register.begin() as tx:
        assert await retention.erase_these(tx, [1], house.now) == 1
    written = await told(house, 1)
    assert (written["mail"]["reason"], "layers" in written) == ("CTRL_SIG_0001", False)
    assert [entry["kind"] for entry in written["timeline"]] == ["mail-set-aside", "mail-erased"]
