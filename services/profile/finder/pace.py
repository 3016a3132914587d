"""How much of a process may go into looking for duplicates? Half of its time at rest, a tenth while events wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SHARE: Final = 0.5
SHARE_BEHIND: Final = 0.1
BEHIND_MESSAGES: Final = 1_000


class Pace:
    """`lag` says how many messages wait for the workers of this process."""

    def __init__(self, lag: Callable[[], int]) -> None:
        self._lag = lag

    def rest_seconds(self, busy_seconds: float) -> float:
        """How long to leave the process to others after having been busy."""
        share = SHARE_BEHIND if self._lag() > BEHIND_MESSAGES else SHARE
        return busy_seconds * (1 - share) / share
