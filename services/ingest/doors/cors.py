"""From which pages may a browser speak to a door? The preflight before any key is known, and the headers of answers.

A preflight carries no key, so it is answered by what all browser keys allow together; which of them the page really
uses is seen on the request itself, and there the key's own origins count (`Reception.key_of`). Without a browser key
that limits its origins there is nothing to keep to.
"""

from __future__ import annotations

import re
from typing import Final

from services.ingest.doors.front import Door
from services.ingest.doors.visit import Reply, Visit
from services.ingest.keys.book import KeyBook, WriteKey
from services.ingest.registry import Registry

MAX_AGE_SECONDS: Final = 600
METHODS: Final = b"GET, POST, OPTIONS"

_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}\Z")
_REMEMBERED_MAX: Final = 10_000
_ORIGIN_BYTES_MAX: Final = 512
_Headers = tuple[tuple[bytes, bytes], ...]


class Origins:
    """Which origins may send anything at all, by the keys that hold right now."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._book: KeyBook | None = None
        self._keys: list[WriteKey] = []
        self._known: dict[bytes, bool] = {}

    def allow(self, origin: bytes) -> bool:
        if self._book is not self._registry.keys:
            self._book = self._registry.keys
            self._keys = [key for key in self._book if key.is_browser]
            self._known = {}
        if len(origin) > _ORIGIN_BYTES_MAX:
            return False
        allowed = self._known.get(origin)
        if allowed is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            allowed = not self._keys or any(key.may_be_used_from(origin) for key in self._keys)
            self._known[origin] = allowed
        return allowed


class CrossOrigin:
    """A door that browsers may come to from other origins."""

    def __init__(self, door: Door, origins: Origins) -> None:
        self._door = door
        self._origins = origins

    async def answer(self, visit: Visit) -> Reply | None:
        origin = visit.head.origin
        if not origin:
            return await self._door.answer(visit)
        allowed = self._origins.allow(origin)
        if visit.method == "OPTIONS" and visit.header(b"access-control-request-method"):
            return _preflight(visit, origin) if allowed else Reply(403, b"text/plain", b"This origin may not send.")
        if allowed:
            # On refusals too, or else a page could not tell them from a broken line and would send the same again.
            visit.answer_headers = _of_answers(origin)
        return await self._door.answer(visit)


def _of_answers(origin: bytes) -> _Headers:
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"Retry-After"),
        (b"vary", b"Origin"),
    )


def _preflight(visit: Visit, origin: bytes) -> Reply:
    headers: _Headers = (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    )
    # Clients add headers of their own from version to version; none of them means anything to us but the key's.
    asked = visit.header(b"access-control-request-headers")
    if _HEADER_NAMES.match(asked):
        headers = (*headers, (b"access-control-allow-headers", asked))
    return Reply(200, b"text/plain", b"", headers)
