"""What an attestation states that no request says and that changes by decree: landlords, mediation commissions.

An operator loads it (`mailflow reference load`). What is not known never holds up an answer: the attestation then
says where the applicant can learn it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailflow.core import places
from mailflow.core.numbers import is_municipality_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Landlord:
    """That somebody has social housing in a municipality."""

    municipality: str
    """INSEE code."""
    siren: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """The mediation commission of a département (article L. 441-2-3 CCH)."""

    department: str
    """`59`, `2A`, `974`. One territory may have several: Île-de-France has eight."""
    name: str
    address: str
    """Postal, on one line."""
    delay_months: int
    """Without a suitable offer for so long after the deposit, the applicant may seize it (prefect's order)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is known of some places."""

    edition: int = 1
    """Each loading makes a new one; what was issued names it."""
    landlords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of those that have social housing there, by INSEE code of the municipality."""
    commissions: Mapping[str, Commission] = field(default_factory=dict)
    """By département."""


def department_of(municipality: str) -> str | None:
    """The département of an INSEE code; None for what is none."""
    if not is_municipality_code(municipality):
        return None
    return municipality[: 3 if municipality.startswith("97") else 2]


def present_municipality(code: str) -> str:
    """The municipality that one of that INSEE code is part of today: reference data know no former ones."""
    known = places.municipality(code)
    return known.present if known else code
