"""Where may a person be, by what is known of them, and what time is it there? Every candidate counts. Pure.

What they say of themselves, `country` and `region`, settles it. Else the country of their telephone number and that
of their zone are both candidates; of somebody of whom nothing is known, the company's own. A zone that is known is
theirs; else every zone of the candidate countries is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files

import phonenumbers
from msgspec import Struct

from libs.common.local_hours import zone_of

_NORTH_AMERICA = 1
_INSTANTS = [datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(weeks=each) for each in range(570)]
"""From before the oldest history to ten years on: zones whose clocks agree week by week are one."""


class Whereabouts(Struct, frozen=True):
    """What is known: a country and region that were named, the country of the number, a zone (IANA)."""

    country: str = ""
    region: str = ""
    phone_country: str = ""
    zone: str = ""


class Places(Struct, frozen=True):
    """Candidates: `countries` and, where one is known, the `region` (as US-TX); names of `zones`."""

    countries: tuple[str, ...]
    zones: tuple[str, ...]
    region: str = ""

    def has(self, place: str) -> bool:
        """A region binds whoever is there, and whoever may be, their region not being known."""
        country, _, region = place.partition("-")
        if country not in self.countries:
            return False
        return not region or not self.region.startswith(f"{country}-") or self.region == place


@lru_cache(maxsize=65_536)
def places_of(known: Whereabouts, company_zone: str) -> Places:
    zone = known.zone if zone_of(known.zone) is not None else ""
    countries = _countries(known.country, known.phone_country, zone) or countries_in(company_zone)
    zones = (zone,) if zone else tuple(each for country in countries for each in zones_of(country))
    return Places(countries, zones or (company_zone,), _region(known.region, countries))


def country_of_phone(number: str) -> str:
    """Of a number in E.164; empty where it cannot be told."""
    code = _code_of(number)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    if len(regions) == 1:
        return regions[0] if regions[0].isalpha() else ""
    if not regions:
        return ""
    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return ""
    return found or ("US" if code == _NORTH_AMERICA else regions[0])


def country_code(text: object) -> str:
    """Two capital letters, whatever case they were written in; empty for anything else."""
    code = text.strip().upper() if isinstance(text, str) else ""
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""


def region_code(text: object) -> str:
    code = text.strip().upper() if isinstance(text, str) else ""
    return code if code.isascii() and 1 <= len(code) <= 6 and code.replace("-", "").isalnum() else ""


def countries_in(zone: str) -> tuple[str, ...]:
    """The countries whose clocks the table of zones shows to be that zone's; empty for one of no country."""
    return _tables()[1].get(zone, ())


@cache
def zones_of(country: str) -> tuple[str, ...]:
    """One of each kind of clock: many zones of large countries have differed in times long past alone."""
    found: dict[tuple[timedelta | None, ...], str] = {}
    for name in _tables()[0].get(country, ()):
        zone = zone_of(name)
        if zone is not None:
            found.setdefault(tuple(each.astimezone(zone).utcoffset() for each in _INSTANTS), name)
    return tuple(found.values())


def _countries(named: str, phone: str, zone: str) -> tuple[str, ...]:
    if named:
        return (named,)
    found = dict.fromkeys([phone] if phone else [])
    # A number's country among those of the zone says which of them it is.
    of_zone = countries_in(zone)
    found.update(dict.fromkeys(() if phone in of_zone else of_zone))
    return tuple(found)


def _region(known: str, countries: Sequence[str]) -> str:
    """As US-TX, where it is written so, or as TX for the one country that counts."""
    if not known or "-" in known:
        return known
    return f"{countries[0]}-{known}" if len(countries) == 1 else ""


@lru_cache(maxsize=65_536)
def _code(prefix: str) -> int:
    for length in (1, 2, 3):
        code = int(prefix[:length] or 0)
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code
    return 0


def _code_of(number: str) -> int:
    digits = number[1:4]
    return _code(digits) if number.startswith("+") and digits.isascii() and digits.isdigit() else 0


@cache
def _tables() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Zones by country and countries by zone, as the database of zones itself lists them; old names as their new ones.

    A zone that several countries share by now has a name for each of them: whoever lives in Oslo has that of Oslo.
    """
    zones: dict[str, tuple[str, ...]] = {}
    countries: dict[str, tuple[str, ...]] = {}
    for line in (files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            zones[code] = (*zones.get(code, ()), zone)
            countries[zone] = (code,)
    for line in (files("tzdata") / "zoneinfo" / "tzdata.zi").read_text("utf-8").splitlines():
        if line.startswith("L "):
            _, zone, old = line.split(" ")
            countries.setdefault(old, countries.get(zone, ()))
    return zones, countries
