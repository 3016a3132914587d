"""Which rules are copies from the library, and of which text? The notes beside their versions say so."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from libs.common.documents import Connection
from services.rules.library.shelf import ReadySegment, Trigger

_BEGINS: Final = "From the library: "
_NOTE: Final = re.compile(rf"{_BEGINS}([a-z0-9-]{{3,64}}), text ([0-9a-f]{{12}})\b")


class Copy(NamedTuple):
    """A rule that was made from a trigger; `version` is the one by which it last took over a text of it."""

    rule: str
    version: int
    trigger: str
    text: str


def note_of(copied: Trigger | ReadySegment) -> str:
    """What stands beside a version that holds this text; whoever takes it over by hand writes the same."""
    return f"{_BEGINS}{copied.id}, text {copied.text}"


async def copies(connection: Connection) -> list[Copy]:
    """In the order of the rules' ids."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (id) id, version, note FROM document
        WHERE kind = 'rule' AND starts_with(note, $1) ORDER BY id, version DESC
        """,
        _BEGINS,
    )
    found = [(row, _NOTE.match(row["note"])) for row in rows]
    return [Copy(row["id"], row["version"], note[1], note[2]) for row, note in found if note is not None]
