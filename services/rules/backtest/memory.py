"""What does a backtest remember of customers? Their states: some as they are, the others packed, within a bound."""

from __future__ import annotations

from services.rules import state
from services.rules.state import State

UNPACKED_MAX = 20_000
_UNPACKED_BYTES = 4_000
_BESIDE_BYTES = 250
"""What a packed state costs beside its own bytes: its key, and its place in a dictionary."""


class MemoryFull(Exception):
    """More is to be remembered than was allowed."""


class States:
    """The states of all customers that a rule took notice of. `bytes_max` bounds what they take, by an estimate."""

    def __init__(self, bytes_max: int, unpacked_max: int = UNPACKED_MAX) -> None:
        self._bytes_max = bytes_max
        self._unpacked_max = unpacked_max
        self._unpacked: dict[str, State] = {}
        self._packed: dict[str, bytes] = {}
        self._packed_bytes = 0
        self._swept_bytes = 0

    def __len__(self) -> int:
        return len(self._unpacked) + len(self._packed)

    @property
    def bytes(self) -> int:
        beside = _BESIDE_BYTES * len(self)
        return self._packed_bytes + beside + _UNPACKED_BYTES * len(self._unpacked)

    def own(self, customer_id: str) -> State:
        """To be changed; a customer of whom nothing is known yet is remembered from now on."""
        held = self._unpacked.pop(customer_id, None)
        if held is None:
            body = self._packed.pop(customer_id, None)
            if body is None:
                held = State(customer_id)
            else:
                self._packed_bytes -= len(body)
                held = state.decode(body)
        # At the end: what was not touched for longest is the first to be packed.
        self._unpacked[customer_id] = held
        return held

    def look(self, customer_id: str) -> State:
        """To be read alone."""
        held = self._unpacked.get(customer_id)
        if held is not None:
            return held
        body = self._packed.get(customer_id)
        return State(customer_id) if body is None else state.decode(body)

    def forget(self, customer_id: str) -> None:
        self._unpacked.pop(customer_id, None)
        self._packed_bytes -= len(self._packed.pop(customer_id, b""))

    def settle(self, now_ms: int, beside_bytes: int = 0) -> None:
        """Called between events: pack what has rested, and when it is much, drop what has ended by now; MemoryFull.

        `beside_bytes` is what is remembered elsewhere and counts as well.
        """
        if len(self._unpacked) > self._unpacked_max:
            self._pack(now_ms, self._unpacked_max // 2)
        if self._packed_bytes > 2 * self._swept_bytes + (1 << 24) or self.bytes + beside_bytes > self._bytes_max:
            self._drop_ended(now_ms)
            self._swept_bytes = self._packed_bytes
        if self.bytes + beside_bytes > self._bytes_max:
            raise MemoryFull(
                f"more is to be remembered of {len(self):,} customers than {self._bytes_max >> 20:,} MB hold"
            )

    def _pack(self, now_ms: int, kept: int) -> None:
        for customer_id in list(self._unpacked)[: len(self._unpacked) - kept]:
            held = self._unpacked.pop(customer_id)
            held.sweep()
            if not _has_ended(held, now_ms):
                body = self._packed[customer_id] = state.encode(held)
                self._packed_bytes += len(body)

    def _drop_ended(self, now_ms: int) -> None:
        """As the live engine does: of a customer nothing is kept when nothing of it can matter any more."""
        for customer_id in [each for each, body in self._packed.items() if _has_ended(state.decode(body), now_ms)]:
            self.forget(customer_id)


def _has_ended(held: State, now_ms: int) -> bool:
    return not held.waiting and held.until_ms < now_ms
