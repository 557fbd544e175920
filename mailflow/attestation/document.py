"""What stands on an attestation, from what was registered and what is known of the places sought. Pure.

Its first page states what articles L. 441-2-1 and R. 441-2-4 CCH ask for; the annexes are the summary of the request,
the steps to come and the supporting documents, and what finds no room on the first page.
"""

from dataclasses import dataclass, field
from typing import Any

from mailflow.attestation import wording
from mailflow.attestation.blocks import Block, bullets, heading, paragraph
from mailflow.attestation.summary import address_lines, municipality_name, summary
from mailflow.attestation.typography import displayable, french, written
from mailflow.core import calendar
from mailflow.core.attested import Attested
from mailflow.core.canary import is_canary_number
from mailflow.core.codes import code_lists
from mailflow.core.form import HousingRequest, Person
from mailflow.core.model import Environment
from mailflow.core.numbers import UniqueNumber
from mailflow.core.reference import Commission, Reference, department_of, present_municipality

LANDLORDS_CHARACTERS_MAX = 700
"""A longer list of landlords goes into an annex."""
COMMISSIONS_MAX = 2
"""More of them go into an annex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """One attestation to be typeset."""

    number: UniqueNumber
    attested: Attested = field(repr=False)
    reference: Reference
    environment: Environment

    @property
    def mark(self) -> str | None:
        """What says that it is worth nothing; None of a real one."""
        if self.environment is Environment.SCHOOL:
            return wording.SCHOOL_MARK
        return wording.CANARY_MARK if is_canary_number(self.number) else None


def places_of(form: HousingRequest) -> tuple[str, ...]:
    """INSEE codes of the municipalities sought, in the applicant's order, each once."""
    sought = form.sought.places if form.sought else ()
    return tuple(dict.fromkeys(place.municipality for place in sought if place.municipality))


def content(attestation: Attestation) -> dict[str, Any]:
    """All that the template sets, as JSON values."""
    attested = attestation.attested
    title = french(wording.REGISTRATION if attested.renewed_on is None else wording.RENEWAL)
    mark = attestation.mark
    page = _FrontPage(attestation)
    return {
        "title": title,
        "document_title": french(wording.MARKED_TITLE, mark=mark, title=title) if mark else title,
        "service": wording.SERVICE,
        "keywords": [attestation.number],
        "mark": french(mark) if mark else None,
        "mark_notice": french(wording.MARKED_NOTICE, mark=mark) if mark else None,
        "introduction": french(wording.INTRODUCTION),
        "number_label": french(wording.NUMBER),
        "number": attestation.number,
        "cards": [
            {"title": wording.APPLICANT, "lines": _applicant_lines(attested.form)},
            {"title": wording.DESK, "lines": _desk_lines(attested)},
        ],
        "facts": _facts(attested),
        "columns": [page.left, page.right],
        "annexes": page.annexes,
        "footer": title,
        "page": wording.PAGE,
    }


def _facts(attested: Attested) -> list[dict[str, str]]:
    renewed = wording.NEVER_RENEWED if attested.renewed_on is None else written(attested.renewed_on)
    through = french(wording.INCLUSIVE, day=written(attested.expires_on))
    facts = (
        (wording.DEPOSITED, written(attested.deposited_on)),
        (wording.RENEWED, renewed),
        (wording.VALID_THROUGH, through),
    )
    return [{"title": french(title), "value": value} for title, value in facts]


def _applicant_lines(form: HousingRequest) -> list[str]:
    """Who asks, and where they live."""
    names: list[str] = []
    contact = None
    if person := form.person:
        names = [_name(one) for one in (person.applicant, person.co_applicant) if one]
        contact = person.applicant.contact if person.applicant else None
    elif association := form.association:
        names = [displayable(association.name or "")]
        contact = association.contact
    address = (contact.address or contact.mail_address) if contact else None
    lines = [line for line in names if line] + (address_lines(address) if address else [])
    return lines or [french(wording.NO_ADDRESS)]


def _name(person: Person) -> str:
    title = code_lists().lists["civilite"].get(person.title or "")
    words = (title.label if title else None, person.surname, person.first_name)
    name = displayable(" ".join(word for word in words if word))
    return french(wording.USED_NAME, name=name, used=displayable(person.used_name)) if person.used_name else name


def _desk_lines(attested: Attested) -> list[str]:
    return [displayable(attested.desk_name), displayable(attested.desk_address) or french(wording.NO_ADDRESS)]


