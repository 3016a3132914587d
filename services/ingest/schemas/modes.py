"""How strictly is a source held to the tracking plan? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

Mode = Literal["enforce", "observe"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
DEFAULT: Final[Mode] = "enforce"
_REMEMBERED_MAX = 10_000


class SourceModes:
    """Modes by source or pattern, in which * stands for any characters.

    A source that is named exactly has that mode; else the pattern with the most letters besides * decides, and among
    equals the first by name. A source that nothing speaks of is in `enforce`.
    """

    __slots__ = ("_exact", "_patterns", "_remembered")

    def __init__(self, modes: Mapping[str, Mode] | None = None) -> None:
        self._exact = {source: mode for source, mode in (modes or {}).items() if "*" not in source}
        patterns = sorted((each for each in modes or {} if "*" in each), key=lambda each: (-_letters(each), each))
        self._patterns = [(each.split("*"), (modes or {})[each]) for each in patterns]
        self._remembered: dict[str, Mode] = {}

    def of(self, source: str) -> Mode:
        known = self._remembered.get(source)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            known = self._remembered[source] = self._find(source)
        return known

    def _find(self, source: str) -> Mode:
        if source in self._exact:
            return self._exact[source]
        return next((mode for parts, mode in self._patterns if matches(parts, source)), DEFAULT)


def _letters(pattern: str) -> int:
    return len(pattern) - pattern.count("*")


def matches(parts: Sequence[str], source: str) -> bool:
    """Whether the parts of a pattern, cut at its stars, stand in a name such as a source's in this order.

    By plain searches from the left, each once: many stars then cost no more than one.
    """
    first, *middle, last = parts
    if len(source) < len(first) + len(last) or not (source.startswith(first) and source.endswith(last)):
        return False
    position, end = len(first), len(source) - len(last)
    for part in middle:
        found = source.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
