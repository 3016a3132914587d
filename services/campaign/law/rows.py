"""What does a row of the policy table say, once it has been read? Shapes that the judge goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from services.campaign.caps import Cap
from services.campaign.law.places import Places

SHIPPED_VERSION = 0
MARKETING_SCOPE = "marketing"
_FOUND_MAX = 20_000


class ConsentNeeded(Struct, frozen=True):
    """`scope` marketing is the consent by the channel itself, any other one for that purpose beside it.

    `months_max` is the age at which it does not count any more; 0 for none.
    """

    scope: str
    months_max: int = 0

    def key(self, channel: str) -> str:
        return channel if self.scope == MARKETING_SCOPE else f"{channel}:{self.scope}"


class Hours(Struct, frozen=True):
    """The open spans of seven days, Monday first, and of public holidays, where they differ.

    A spans is [from, to) in minutes since midnight, in pairs. With the consent `unless` they do not bind.
    """

    week: tuple[tuple[int, ...], ...]
    holidays: tuple[int, ...] | None = None
    unless: ConsentNeeded | None = None


class Row(Struct, frozen=True):
    """One thing that is asked for of messages of these classes by these channels to people in these places.

    A place is a country (ISO 3166), or a region of it such as US-TX. Whatever parts a row has must all be met.
    """

    id: str
    places: frozenset[str]
    classes: frozenset[str]
    channels: frozenset[str]
    source: str
    forbidden: bool = False
    consent: ConsentNeeded | None = None
    hours: Hours | None = None
    cap: Cap | None = None


class Table(Struct, frozen=True):
    """The rows in force. `version` is that of the company's document, 0 for the rows that ship."""

    version: int
    rows: Sequence[Row]
    by_message: Mapping[tuple[str, str], Sequence[Row]]
    """By class and channel: most rows have nothing to do with a message."""
    found: dict[tuple[str, str, Places], Sequence[Row]]
    """What was asked for before: there are many messages and few kinds of places."""

    def rows_for(self, class_: str, channel: str, places: Places) -> Sequence[Row]:
        """Those that bind a message of that kind to somebody who may be in any of these places."""
        asked = (class_, channel, places)
        rows = self.found.get(asked)
        if rows is None:
            if len(self.found) >= _FOUND_MAX:
                self.found.clear()
            kind = self.by_message.get((class_, channel), ())
            rows = self.found[asked] = tuple(row for row in kind if any(map(places.has, row.places)))
        return rows


def table_of(version: int, rows: Sequence[Row]) -> Table:
    by_message: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for class_ in row.classes:
            for channel in row.channels:
                by_message.setdefault((class_, channel), []).append(row)
    return Table(version, tuple(rows), by_message, {})
