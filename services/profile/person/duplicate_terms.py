"""What may owners define about customers who are probably one person? Whether anybody looks, and when to ask."""

from __future__ import annotations

from msgspec import Struct


class DuplicateTerms(Struct, frozen=True):
    """`enabled` lets the finder look at records that have changed, `automatic` lets it link what is sure.

    Probabilities: from `merge_probability` on two records are linked unasked, from `review_probability` on somebody is
    asked.
    """

    enabled: bool = True
    automatic: bool = True
    merge_probability: float = 0.99
    review_probability: float = 0.5
