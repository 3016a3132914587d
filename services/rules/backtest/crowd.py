"""How many different customers went by? Exact for ten thousands, within one percent beyond, in little room."""

from __future__ import annotations

import zlib

KEPT_MAX = 1 << 16


class Crowd:
    """Keeps the checksums of which the lowest bits are zero, of ever more bits the more there are. The same customers
    give the same count, in whatever order and however often they come."""

    __slots__ = ("_kept", "_mask")

    def __init__(self) -> None:
        self._kept: set[int] = set()
        self._mask = 0

    def add(self, customer_id: str) -> None:
        self.note(customer_id.encode())

    def knows(self, key: bytes) -> bool:
        """Whether to note this one would change nothing."""
        number = zlib.crc32(key)
        return bool(number & self._mask) or number in self._kept

    def note(self, key: bytes) -> None:
        """A customer by the bytes of the id."""
        number = zlib.crc32(key)
        if number & self._mask:
            return
        self._kept.add(number)
        if len(self._kept) > KEPT_MAX:
            self._mask = self._mask << 1 | 1
            self._kept = {each for each in self._kept if not each & self._mask}

    def count(self) -> int:
        return len(self._kept) * (self._mask + 1)
