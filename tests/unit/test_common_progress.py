"""Does a unit know repeats, and does its clock stand still while anything upstream has not spoken?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import progress
from libs.common.progress import Progress


def test_a_repeat_is_known_by_origin_and_number() -> None:
    at = Progress()
    assert not at.is_repeat("t", "w/0", 1)
    assert at.is_repeat("t", "w/0", 1)
    assert not at.is_repeat("t", "w/1", 1)
    assert not at.is_repeat("other", "w/0", 1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_an_origin_that_starts_again_anywhere_has_no_second_effect(runs: Sequence[int], data: st.DataObject) -> None:
    """An origin publishes 1..n, and after each failure again from some number that it had published before."""
    at, effects, reached = Progress(), [], 0
    for length in runs:
        start = data.draw(st.integers(1, reached + 1))
        for number in range(start, max(reached, start) + length):
            if not at.is_repeat("t", "w/0", number):
                effects.append(number)
            reached = max(reached, number)
    assert effects == list(range(1, reached + 1))


def test_the_clock_waits_for_every_origin() -> None:
    at = Progress()
    at.note_mark("t", "w/0", 500)
    assert at.advance_clock(["t"], {}, units=2) == 0
    at.note_mark("t", "w/1", 300)
    assert at.advance_clock(["t"], {}, units=2) == 300


def test_the_clock_of_a_log_is_now_at_its_end_and_the_last_message_before() -> None:
    at = Progress()
    at.note_read("t", 7, 100)
    assert at.advance_clock([], {"t": None}, units=2) == 100
    assert at.advance_clock([], {"t": 900}, units=2) == 900


@given(st.lists(st.tuples(st.sampled_from(["w/0", "w/1"]), st.integers(1, 50))))
def test_the_clock_never_goes_back(marks: Sequence[tuple[str, int]]) -> None:
    at, before = Progress(), 0
    for origin, mark in marks:
        at.note_mark("t", origin, mark)
        now = at.advance_clock(["t"], {}, units=2)
        assert now >= before
        before = now


def test_progress_survives_its_row() -> None:
    at = Progress(seq=4)
    at.is_repeat("t", "w/0", 3)
    at.note_mark("t", "w/0", 5)
    at.note_read("t", 9, 8)
    assert progress.decode(progress.encode(at)) == at


def test_a_stamp_reads_back_and_anything_else_is_refused() -> None:
    assert progress.read_stamp(progress.stamp("profile.apply/3", 42)) == ("profile.apply/3", 42)
    with pytest.raises(ValueError, match="invalid literal"):
        progress.read_stamp(b"nonsense")
