"""What have colleagues written down about a customer? Only people see it; rules and the history never do."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, keep_newest, mark_of, newest_of, text_of
from services.profile.person.occurrence import Occurrence

NOTES_MAX: Final = 20
NOTE_LENGTH_MAX: Final = 1_000
BY_API: Final = "dangol/api/"


class Note(Statement, array_like=True, order=True, frozen=True, gc=False):
    author: str
    text: str


class Retracted(Statement, array_like=True, order=True, frozen=True, gc=False):
    author: str


class Notes(Struct, array_like=True, gc=False):
    """The newest notes by their id; older ones stand in the timeline alone."""

    held: dict[str, Note] = {}
    retracted: dict[str, Retracted] = {}


def _written(held: Notes, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    text = text_of(event.data.get("note"), NOTE_LENGTH_MAX)
    return bool(text) and keep_newest(held.held, _id(event), Note(event.at_ms, _author(event), text), NOTES_MAX)


def _taken_back(held: Notes, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    name = text_of(event.data.get("note_id"))
    return bool(name) and keep_newest(held.retracted, name, Retracted(event.at_ms, _author(event)), 5 * NOTES_MAX)


def _id(event: Occurrence) -> str:
    """Ids of our own are unique; two channels may give the same one."""
    return event.id if event.source.startswith(BY_API) else mark_of(f"{event.source}\x00{event.id}")


def _author(event: Occurrence) -> str:
    if event.source.startswith(BY_API):
        return event.source[len(BY_API) :][:100]
    return text_of(event.data.get("author"), 100) or event.source[:100]


def notes_of(records: Records) -> list[dict[str, Any]]:
    """The newest first; of one that was taken back it stays known that it was there, and who took it back."""
    held = [each.notes for each in records if each.notes is not None]
    retracted = newest_of(each.retracted for each in held)
    notes = newest_of(each.held for each in held)
    return [
        _shown_note(name, note, retracted.get(name))
        for name, note in sorted(notes.items(), key=lambda each: (each[1], each[0]), reverse=True)
    ]


def _shown_note(name: str, note: Note, retracted: Retracted | None) -> dict[str, Any]:
    return {
        "note_id": name,
        "note": note.text if retracted is None else None,
        "author": note.author,
        "at": from_ms(note.at_ms),
        "retracted_at": from_ms(retracted.at_ms) if retracted is not None else None,
        "retracted_by": retracted.author if retracted is not None else None,
    }


def _shown(records: Records, at: Moment) -> list[dict[str, Any]] | None:
    del at
    return notes_of(records) or None


NOTES = Chapter(
    "notes",
    reads=("notes",),
    keeps="notes",
    state=Notes,
    effects={"note.added": _written, "note.retracted": _taken_back},
    shown=_shown,
)
