"""Is what a window will hold if nothing happens the same that the engine would then add up, and found without haste?"""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from services.rules.document import language
from services.rules.document.language import Measure, Over, Rule
from services.rules.engine.aggregates import Gauge, bounds_of
from services.rules.engine.state import Aggregate, State
from services.rules.explaining.weighing import weigh
from services.rules.explaining.wording import pane as said

TODAY = 739_937
AHEAD = 110
OVERS = [{"last": "7d"}, {"last": "2mo"}, {"last": "5d", "skip": "4d"}, {"calendar": "month"}, {"calendar": "week"}]
WIDTHS = {"count": 1, "sum": 1, "average": 2, "min": 1, "max": 1, "last": 2}


def measured(of: str, over: dict[str, str]) -> tuple[Gauge, Measure]:
    field = None if of == "count" else "event.amount"
    measure = Measure(of=of, event="visit", over=Over(**over), field=field)  # type: ignore[arg-type]
    return Gauge(measure, a_rule(), None), measure


def a_rule() -> Rule:
    return language.decode(
        b'{"id": "some-rule", "name": "x", "when": {"type": "event", "event": "visit"}, "emit": {"trigger": "a.b"}}'
    )


def parts_of(of: str) -> st.SearchStrategy[list[int]]:
    if of == "distinct":
        return st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True)
    low = 1 if of in ("count", "average") else -5
    return st.lists(st.integers(low, 5), min_size=WIDTHS[of], max_size=WIDTHS[of])


@settings(max_examples=100, deadline=None)
@given(of=st.sampled_from([*WIDTHS, "distinct"]), over=st.sampled_from(OVERS), data=st.data())
def test_what_is_said_of_later_days_is_what_the_engine_would_find_then(
    of: str, over: dict[str, str], data: st.DataObject
) -> None:
    gauge, measure = measured(of, over)
    panes = st.dictionaries(st.integers(TODAY - 40, TODAY + 2), parts_of(of), max_size=6)
    views = [State(name, aggregates={gauge.key: Aggregate(panes=data.draw(panes))}) for name in ("own", "linked")]
    wanted = data.draw(st.sampled_from([0.000_001, 1.0, 3.0]))
    bounds = bounds_of(measure)
    newest = gauge.newest(views, TODAY)
    days = range(newest, newest + AHEAD + 1)
    later = list(zip(days, gauge.values(views, [bounds(pane) for pane in days]), strict=True))
    found = weigh(gauge, measure, bounds, views, TODAY, wanted)
    value = later[0][1]
    assert found.value == value
    if value is not None and value >= wanted:
        assert found.falls_below == next((said(at, "d") for at, each in later if each is None or each < wanted), None)
    elif of in ("count", "sum", "distinct"):
        fallen = (said(at - 1, "d") for at, each in later if (each or 0) < (value or 0))
        assert found.reach_by == next(fallen, None)
    for each in found.panes:
        at = next(at for view in views for at in view.aggregates[gauge.key].panes if said(at, "d") == each.pane)
        assert [each.worth] == gauge.values(views, [(at, at)])


class Counted(list[int]):
    """The values of a day, and how often they were gone through."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        return super().__iter__()


def test_each_day_of_a_year_is_gone_through_a_few_times_and_not_for_each_day_ahead() -> None:
    gauge, measure = measured("distinct", {"last": "365d"})
    days = {TODAY - day: Counted(range(3)) for day in range(365)}
    views = [State("c", aggregates={gauge.key: Aggregate(panes={**days})})]
    found = weigh(gauge, measure, bounds_of(measure), views, TODAY, 1.0)
    assert (found.value, found.falls_below) == (3, said(TODAY + 365, "d"))
    assert 0 < max(each.times for each in days.values()) <= 4


def test_ahead_is_looked_only_where_that_is_wanted() -> None:
    gauge, measure = measured("count", {"last": "7d"})
    views = [State("c", aggregates={gauge.key: Aggregate(panes={TODAY: [2]})})]
    near = weigh(gauge, measure, bounds_of(measure), views, TODAY, 3.0, looks_ahead=False)
    far = weigh(gauge, measure, bounds_of(measure), views, TODAY, 3.0)
    assert (near.value, near.reach_by, near.panes[0].leaves) == (2, None, None)
    assert (far.value, far.reach_by, far.panes[0].leaves) == (2, said(TODAY + 6, "d"), said(TODAY + 7, "d"))
