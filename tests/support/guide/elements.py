"""The tables of elements: type, number, presence, meaning and example of each, from the models, rules and samples."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from lxml import etree

from mailflow.core.elements import meaning
from mailflow.core.form import (
    MOTIVES_MAX,
    PLACES_MAX,
    Address,
    Contact,
    Employment,
    Handicap,
    PaidResource,
    ReceivedResource,
    TaxIncome,
)
from mailflow.core.lexical import AMOUNT, AREA, COUNT, DAY, MOMENT, TRUTH, YEAR
from mailflow.core.rules.persons import DEPENDANTS_MAX
from mailflow.core.shapes import FieldShape, WireModel, shape_of
from mailflow.wire.acknowledgement import ACKNOWLEDGEMENT, RECEPTION, Acknowledgement, Reception
from mailflow.wire.catalogue import published
from mailflow.wire.codec import read
from mailflow.wire.envelope import ROOT, AnomalyElement, InterfaceFile
from mailflow.wire.management import MANAGEMENT, ManagementFile
from tests.support.guide.markdown import anchor, table
from tests.support.guide.presence import EXPECTED, MANDATORY, OPTIONAL, presence

TYPES = {
    DAY: "date",
    MOMENT: "instant",
    TRUTH: "`true` ou `false`",
    COUNT: "nombre entier",
    YEAR: "année",
    AMOUNT: "montant",
    AREA: "surface",
}
AT_MOST = {"detailMotif": MOTIVES_MAX, "localisationSouhaite": PLACES_MAX, "personneACharge": DEPENDANTS_MAX}
DOCUMENTS: dict[str, type[WireModel]] = {
    ROOT: InterfaceFile,
    ACKNOWLEDGEMENT: Acknowledgement,
    RECEPTION: Reception,
    MANAGEMENT: ManagementFile,
}
"""By their root element."""

_FORM = "demande/demandeLogement"
_PERSONS = f"{_FORM}/personnePhysique"
_WRITTEN_BY_DESKS = (_FORM, "demande/radiation")
SECTIONS = {
    "": "Le fichier",
    "demande": "La demande",
    "demande/radiation": "La radiation",
    _FORM: "Le formulaire",
    f"{_PERSONS}/demandeur": "Le demandeur",
    f"{_PERSONS}/coDemandeur": "Le codemandeur",
    f"{_PERSONS}/listePersonneACharge/personneACharge": "Une personne à charge",
    f"{_FORM}/personneMorale": "L'association",
    f"{_FORM}/logementActuel": "Le logement actuel",
    f"{_FORM}/logementRecherche": "Le logement recherché",
}
"""Of `interfaceNuu`, by the path of what each tells of; an element is told in the innermost one."""
SHARED: dict[type[WireModel], str] = {
    Contact: "Coordonnées",
    Address: "Adresse",
    Employment: "Situation professionnelle",
    TaxIncome: "Revenu fiscal",
    ReceivedResource: "Ressource reçue",
    PaidResource: "Pension versée",
    Handicap: "Complément handicap",
    AnomalyElement: "Anomalie",
}
"""What stands in several places is told once, unless something inside it is asked for there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One element or attribute."""

    path: str
    """From the root element, which is left out, without indexes."""
    model: type[WireModel]
    """Which declares it."""
    shape: FieldShape

    @property
    def inside(self) -> str:
        """Where its own children stand."""
        return f"{self.path}/{self.shape.items.name}" if self.shape.items else self.path


def walk(model: type[WireModel], path: str, enter: Callable[[Row], bool]) -> Iterator[Row]:
    """Every field below `path`, attributes first, and what is inside those that `enter` allows."""
    for shape in sorted(shape_of(model), key=lambda shape: shape.attribute is None):
        name = f"@{shape.wire_name}" if shape.attribute else shape.wire_name
        row = Row(path=f"{path}/{name}".strip("/"), model=model, shape=shape)
        yield row
        if shape.model is not None and enter(row):
            yield from walk(shape.model, row.inside, enter)


def of_file() -> str:
    """`interfaceNuu`, section by section."""
    rows: dict[str, list[Row]] = {section: [] for section in SECTIONS}
    for row in walk(InterfaceFile, "", lambda row: row.shape.model not in SHARED or _is_asked_for(row)):
        rows[max((one for one in SECTIONS if _is_below(row.path, one)), key=len)].append(row)
    return "\n".join(_section(title, rows[section], section, with_presence=True) for section, title in SECTIONS.items())


def of_shared() -> str:
    """What stands in several places."""
    return "\n".join(
        _section(title, walk(model, "", lambda row: row.shape.model not in SHARED), "", with_presence=False)
        for model, title in SHARED.items()
    )


def of_receipts() -> str:
    """What is in our namespace: the receipts, and questions with their answers."""
    return "\n".join(
        _section(title, walk(DOCUMENTS[root], "", lambda row: row.shape.model not in SHARED), "", with_presence=False)
        for root, title in (
            (ACKNOWLEDGEMENT, "L'accusé"),
            (RECEPTION, "L'accusé technique"),
            (MANAGEMENT, "La gestion"),
        )
    )


def _section(title: str, rows: Iterable[Row], base: str, *, with_presence: bool) -> str:
    lines = []
    rows = list(rows)
    for row in rows:
        said = _presence(row) if with_presence else ""
        # The members of a list are named with it where nothing in this table stands inside them.
        path = row.path if any(_is_below(other.path, row.inside) for other in rows) else row.inside
        line = [f"`{path.removeprefix(base).lstrip('/')}`", _kind(row), _number(row.shape, said == MANDATORY)]
        lines.append([*line, *filter(None, [said]), meaning(row.model, row.shape.wire_name), _example(row)])
    head = ["élément", "type", "nombre", *(["présence"] if with_presence else []), "sens", "exemple"]
    return f"### {title}\n\n{table(head, lines)}"


def _is_below(path: str, section: str) -> bool:
    return not section or path.startswith(f"{section}/")


def _is_asked_for(row: Row) -> bool:
    """Whether something inside this element is mandatory or expected."""
    told = presence().items()
    return any(path.startswith(f"{row.inside}/") and said in (MANDATORY, EXPECTED) for path, said in told)


# Columns


def _presence(row: Row) -> str:
    """As the samples show it. What none of them has is not missed where a desk writes, else comes from the service."""
    return presence().get(row.path, OPTIONAL if row.path.startswith(_WRITTEN_BY_DESKS) else "réponse")


def _kind(row: Row) -> str:
    shape = row.shape
    if shape.coded is not None:
        listed = shape.coded.code_list
        return f"[code](codes.md#{anchor(listed)})" if listed else "code INSEE"
    if shape.model is not None:
        word = "liste" if shape.items else "groupe"
        title = SECTIONS.get(row.inside) or ("" if _is_asked_for(row) else SHARED.get(shape.model, ""))
        return f"[{word}](#{anchor(title)})" if title else word
    if shape.written is not None:
        return TYPES[shape.written]
    assert shape.text is not None
    return f"texte, {shape.text.max_length}"


def _number(shape: FieldShape, mandatory: bool) -> str:
    most = AT_MOST.get(shape.items.name if shape.items else "", "n") if shape.repeated else 1
    return "1" if mandatory and most == 1 else f"{int(mandatory)} à {most}"


def _example(row: Row) -> str:
    """A value from the samples, of this very place when they have one."""
    if row.shape.model is not None:
        return ""
    by_path, by_name = _examples()
    names = [(declaring.__name__, row.shape.wire_name) for declaring in row.model.__mro__]
    here = by_path.get((row.model.__name__, row.path))
    found = here or next((by_name[name] for name in names if name in by_name), None)
    assert found, f"no sample has a {row.path}"
    return f"`{found}`"


@cache
def _examples() -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """The first value in our samples by model and path, as documents share paths, and by a model and its name."""
    by_path: dict[tuple[str, str], str] = {}
    by_name: dict[tuple[str, str], str] = {}

    def collect(model: WireModel, path: str) -> None:
        for row in walk(type(model), path, lambda _: False):
            value = getattr(model, row.shape.attribute_name)
            for one in value if row.shape.repeated else (value,):
                if isinstance(one, WireModel):
                    collect(one, row.inside)
                elif one is not None:
                    by_path.setdefault((type(model).__name__, row.path), _written(one))
                    for declaring in type(model).__mro__:
                        by_name.setdefault((declaring.__name__, row.shape.wire_name), _written(one))

    for name, content in sorted(published().items()):
        if name.endswith(".xml"):
            root = etree.fromstring(content)
            tag = etree.QName(root).localname
            collect(read(root, DOCUMENTS[tag], "")[0], "")
    return by_path, by_name


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
