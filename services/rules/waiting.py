"""For which customers of a unit does something wait? Each is asked about once, and then known.

All of them at once would be a million names to load before a unit that was taken over can go on.
"""

from __future__ import annotations

from collections.abc import Collection

from libs.common.db import Tx
from services.rules import store

KNOWN_MAX = 50_000


class Waiting:
    """Kept up by whoever saves a state. Whom nobody has asked about for longest is forgotten first."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._known: dict[str, bool] = {}
        self._known_max = known_max

    async def learn(self, tx: Tx, customer_ids: Collection[str]) -> None:
        """Afterwards `in` answers about these."""
        unknown = [each for each in customer_ids if each not in self._known]
        if not unknown:
            return
        if len(self._known) + len(unknown) > self._known_max:
            # Of those who are asked about now, the known ones must stay known.
            kept = {each: self._known[each] for each in customer_ids if each in self._known}
            self._known = dict(list(self._known.items())[self._known_max // 2 :]) | kept
        found = await store.waiting_among(tx, unknown)
        self._known.update((each, each in found) for each in unknown)

    def note(self, customer_id: str, waits: bool) -> None:
        self._known[customer_id] = waits

    def __contains__(self, customer_id: str) -> bool:
        return self._known[customer_id]
