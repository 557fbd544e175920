"""What an attestation states that no request says and that changes by decree: landlords, mediation commissions.

An operator loads it (`mailflow reference load`). What is not known never holds up an answer: the attestation then
says where the applicant can learn it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailflow.core.numbers import is_municipality_code


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
    cases: tuple[str, ...] = ()
    """Cases in which it may be seized at once, in French; empty: those of the law."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is known of the places of some requests."""

    landlords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of those that have social housing there, by INSEE code of the municipality."""
    commissions: Mapping[str, Commission] = field(default_factory=dict)
    """By département."""


def department_of(municipality: str) -> str | None:
    """The département of an INSEE code; None for what is none."""
    if not is_municipality_code(municipality):
        return None
    return municipality[: 3 if municipality.startswith("97") else 2]
