"""Everything that we publish of the interface, made from the models: schemas, lists, catalogue, sample messages."""

import json
from typing import Any

from mailflow.core.anomalies import catalogue
from mailflow.core.codes import code_lists
from mailflow.core.elements import meaning
from mailflow.core.form import HousingRequest
from mailflow.core.places import MUNICIPALITIES_FILE, TERRITORIES_FILE, content
from mailflow.core.shapes import WireModel, models_below
from mailflow.wire.samples import sample_files
from mailflow.wire.samples.forms import family_form
from mailflow.wire.xsd import EXTENSION_FILE, INTERFACE_FILE, extension_schema, interface_schema


def published() -> dict[str, bytes]:
    """Every file, by its path under `schemas/`."""
    return {
        INTERFACE_FILE: interface_schema(),
        EXTENSION_FILE: extension_schema(),
        "codes.json": _json(_codes()),
        "anomalies.json": _json(_anomalies()),
        "communes.csv": content(MUNICIPALITIES_FILE),
        "territoires.csv": content(TERRITORIES_FILE),
        "demandeLogement.schema.json": _json(json_schema(HousingRequest)),
        "exemples/creation/demandeLogement.json": _json(_as_json(family_form())),
        **{f"exemples/{path}": octets for path, octets in sample_files().items()},
    }


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
            **({"retry": entry.retry} if entry.retry else {}),
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
