"""Request files for tests: a valid form, changes to it, and whatever hypothesis can think of."""

from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from mailflow.core.calendar import PARIS
from mailflow.core.codes import code_lists
from mailflow.core.form import HousingRequest
from mailflow.core.shapes import FieldShape, WireModel, shape_of
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, Header, InterfaceFile, RequestElement
from mailflow.wire.reader import FileLimits
from mailflow.wire.samples.forms import association_form, family_form

DESK = "59123"
NAME = "DEM59123-202601151030-000001.xml"
RECEIVED_AT = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)
RECEIVED_ON = date(2026, 1, 15)
LIMITS = FileLimits(file_bytes_max=4 << 20, request_bytes_max=256 << 10, requests_max=1000, nodes_max=500_000)

FORM: dict[str, Any] = {
    "numGuichet": DESK,
    "dateCreationDemande": "2026-01-12",
    "personnePhysique": {
        "demandeur": {
            "civilite": "2",
            "nom": "Durand",
            "prenom": "Zoé",
            "dateNaissance": "1990-02-28",
            "nationalite": "1",
            "coordonnees": {
                "adresse": {"voie": "12 rue Inventée", "codePostal": "59000", "ville": "Lille"},
                "telephone": "+33 1 99 00 12 34",
                "courriel": "zoe@exemple.invalid",
            },
        },
        "coDemandeur": {"nom": "Petit", "prenom": "Noël", "dateNaissance": "1988-07-01", "lienDemandeur": "M"},
    },
    "pieceIdentite": {"typePieceIdentite": "CNI"},
    "logementRecherche": {
        "demandeElargie": "true",
        "listeTypeLogement": ["T3", "T4"],
        "listeLocalisationSouhaite": [{"commune": "59350"}, {"commune": "59512"}],
    },
}
"""A valid request, by wire names."""

WHOLE, ASSOCIATION = (
    {**form.model_dump(mode="json", by_alias=True, exclude_defaults=True), "numGuichet": DESK}
    for form in (family_form(), association_form())
)


def a_form(changes: dict[str, Any] | None = None) -> HousingRequest:
    """The valid form with changes by path (`logementRecherche/demandeElargie`); None takes the element away."""
    return HousingRequest.model_validate(_changed(FORM, changes or {}))


def a_whole_form(changes: dict[str, Any] | None = None) -> HousingRequest:
    """The sample with every element of a person's request, with changes by path; a number counts items from 0."""
    return HousingRequest.model_validate(_changed(WHOLE, changes or {}))


def an_association(changes: dict[str, Any] | None = None) -> HousingRequest:
    """The sample with every element of an association's request, with changes by path."""
    return HousingRequest.model_validate(_changed(ASSOCIATION, changes or {}))


def a_file(*forms: HousingRequest, reference: str | None = None, operation: str = "CRE") -> bytes:
    """A request file with these forms."""
    document = InterfaceFile(
        version="02.01",
        header=Header(file_type=operation, dated_at=RECEIVED_AT),
        requests=tuple(RequestElement(reference=reference, form=form) for form in forms),
    )
    return to_bytes(write(document, ROOT, NUU))


def _changed(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = deepcopy(data)
    for path, value in changes.items():
        *steps, last = path.split("/")
        holder: Any = result
        for step in steps:
            holder = holder[int(step)] if isinstance(holder, list) else holder.setdefault(step, {})
        if value is None:
            del holder[last]
        else:
            holder[last] = value
    return result


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], max_codepoint=0xFFFF), max_size=30)


def forms() -> st.SearchStrategy[HousingRequest]:
    """Any form that the model can hold: present or absent, sensible or not."""
    return _models(HousingRequest)


def request_elements() -> st.SearchStrategy[RequestElement]:
    """Any `demande` that the model can hold: of whatever operation, sent or returned."""
    return _models(RequestElement)


def _models(model: type[WireModel]) -> st.SearchStrategy[Any]:
    fields = {shape.attribute_name: _values(shape) for shape in shape_of(model)}
    return st.builds(model, **fields)


def _values(shape: FieldShape) -> st.SearchStrategy[Any]:
    one: st.SearchStrategy[Any]
    if shape.model is not None:
        one = _models(shape.model)
    elif shape.plain is bool:
        one = st.booleans()
    elif shape.plain is date:
        one = st.dates()
    elif shape.plain is datetime:
        one = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.sampled_from([UTC, PARIS]))  # noqa: DTZ001  hypothesis wants it so
    elif shape.written is not None:
        read = int if shape.plain is int else Decimal
        one = st.from_regex(shape.written.pattern, fullmatch=True, alphabet=st.characters(codec="ascii")).map(read)
    elif shape.coded is not None and shape.coded.code_list:
        one = st.sampled_from(sorted(code_lists().lists[shape.coded.code_list])) | TEXTS
    else:
        one = TEXTS
    return st.lists(one, max_size=3).map(tuple) if shape.repeated else st.none() | one
