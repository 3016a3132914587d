"""Are units shared fairly, whoever comes and goes, and never believed to be ours against the row?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.common.lease import Holding, plan


def holdings(*owners: str | None, expired: tuple[int, ...] = ()) -> list[Holding]:
    return [Holding(unit, owner, 1, owner is not None and unit not in expired) for unit, owner in enumerate(owners)]


def test_a_process_alone_takes_all_free_units() -> None:
    assert plan("me", holdings(None, None, None), {}, alive=1).take == (0, 1, 2)


def test_two_processes_take_half_each() -> None:
    assert plan("me", holdings(None, None, None, None), {}, alive=2).take == (0, 1)
    done = plan("me", holdings("me", "me", "me", "me"), {0: 1, 1: 1, 2: 1, 3: 1}, alive=2)
    assert done.release == {2, 3}


def test_an_expired_lease_is_free_and_a_valid_one_is_not() -> None:
    assert plan("me", holdings("dead", "other", expired=(0,)), {}, alive=1).take == (0,)


def test_a_unit_whose_epoch_has_moved_on_is_lost() -> None:
    taken_again = [Holding(0, "me", 5, True)]
    assert plan("me", taken_again, {0: 4}, alive=1).lost == {0}


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=24), st.integers(1, 6))
def test_nobody_takes_more_than_the_share_or_what_is_held(owners: list[str | None], alive: int) -> None:
    rows = holdings(*owners)
    mine = {row.unit: 1 for row in rows if row.owner == "a"}
    found = plan("a", rows, mine, alive)
    share = -(-len(rows) // alive)
    kept = set(mine) - found.release - found.lost
    assert len(kept) + len(found.take) <= share
    assert all(rows[unit].owner is None for unit in found.take)
    assert len(kept) == min(len(mine), share)
