"""Is whoever is in at a small ramp still in at every larger one, for rules and for campaigns?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaign.policy import evaluate
from services.rules.engine import firing
from tests.campaign_situations import campaign, situation

Within = Callable[[str, str, int], bool]


class _Rule:
    """What `within_ramp` looks at."""

    def __init__(self, id: str, ramp_percent: int) -> None:
        self.id = id
        self.ramp_percent = ramp_percent


def rule_counts(id: str, person: str, percent: int) -> bool:
    return firing.within_ramp(_Rule(id, percent), person)  # type: ignore[arg-type]


def campaign_counts(id: str, person: str, percent: int) -> bool:
    asked = situation(person_id=person, campaign=campaign(id=id, ramp_percent=percent))
    return evaluate(asked).outcome == "contact"


both = pytest.mark.parametrize("counts", [rule_counts, campaign_counts], ids=["rules", "campaigns"])


@both
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=40), st.data())
def test_who_is_in_at_a_small_ramp_is_in_at_every_larger_one(
    counts: Within, id: str, person: str, data: st.DataObject
) -> None:
    small = data.draw(st.integers(0, 100))
    large = data.draw(st.integers(small, 100))
    assert counts(id, person, large) or not counts(id, person, small)
    assert counts(id, person, 100) and not counts(id, person, 0)


@both
def test_a_ramp_lets_in_its_share_and_other_people_for_each_document(counts: Within) -> None:
    people = [f"person-{number}" for number in range(4_000)]
    for percent in (1, 5, 25):
        share = sum(counts("spring", each, percent) for each in people) / len(people)
        assert share == pytest.approx(percent / 100, abs=0.02)
    first = {each for each in people if counts("spring", each, 25)}
    second = {each for each in people if counts("summer", each, 25)}
    assert len(first & second) / len(first) == pytest.approx(0.25, abs=0.06), (
        "nobody is always the first to be tried on"
    )
