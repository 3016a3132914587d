"""What may owners define about the quality of data? What should be known, how long it is fresh, when mail is dead."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct, field

_EXPECTED: Final = {
    "name": ["name", "full_name", "first_name", "last_name"],
    "email": ["email"],
    "phone": ["phone", "mobile", "tel"],
    "address": ["address", "street", "postal_code", "zip"],
    "birth": ["birth_date", "birth_year", "age"],
    "gender": ["gender"],
    "language": ["language", "locale"],
}


class QualityTerms(Struct, frozen=True):
    """`expected` says what should be known of everybody, each by any of some traits; contact points count as known.

    Who has not confirmed for `fresh_days` where they can be reached is stale. An address at which mail bounced for
    now on `soft_bounces_max` days without arriving in between counts as dead.
    """

    expected: Annotated[dict[str, list[str]], Meta(max_length=50)] = field(default_factory=lambda: {**_EXPECTED})
    fresh_days: Annotated[int, Meta(ge=1, le=36_500)] = 365
    soft_bounces_max: Annotated[int, Meta(ge=1, le=10)] = 5
