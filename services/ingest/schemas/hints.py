"""Which known names resemble one that is not known? Quick also among thousands, because anybody may misspell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_COMPARED_LENGTH_MAX: Final = 60
_CANDIDATES: Final = 12
_BITS: Final = 1024


class Hints:
    """Compares in full only with the names that share most pairs of letters."""

    __slots__ = ("_known",)

    def __init__(self, known: Iterable[str]) -> None:
        self._known = [(_pairs(name), name) for name in sorted(known) if len(name) <= _COMPARED_LENGTH_MAX]

    def nearest(self, name: str) -> str:
        """A hint such as ` Nearest: purchase, refund.`; empty when nothing resembles the name."""
        if len(name) > _COMPARED_LENGTH_MAX:
            return ""
        found = get_close_matches(name, self.candidates(name), n=3, cutoff=0.5)
        return f" Nearest: {', '.join(found)}." if found else ""

    def candidates(self, name: str) -> list[str]:
        """The few known names that are worth a comparison in full."""
        candidates = [known for _, known in self._known]
        if len(candidates) > _CANDIDATES:
            wanted = _pairs(name)
            shared = sorted((-(pairs & wanted).bit_count(), known) for pairs, known in self._known)
            candidates = [known for _, known in shared[:_CANDIDATES]]
        return candidates


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint for a list that is short, or asked once."""
    return Hints(known).nearest(name)


def _pairs(name: str) -> int:
    """The pairs of neighbouring letters as bits of a number."""
    bits = 0
    for first, second in zip(name, name[1:], strict=False):
        bits |= 1 << ((ord(first) * 31 + ord(second)) % _BITS)
    return bits
