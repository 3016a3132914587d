"""Do the figures of a campaign's report agree with what was published of real experiments?"""

from __future__ import annotations

from decimal import Decimal
from math import inf, isinf
from random import Random

import pytest

from services.campaign.results import branches, comparing, intervals, ratio, sequential
from services.campaign.results.branches import Branch
from services.campaign.results.comparing import Arm
from services.campaign.results.intervals import Sample

# Wilson intervals in Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I.
SHARES = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]

# Newcombe, "Interval estimation for the difference between independent proportions" (1998), table II, method 10.
DIFFERENCES = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


def sample(values: list[float]) -> Sample:
    return Sample(len(values), sum(values), sum(value * value for value in values))


def hits(hit: int, count: int) -> Sample:
    return Sample(count, hit, hit)


@pytest.mark.parametrize(("hit", "count", "low", "high"), SHARES)
def test_the_interval_of_a_share_is_the_published_one(hit: int, count: int, low: float, high: float) -> None:
    found = intervals.share(hit, count)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(("hit", "count", "beside", "count_beside", "low", "high"), DIFFERENCES)
def test_the_interval_of_a_difference_is_the_published_one(
    hit: int, count: int, beside: int, count_beside: int, low: float, high: float
) -> None:
    found = intervals.difference_of_shares(hit, count, beside, count_beside)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_heart_attacks_under_aspirin_have_the_published_ratio() -> None:
    # Physicians' Health Study: 189 of 11,034 without, 104 of 11,037 with aspirin (log ratio 0.598, its error 0.1213).
    found = intervals.ratio_of_shares(189, 11_034, 104, 11_037)
    assert (round(found.estimate, 2), round(found.low, 2), round(found.high, 2)) == (1.82, 1.43, 2.31)


