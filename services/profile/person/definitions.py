"""What may the owners of a shop define about their customers? Everything that is a matter of opinion, with defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.identity.rules import IdentityRules
from services.profile.person.consent_terms import ConsentTerms
from services.profile.person.duplicate_terms import DuplicateTerms
from services.profile.person.measure_terms import Grades, Lifecycle, Rfm
from services.profile.person.points_terms import PointsTerms
from services.profile.person.quality_terms import QualityTerms
from services.profile.person.trait_terms import LifeStages, TraitTerms

_QUARTER_MS: Final = 900_000
_QUARTERS_SINCE_MS: Final = 315_532_800_000
"""Since 1980 every zone has differed from UTC by whole quarters of an hour."""


@lru_cache(maxsize=16_384)
def _day_of_quarter(zone: ZoneInfo, quarter: int) -> int:
    return from_ms(quarter * _QUARTER_MS).astimezone(zone).toordinal()


@lru_cache(maxsize=16_384)
def _start_of(zone: ZoneInfo, day: int) -> datetime:
    return (datetime.fromordinal(1) + timedelta(days=day - 1)).replace(tzinfo=zone).astimezone(UTC)


class Definitions(Struct, frozen=True):
    """The definitions in force, as one number of the documents says; `zone` is the company's (IANA)."""

    number: int = 0
    zone: ZoneInfo = ZoneInfo("Asia/Seoul")
    identity: IdentityRules = IdentityRules()
    consents: ConsentTerms = ConsentTerms()
    points: PointsTerms = PointsTerms()
    lifecycle: Lifecycle = Lifecycle()
    rfm: Rfm = Rfm()
    grades: Grades = Grades()
    life_stages: LifeStages = LifeStages()
    traits: TraitTerms = TraitTerms()
    quality: QualityTerms = QualityTerms()
    duplicates: DuplicateTerms = DuplicateTerms()

    def day_of(self, at_ms: int) -> int:
        """The day of an instant in the company's zone, as a proleptic Gregorian ordinal."""
        if at_ms >= _QUARTERS_SINCE_MS:
            return _day_of_quarter(self.zone, at_ms // _QUARTER_MS)
        return from_ms(at_ms).astimezone(self.zone).toordinal()

    def starts(self, day: int) -> datetime:
        """The instant (UTC) at which a day begins in the company's zone."""
        return _start_of(self.zone, day)
