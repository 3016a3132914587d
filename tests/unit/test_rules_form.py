"""Is the number of the form raised whenever states that were written before could not be read any more?"""

from __future__ import annotations

import msgspec

from services.rules.engine import state
from services.rules.engine.state import FORM, State
from tests.unit.test_profile_form import shape_of

SHAPES = {1: ["3be147b582717a68"]}
"""The checksums of the shapes of a state by their number, the newest last. Those of one number read each other."""
FIRST = msgspec.msgpack.encode(
    [
        "c1",
        "p1",
        1_772_000_000_000,
        b"{}",
        ["c1", "c2"],
        {7: [1_772_600_000_000, {739_000: [2]}, 739_000]},
        {"some-rule": [1_772_600_000_000, [1_772_000_000_000]]},
        {"a-wait": [1_772_600_000_000, [[0, 1, 2, "e1", 1, 0, 1, {"first.x": 1}]], [[0, 1, 2]]]},
        {5: 1_772_172_800_000},
        {"a-run": [1_772_600_000_000, 1, [[[1, 2, 0, "e2", {}]], []], {9: 1}]},
        {"a-date": [1, 2, 1, 3, 4, 0, 5, 6, "e3", 0, 7, "2026-03-01", False, 0, {}]},
    ]
)
"""A state as the first release that had numbers wrote it."""


def test_the_number_of_the_form_is_raised_with_every_change_that_cannot_be_read() -> None:
    found = shape_of(State)
    assert SHAPES[FORM][-1] == found, (
        f"The shape of State is not the one that was known by the number {FORM}. If a field was added at the end of a"
        f" struct, with a default, append {found!r} to its checksums here. Otherwise raise FORM in"
        " services/rules/engine/state.py, so that rules learn anew what was packed before."
    )


def test_what_the_first_release_of_this_form_wrote_can_be_read() -> None:
    held = state.decode(FIRST)
    assert held.aggregates[7].panes == {739_000: [2]}
    assert held.absences["a-wait"].waits[0].first == {"first.x": 1}
    assert held.sequences["a-run"].steps[0][0].event_id == "e2"
    assert held.appointments["a-date"].basis == "2026-03-01"
    assert held.changes == {} and held.memberships == {}


def test_a_release_before_can_read_what_has_a_field_more() -> None:
    longer = msgspec.msgpack.decode(FIRST)
    longer += [{}, {}, "of a later release"]
    assert state.decode(msgspec.msgpack.encode(longer)).customer_id == "c1"
