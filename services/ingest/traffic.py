"""Is there a customer behind these events, or a crawler, a monitor, a test? They are flagged and go on all the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

BOT: Final = "bot"
TEST: Final = "test"

_REMEMBERED_MAX: Final = 4_096
_LOOKED_AT_BYTES: Final = 512
"""A longer name costs no more than this; what names a crawler stands within it."""
_CHUNK: Final = 25
"""Patterns in one expression: the engine is fastest with few dozens."""
_LIBRARY: Final = "http-library"

# Drivers of browsers, and monitors, that the list does not name.
_MORE: Final = ("Cypress", "HtmlUnit", "jsdom", "WebDriver", "Datadog", "NewRelicPinger", "Catchpoint")
# What apps on telephones speak by, with a customer at the other end.
_OF_APPS: Final = frozenset({"okhttp", "HttpUrlConnection"})


class _Patterns(NamedTuple):
    crawlers: tuple[re.Pattern[str], ...]
    libraries: tuple[re.Pattern[str], ...]


class Traffic:
    """A component: reading the list of crawlers takes a tenth of a second, so it is done before the doors open."""

    def __init__(self) -> None:
        self._patterns: _Patterns | None = None
        self._known: dict[tuple[bytes, bool], str] = {}

    async def start(self) -> None:
        self._patterns = await asyncio.to_thread(_compiled)

    async def stop(self) -> None:
        """Nothing was left open."""

    def kind_of(self, user_agent: bytes, *, browser: bool) -> str:
        """`bot`, or nothing. `browser` says that the caller came with a browser's key.

        Every browser names itself, so whatever uses its key without a name is a program. A server that passes events
        on is a program by right: there an HTTP library, or no name, says nothing of the visitor.
        """
        place = (user_agent[:_LOOKED_AT_BYTES], browser)
        kind = self._known.get(place)
        if kind is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            kind = self._known[place] = self._looked_up(*place)
        return kind

    def _looked_up(self, user_agent: bytes, browser: bool) -> str:
        name = user_agent.decode("latin-1").strip()
        if not name:
            return BOT if browser else ""
        if self._patterns is None:
            self._patterns = _compiled()
        crawlers, libraries = self._patterns
        wanted = (*crawlers, *libraries) if browser else crawlers
        return BOT if any(pattern.search(name) for pattern in wanted) else ""


def _compiled() -> _Patterns:
    # Reads its list when it is imported, which no other service needs.
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA as LISTED  # type: ignore[import-untyped]

    libraries = [each["pattern"] for each in LISTED if _LIBRARY in each.get("tags", ())]
    libraries = [each for each in libraries if each not in _OF_APPS]
    crawlers = [each["pattern"] for each in LISTED if _LIBRARY not in each.get("tags", ())]
    return _Patterns(_in_chunks([*crawlers, *map(re.escape, _MORE)]), _in_chunks(libraries))


def _in_chunks(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile("|".join(patterns[at : at + _CHUNK])) for at in range(0, len(patterns), _CHUNK))
