"""Legal days: which day it is in Paris, and how long a request is active."""

from calendar import monthrange
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")


def legal_day(instant: datetime) -> date:
    """The calendar day in Paris at `instant`, which must be aware."""
    assert instant.tzinfo is not None
    return instant.astimezone(PARIS).date()


def anniversary(day: date, years: int = 1) -> date:
    """The same day `years` later (or earlier); 29 February falls on the 28th where there is no 29th."""
    year = day.year + years
    if (day.month, day.day) == (2, 29):
        try:
            return date(year, 2, 29)
        except ValueError:
            return date(year, 2, 28)
    return day.replace(year=year)


def a_year_before(day: date) -> date:
    """The last day whose anniversary has come on `day`: after a leap year 28 February is also that of the 29th."""
    before = anniversary(day, -1)
    after = before + timedelta(days=1)
    return after if anniversary(after) <= day else before


def months_later(day: date, months: int) -> date:
    """The same day of the month `months` later; the last one of a month that has no such day."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def active_through(deposited_or_renewed_on: date) -> date:
    """The last day, inclusive, on which a request is active: the anniversary of deposit or last renewal."""
    return anniversary(deposited_or_renewed_on)


def is_active_on(day: date, deposited_or_renewed_on: date) -> bool:
    """Whether a request deposited or last renewed then is active on `day`, as far as time goes."""
    return day <= active_through(deposited_or_renewed_on)
