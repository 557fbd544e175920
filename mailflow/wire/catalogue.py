"""Everything that we publish of the interface, made from the models: schemas, lists, catalogue, sample messages."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from mailflow.core.anomalies import catalogue
from mailflow.core.codes import code_lists
from mailflow.core.elements import meaning
from mailflow.core.form import HousingRequest, HousingSought, Place
from mailflow.core.inquiry import QuestionReceipt, RequestStatus, Situation, StatusAnswer
from mailflow.core.model import (
    Door,
    Environment,
    FileReceipt,
    Operation,
    Outcome,
    Refused,
    Registered,
    RequestState,
    SenderCode,
)
from mailflow.core.numbers import Territory, UniqueNumber, compose
from mailflow.core.order import Holder
from mailflow.core.places import MUNICIPALITIES_FILE, TERRITORIES_FILE, content
from mailflow.core.shapes import WireModel, models_below
from mailflow.wire.acknowledgement import write_receipt
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.management import QuestionElement
from mailflow.wire.names import return_name
from mailflow.wire.questions import read_questions, write_answers, write_questions
from mailflow.wire.reader import FileLimits, read_file
from mailflow.wire.samples import SAMPLE_DEPOSIT, SAMPLE_DESK, association_form, family_form
from mailflow.wire.writer import write_return
from mailflow.wire.xsd import EXTENSION_FILE, INTERFACE_FILE, extension_schema, interface_schema

SAMPLE_FILE = "DEMZ0001-202601151030-000001.xml"
SAMPLE_REFERENCE = "DOSSIER-2026-0001"
_SAMPLE_TIME = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)
_SAMPLE_LIMITS = FileLimits(file_bytes_max=1 << 20, request_bytes_max=1 << 18, requests_max=10, nodes_max=10_000)


def published() -> dict[str, bytes]:
    """Every file, by its path under `schemas/`."""
    creation = sample_creation(family_form())
    association = sample_creation(association_form())
    faulty = sample_creation(_faulty_form())
    number = compose(Territory("059"), SAMPLE_DEPOSIT, 42, SAMPLE_DESK)
    registered = Registered(number=number, state=RequestState.ACTIVE, expires_on=date(2027, 1, 12))
    accepted = _receipt(creation, registered)
    refused = _receipt(faulty, None)
    return {
        INTERFACE_FILE: interface_schema(),
        EXTENSION_FILE: extension_schema(),
        "codes.json": _json(_codes()),
        "anomalies.json": _json(_anomalies()),
        "communes.csv": content(MUNICIPALITIES_FILE),
        "territoires.csv": content(TERRITORIES_FILE),
        "demandeLogement.schema.json": _json(json_schema(HousingRequest)),
        f"exemples/creation/{SAMPLE_FILE}": creation,
        f"exemples/creation/{return_name(SAMPLE_FILE)}": write_return(accepted, environment=Environment.SCHOOL),
        "exemples/creation/accuse.xml": _sample_receipt_part(accepted),
        "exemples/creation/demandeLogement.json": _json(_as_json(family_form())),
        f"exemples/association/{SAMPLE_FILE}": association,
        f"exemples/association/{return_name(SAMPLE_FILE)}": write_return(
            _receipt(association, registered), environment=Environment.SCHOOL
        ),
        f"exemples/refus/{SAMPLE_FILE}": faulty,
        f"exemples/refus/{return_name(SAMPLE_FILE)}": write_return(refused, environment=Environment.SCHOOL),
        "exemples/refus/accuse.xml": _sample_receipt_part(refused),
        **_questions(number, creation),
    }


def _questions(number: UniqueNumber, creation: bytes) -> dict[str, bytes]:
    """Two questions about what was created before, and what is answered."""
    name = SAMPLE_FILE.replace("DEM", "GES")
    content = sample_questions(number)
    file = read_questions(name, content, limits=_SAMPLE_LIMITS, received_at=_SAMPLE_TIME)
    status = RequestStatus(
        number=number,
        reference=SAMPLE_REFERENCE,
        state=RequestState.ACTIVE,
        expires_on=date(2027, 1, 12),
        operation=Operation.CREATION,
        operated_on=date(2026, 1, 15),
    )
    decided_at = _SAMPLE_TIME + timedelta(seconds=2)
    receipt = QuestionReceipt(
        file=file,
        answered_at=_SAMPLE_TIME + timedelta(hours=1),
        answers=(
            StatusAnswer(
                situation=Situation.DECIDED,
                since=decided_at,
                digest=sha256(creation).hexdigest(),
                registered=1,
                refused=0,
                requests=(status,),
            ),
            StatusAnswer(requests=(replace(status, reference=None),)),
            StatusAnswer(requests=(status,)),
        ),
    )
    return {
        f"exemples/etat/{name}": content,
        f"exemples/etat/{return_name(name)}": write_answers(receipt, environment=Environment.SCHOOL),
    }


def sample_questions(number: str) -> bytes:
    """A `GES` file that asks for the sample file, for the request of that number, and by the desk's reference."""
    person = family_form().person
    assert person is not None
    assert person.applicant is not None
    who = Holder(surname=person.applicant.surname, born_on=person.applicant.born_on)
    asked = (
        QuestionElement(file_name=SAMPLE_FILE),
        QuestionElement(number=number, holder=who),
        QuestionElement(reference=SAMPLE_REFERENCE),
    )
    return write_questions(asked, _SAMPLE_TIME - timedelta(minutes=1))


