"""Which definitions count in this process? Looked for once a second, switched whole, never back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from libs.common.db import Database
from libs.common.watching import Watcher
from services.profile.person import Definitions
from services.profile.store import definitions as store


def shapes() -> dict[str, type[msgspec.Struct]]:
    """The subjects that can be defined, with the shape of each: the parts of `Definitions`."""
    return {
        each.name: each.type
        for each in msgspec.structs.fields(Definitions)
        if isinstance(each.type, type) and issubclass(each.type, msgspec.Struct)
    }


def made(number: int, bodies: Mapping[str, bytes], zone: ZoneInfo) -> Definitions:
    """What counts after a change; msgspec.ValidationError when a body does not fit.

    A subject that this code does not know, for a newer one wrote it, changes nothing here.
    """
    known = shapes()
    defined: dict[str, Any] = {
        subject: msgspec.json.decode(body, type=known[subject]) for subject, body in bodies.items() if subject in known
    }
    return Definitions(number=number, zone=zone, **defined)


async def defined_at(connection: Any, zone: ZoneInfo, number: int | None = None) -> Definitions:
    """The definitions that count now, or that counted after the change `number`."""
    return made(*await store.in_force(connection, number), zone)


class Defining(Watcher):
    """Keeps the newest definitions; what does not fit is not taken, and what was taken before goes on counting."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        super().__init__("definitions")
        self._database = database
        self._zone = zone
        self._current = Definitions(zone=zone)

    def in_force(self) -> Definitions:
        return self._current

    async def refresh(self) -> None:
        async with self._database.connection() as connection:
            if not self._is_newer(await store.number(connection), self._current.number):
                return
            number, bodies = await store.in_force(connection)
        try:
            found = made(number, bodies, self._zone)
        except msgspec.ValidationError as error:
            self._refuse(f"number {number} does not fit: {error}")
            return
        if found.number > self._current.number:
            self._current, self._trouble = found, ""
            self._log.info("definitions_in_use", number=number, subjects=sorted(bodies))