def test_the_sleep_of_student_has_the_published_interval() -> None:
    # Student (1908), as computed by R's t.test: -3.3654832 to 0.2054832.
    one = sample([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    other = sample([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = intervals.difference_of_means(one, other)
    assert found.low == pytest.approx(-3.3654832, abs=1e-6)
    assert found.high == pytest.approx(0.2054832, abs=1e-6)


def test_neighbours_who_are_told_make_people_vote() -> None:
    # Gerber, Green and Larimer (2008): 29.7 % of 191,243 left alone, 37.8 % of 38,201 with the neighbours' mailing.
    treated, alone = hits(round(0.378 * 38_201), 38_201), hits(round(0.297 * 191_243), 191_243)
    counts = (int(treated.total), treated.count, int(alone.total), alone.count)
    once, always = intervals.difference_of_shares(*counts), sequential.difference(treated, alone)
    assert round(once.estimate, 3) == 0.081
    assert 0.075 < once.low < 0.081 < once.high < 0.087
    assert always.low < once.low
    assert once.high < always.high
    assert always.excludes_zero


def test_uneven_groups_are_noticed_as_published() -> None:
    # Fabijan et al. (2019): 821,588 and 815,482 users of a test that was meant to be even; p = 1.8e-6.
    found = ratio.check([821_588, 815_482], [1, 1])
    assert found.p_value == pytest.approx(1.8e-6, rel=0.05)
    assert found.fails


def test_groups_as_planned_raise_no_alarm() -> None:
    assert not ratio.check([191_243, 38_218, 38_204, 38_218, 38_201], [5, 1, 1, 1, 1]).fails
    assert ratio.check([0, 0], [9, 1]).p_value == 1.0


def test_a_ratio_without_a_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="positive weight"):
        ratio.check([10, 10], [1, 0])


def test_minimum_wages_and_jobs_have_the_published_difference_in_differences() -> None:
    # Card and Krueger (1994), table 3: full-time equivalents 20.44 to 21.03 in New Jersey, 23.33 to 21.17 beside it.
    found = branches.difference_in_differences([Branch("nj", 20.44, 21.03)], [Branch("pa", 23.33, 21.17)])
    assert found.estimate == pytest.approx(2.75, abs=0.01)
    assert isinf(found.low)
    assert isinf(found.high)


def test_branches_drawn_anew_cover_the_truth_as_often_as_they_say() -> None:
    chance, covered, rounds = Random(5), 0, 200
    for each in range(rounds):
        shared = chance.gauss(0, 3)
        treated = [Branch(f"t{n}", 10.0, 10 + shared + 2 + chance.gauss(0, 1)) for n in range(20)]
        control = [Branch(f"c{n}", 30.0, 30 + shared + chance.gauss(0, 1)) for n in range(20)]
        found = branches.difference_in_differences(treated, control, seed=each)
        covered += found.low <= 2 <= found.high
    assert 0.88 <= covered / rounds <= 0.99


def test_each_branch_is_matched_with_the_likest_that_is_free() -> None:
    pairs, distances = branches.match(
        {"a": [10, 11], "b": [10, 12]}, {"x": [10, 11], "y": [20, 20], "a": [10, 11], "z": [1]}
    )
    assert pairs == {"a": "x", "b": "y"}
    assert distances["a"] == 0


def looks(effect: float, seed: int) -> tuple[bool, bool]:
    """Whether a test that is looked at every day is ever called, by the interval for one look and by that for all."""
    chance = Random(seed)
    sums = {True: [0, 0], False: [0, 0]}
    once = always = False
    for _ in range(50):
        for treated, held in sums.items():
            held[0] += 100
            held[1] += sum(chance.random() < 0.1 + effect * treated for _ in range(100))
        (count, hit), (count_beside, hit_beside) = sums[True], sums[False]
        once |= intervals.difference_of_shares(hit, count, hit_beside, count_beside).excludes_zero
        always |= sequential.difference(hits(hit, count), hits(hit_beside, count_beside)).excludes_zero
    return once, always


def test_looking_every_day_deceives_the_one_look_interval_and_not_the_one_for_all_times() -> None:
    found = [looks(0.0, seed) for seed in range(200)]
    assert sum(once for once, _ in found) > 0.15 * 200
    assert sum(always for _, always in found) <= 0.05 * 200


def test_a_true_effect_is_found_by_the_interval_for_all_times() -> None:
    found = [looks(0.04, seed) for seed in range(40)]
    assert sum(always for _, always in found) > 0.9 * 40


def test_nothing_is_claimed_of_a_handful() -> None:
    found = sequential.difference(hits(20, 20), hits(0, 20))
    assert (found.low, found.high) == (-inf, inf)


def newsletter(treated: int, alone: int, margin: float, cost: str) -> comparing.Report:
    """One in ten buys because of it, one in twenty anyway; `margin` is what one of the first leaves."""
    bought, anyway = treated // 10, alone // 20
    return comparing.compare(
        Arm(
            treated,
            9,
            {"purchase": hits(bought, treated)},
            _spent(bought, treated, 20),
            _spent(bought, treated, margin),
        ),
        Arm(alone, 1, {"purchase": hits(anyway, alone)}, _spent(anyway, alone, 20), _spent(anyway, alone, 4)),
        Decimal(cost),
        planned_total=treated + alone,
    )


def _spent(buyers: int, count: int, amount: float) -> Sample:
    return Sample(count, buyers * amount, buyers * amount * amount)


def test_a_lively_response_below_its_cost_is_reported_as_a_loss() -> None:
    found = newsletter(180_000, 20_000, margin=4, cost="60000")
    assert found.goals["purchase"].always.low > 0
    assert found.money.revenue.low > 0
    assert found.money.surely_loses
    assert found.money.return_ is not None
    assert found.money.return_.high < 0
    assert not found.ratio.fails


def test_the_same_response_above_its_cost_is_a_gain() -> None:
    found = newsletter(180_000, 20_000, margin=4, cost="18000")
    assert found.money.result.low > 0
    assert not found.money.surely_loses


def test_a_response_that_is_bought_by_discounts_is_no_gain_even_without_cost() -> None:
    found = newsletter(180_000, 20_000, margin=0.5, cost="0")
    assert found.money.surely_loses
    assert found.money.return_ is None