def sample_creation(form: HousingRequest) -> bytes:
    """A `CRE` file with that one form."""
    document = InterfaceFile(
        version=VERSIONS[-1],
        header=Header(file_type=Operation.CREATION, dated_at=_SAMPLE_TIME - timedelta(minutes=1)),
        requests=(RequestElement(reference=SAMPLE_REFERENCE, form=form),),
    )
    return to_bytes(write(document, ROOT, NUU))


def _faulty_form() -> HousingRequest:
    """A form with a deposit in the future, no type of dwelling and a municipality of no territory."""
    return family_form().model_copy(
        update={
            "deposited_on": date(2026, 2, 12),
            "sought": HousingSought(widened=False, places=(Place(municipality="99123"),)),
        }
    )


def _receipt(content: bytes, outcome: Outcome | None) -> FileReceipt:
    """What the register would answer: `outcome`, or what reading the file found."""
    file = read_file(SAMPLE_FILE, content, limits=_SAMPLE_LIMITS, received_at=_SAMPLE_TIME)
    return FileReceipt(
        file=file,
        record="1",
        decided_at=_SAMPLE_TIME + timedelta(seconds=2),
        anomalies=file.anomalies,
        outcomes=(outcome or Refused(anomalies=file.requests[0].anomalies),),
    )


def _sample_receipt_part(receipt: FileReceipt) -> bytes:
    return write_receipt(
        intake="1",
        environment=Environment.SCHOOL,
        door=Door.MAIL,
        sender=SenderCode("exemple"),
        signer="0" * 64,
        content_digest="1" * 64,
        received_at=_SAMPLE_TIME,
        decided_at=receipt.decided_at,
        anomalies=(),
        files=(receipt,),
    )


def _codes() -> dict[str, Any]:
    known = code_lists()
    return {
        "versions": [
            {"version": name, "starts": version.starts_on.isoformat(), "ends": str(version.ends_on or "") or None}
            for name, version in known.versions.items()
        ],
        "lists": {
            name: [{"code": v.code, "label": v.label, "versions": sorted(v.versions)} for v in values.values()]
            for name, values in known.lists.items()
        },
    }


def _anomalies() -> list[dict[str, str]]:
    return [
        {
            "code": entry.code,
            "level": entry.level,
            "severity": entry.severity,
            "retry": entry.retry,
            "french": entry.french,
            "english": entry.english,
            "remedy_french": entry.remedy_french,
            "remedy_english": entry.remedy_english,
        }
        for entry in catalogue().values()
    ]


def json_schema(root: type[WireModel]) -> dict[str, Any]:
    """The schema of a form in JSON, with the meaning of each field in French in place of the models' own words."""
    schema = root.model_json_schema(by_alias=True)
    models = {model.__name__: model for model in models_below(root)}
    for name, definition in {root.__name__: schema, **schema["$defs"]}.items():
        for words in ("title", "description"):
            definition.pop(words, None)
        for field, described in definition["properties"].items():
            described.pop("title", None)
            described["description"] = meaning(models[name], field)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _as_json(form: HousingRequest) -> object:
    """The form as JSON has it, without what is not there."""
    return form.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _json(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode("utf-8")
