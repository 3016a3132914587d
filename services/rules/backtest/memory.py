"""What does a backtest remember of customers? Their states: some as they are, the others packed, within a bound."""

from __future__ import annotations

from collections.abc import Iterator

from services.rules.engine import state
from services.rules.engine.state import State

UNPACKED_SHARE = 0.25
"""How much of the bound states may take as they are; one that rests is packed beyond that."""
_UNPACKED_BYTES = 1_500
_UNPACKED_TIMES = 28
"""A state takes so many times the bytes of its packed form where it is made of panes of small numbers, else less."""
_WEIGHED_EVERY = 8
"""A state grows by one event at a time: to weigh it each time would cost more than that event."""
_BESIDE_BYTES = 250
"""What a packed state costs beside its own bytes: its key, and its place in a dictionary."""


Packed = tuple[str, bytes]
"""A customer's id and packed state."""


class MemoryFull(Exception):
    """More is to be remembered than was allowed."""


class States:
    """The states of all customers that a rule took notice of. `bytes_max` bounds what they take, by an estimate."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._unpacked: dict[str, State] = {}
        self._weights: dict[str, int] = {}
        self._unpacked_bytes = 0
        self._packed: dict[str, bytes] = {}
        self._packed_bytes = 0
        self._swept_bytes = 0
        self._in_hand = ""
        self._laid_down = 0
        self._now_ms = 0

    def __len__(self) -> int:
        return len(self._unpacked) + len(self._packed)

    @property
    def bytes(self) -> int:
        return self._packed_bytes + self._unpacked_bytes + _BESIDE_BYTES * len(self)

    def own(self, customer_id: str) -> State:
        """To be changed until the next is asked for; a customer of whom nothing is known yet is remembered from now
        on.
        """
        if customer_id != self._in_hand:
            self._lay_down()
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
        self._in_hand = customer_id
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
        self._unpacked_bytes -= self._weights.pop(customer_id, 0)
        self._packed_bytes -= len(self._packed.pop(customer_id, b""))

    def packed(self) -> Iterator[Packed]:
        """All of whom something can matter still; nothing is remembered afterwards."""
        for customer_id, held in self._unpacked.items():
            held.sweep()
            if not self._has_ended(held):
                yield customer_id, state.encode(held)
        yield from self._packed.items()

    def settle(self, now_ms: int, beside_bytes: int = 0) -> None:
        """Called between events: when it is much, drop what has ended by now; MemoryFull.

        `beside_bytes` is what is remembered elsewhere and counts as well.
        """
        self._now_ms = now_ms
        self._lay_down(weigh=True)
        if self._packed_bytes > 2 * self._swept_bytes + (1 << 24) or self.bytes + beside_bytes > self._bytes_max:
            self._drop_ended()
            self._swept_bytes = self._packed_bytes
        if self.bytes + beside_bytes > self._bytes_max:
            raise MemoryFull(
                f"more is to be remembered of {len(self):,} customers than {self._bytes_max >> 20:,} MB hold"
            )

    def _lay_down(self, *, weigh: bool = False) -> None:
        """Weigh what may have grown since it was handed out, and pack what has rested where it is too much."""
        held = self._unpacked.get(self._in_hand)
        self._laid_down += 1
        weigh = weigh or self._laid_down % _WEIGHED_EVERY == 0
        if held is None or (not weigh and self._in_hand in self._weights):
            return
        # The profile is one piece of bytes, packed or not.
        weight = _UNPACKED_BYTES + _UNPACKED_TIMES * (len(state.encode(held)) - len(held.profile)) + len(held.profile)
        self._unpacked_bytes += weight - self._weights.get(self._in_hand, 0)
        self._weights[self._in_hand] = weight
        bound = UNPACKED_SHARE * self._bytes_max
        if self._unpacked_bytes > bound:
            self._pack(bound / 2)

    def _pack(self, bytes_kept: float) -> None:
        for customer_id in list(self._unpacked):
            if self._unpacked_bytes <= bytes_kept:
                break
            held = self._unpacked.pop(customer_id)
            self._unpacked_bytes -= self._weights.pop(customer_id)
            held.sweep()
            if not self._has_ended(held):
                body = self._packed[customer_id] = state.encode(held)
                self._packed_bytes += len(body)

    def _drop_ended(self) -> None:
        """As the live engine does: of a customer nothing is kept when nothing of it can matter any more."""
        for customer_id in [each for each, body in self._packed.items() if self._has_ended(state.decode(body))]:
            self.forget(customer_id)

    def _has_ended(self, held: State) -> bool:
        return not held.waiting and held.until_ms < self._now_ms
