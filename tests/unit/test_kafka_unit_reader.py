"""What does a reader say of its unit before it is connected? Nothing, and that is no trouble."""

from __future__ import annotations

from libs.common.kafka import UnitReader


async def test_a_reader_that_is_still_connecting_knows_of_no_lag() -> None:
    """The page of figures asks while a unit recovers."""
    reader = UnitReader("127.0.0.1:9", 0, ["a.b.v1"], aside="a.dead-letter.v1", prefix="")

    assert reader.lag("a.b.v1", 5) is None

    await reader.stop()
