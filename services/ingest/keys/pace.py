"""How fast may one key send? A bucket that is refilled all the time, and may be overdrawn once. Pure."""

from __future__ import annotations

from typing import Final

BURST_SECONDS: Final = 2.0
BURST_MIN: Final = 100.0


class Pace:
    """`events_per_second` on average, with a burst of two seconds' worth and of a hundred events at least.

    A request is let in while anything is left, and pays for its events when their number is known; what it overdraws
    is waited for by the next one. Instants are seconds of a clock that never goes back.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, events_per_second: float) -> None:
        self._rate = events_per_second
        self._burst = max(BURST_MIN, BURST_SECONDS * events_per_second)
        self._left = self._burst
        self._at: float | None = None

    def wait_seconds(self, at: float) -> float:
        """How long until a request is let in again; 0 when it is let in now."""
        self._refill(at)
        return 0.0 if self._left >= 1 else (1 - self._left) / self._rate

    def charge(self, events: int, at: float) -> None:
        self._refill(at)
        self._left -= events

    def go_on_from(self, before: Pace) -> None:
        """A new rate forgives no debt and gives no second burst."""
        self._left, self._at = min(before._left, self._burst), before._at

    def _refill(self, at: float) -> None:
        if self._at is not None:
            self._left = min(self._burst, self._left + (at - self._at) * self._rate)
        self._at = at
