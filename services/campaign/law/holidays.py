"""Which days are public holidays of a place? By the library that keeps their lists. Pure."""

from __future__ import annotations

from datetime import date
from functools import lru_cache


def holidays_between(first: date, last: date, country: str, region: str) -> tuple[date, ...]:
    """In the order of time, both ends included; `region` is a subdivision such as TX, or empty."""
    years = range(first.year, last.year + 1)
    return tuple(each for year in years for each in _holidays(year, country, region) if first <= each <= last)


@lru_cache(maxsize=4_096)
def _holidays(year: int, country: str, region: str) -> tuple[date, ...]:
    # Imported here because it takes a tenth of a second, and few tables ask for it.
    import holidays

    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        return ()
    subdivision = region if region in known[country] else None
    return tuple(sorted(holidays.country_holidays(country, subdiv=subdivision, years=year)))