class _FrontPage:
    """The two columns of the first page, and the annexes; what finds no room in a column goes into an annex."""

    def __init__(self, attestation: Attestation) -> None:
        self._attested = attestation.attested
        self._reference = attestation.reference
        self._places = places_of(self._attested.form)
        self._present = [present_municipality(place) for place in self._places]
        self.annexes: list[dict[str, Any]] = []
        self._annex(
            wording.ANNEX_SUMMARY,
            [paragraph(french(wording.SUMMARY_INTRODUCTION)), *summary(self._attested.form)],
        )
        self._annex(wording.ANNEX_STEPS, _steps(documents=len(self.annexes) + 2), breakable=False)
        self._annex(wording.ANNEX_DOCUMENTS, _documents(), breakable=False)
        self.left = [*self._landlords(), *self._validity()]
        self.right = [*self._mediation(), *self._progress()]

    def _annex(self, title: str, blocks: list[Block], *, breakable: bool = True) -> int:
        """Its number. One that is surely shorter than a page need not be parted between two."""
        number = len(self.annexes) + 1
        named = french(wording.ANNEX, n=number, title=title)
        self.annexes.append({"title": named, "blocks": blocks, "breakable": breakable})
        return number

    def _landlords(self) -> list[Block]:
        known = self._reference.landlords
        if not any(known.get(place) for place in self._present):
            text = [paragraph(french(wording.LANDLORDS_UNKNOWN))]
        else:
            names = {
                municipality_name(place): _names(known.get(present_municipality(place), ())) for place in self._places
            }
            lines = [french(wording.LANDLORDS_OF, municipality=place, landlords=said) for place, said in names.items()]
            text = [paragraph(french(wording.LANDLORDS_INTRODUCTION)), bullets(lines)]
            if sum(map(len, lines)) > LANDLORDS_CHARACTERS_MAX:
                parted = [block for place, said in names.items() for block in (heading(2, place), paragraph(said))]
                n = self._annex(wording.ANNEX_LANDLORDS, parted)
                text = [paragraph(french(wording.LANDLORDS_ANNEXED, n=n))]
        return [heading(2, french(wording.LANDLORDS)), *text]

    def _mediation(self) -> list[Block]:
        departments = list(dict.fromkeys(d for place in self._present if (d := department_of(place))))
        known = {d: self._reference.commissions[d] for d in departments if d in self._reference.commissions}
        blocks = [heading(2, french(wording.MEDIATION))]
        lines = [self._seizable(d, known.get(d)) for d in departments]
        if not known:
            blocks.append(paragraph(french(wording.MEDIATION_UNKNOWN)))
        elif len(lines) > COMMISSIONS_MAX:
            n = self._annex(wording.ANNEX_COMMISSIONS, [bullets(lines)])
            blocks.append(paragraph(french(wording.MEDIATION_ANNEXED, n=n)))
        else:
            delays = sorted({commission.delay_months for commission in known.values()})
            blocks.append(paragraph(french(wording.MEDIATION_DELAY, months=_months(delays))))
            blocks += [paragraph(line) for line in lines]
        blocks.append(paragraph(french(wording.MEDIATION_AT_ONCE)))
        blocks.append(bullets(map(french, wording.MEDIATION_CASES)))
        return blocks

    def _seizable(self, department: str, commission: Commission | None) -> str:
        if commission is None:
            return french(wording.MEDIATION_UNKNOWN_FROM, department=department)
        day = written(calendar.months_later(self._attested.deposited_on, commission.delay_months))
        name, address = displayable(commission.name), displayable(commission.address)
        return french(wording.MEDIATION_FROM, day=day, name=name, address=address)

    def _validity(self) -> list[Block]:
        day = written(self._attested.expires_on)
        return [
            heading(2, french(wording.VALIDITY)),
            *(paragraph(french(text, day=day)) for text in wording.VALIDITY_TEXT),
            heading(2, french(wording.ENDING)),
            paragraph(french(wording.ENDING_INTRODUCTION)),
            bullets(map(french, wording.ENDING_CASES)),
        ]

    def _progress(self) -> list[Block]:
        return [heading(2, french(wording.PROGRESS)), paragraph(french(wording.PROGRESS_TEXT))]


def _names(landlords: tuple[str, ...]) -> str:
    return ", ".join(map(displayable, landlords)) or french(wording.LANDLORDS_UNKNOWN_OF)


def _months(delays: list[int]) -> str:
    if len(delays) == 1:
        return french(wording.MONTHS, n=delays[0])
    return french(wording.MONTHS_BETWEEN, least=delays[0], most=delays[-1])


def _steps(documents: int) -> list[Block]:
    blocks = []
    for n, (title, text) in enumerate(wording.STEPS, 1):
        blocks += [heading(2, french(f"{n}. {title}")), paragraph(french(text, documents=documents))]
    return blocks


def _documents() -> list[Block]:
    blocks = [paragraph(french(wording.DOCUMENTS_INTRODUCTION))]
    for title, items in wording.DOCUMENTS:
        blocks += [heading(2, french(title)), bullets(map(french, items))]
    return blocks
