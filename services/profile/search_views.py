"""Who is meant by what somebody typed? Rows in, a line per person out, and nothing that reaches them in full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from libs.common.db import Row
from services.profile.duplicates.portrait import Portrait
from services.profile.portraits import decoded
from services.profile.searching import KINDS, Word, masked_email, masked_phone
from services.profile.store import portraits as store

ANSWERS_MAX: Final = 50
_HITS_MAX: Final = 500
_SCANNED_MAX: Final = 3_000
_SHOWN_FROM: Final = 4 * ANSWERS_MAX
"""Of a single word only the first hits are looked at: enough for a page, whoever has several records."""


class Answer(NamedTuple):
    """People, and whether these are all who were meant."""

    people: list[dict[str, Any]]
    complete: bool


class _Hits(NamedTuple):
    """What each record was found by, by one word; `all` when nobody who has it was passed over."""

    word: Word
    records: dict[str, set[str]]
    all: bool


async def search(connection: Any, words: Sequence[Word], branch: str | None) -> Answer:
    """People who have every word, in one record or another; `branch` confines them to those whose home it is."""
    hits = [await _hits(connection, word, branch) for word in words]
    rarest = min(hits, key=lambda each: len(each.records))
    others = [each for each in hits if each is not rarest]
    records = list(rarest.records) if others else list(rarest.records)[:_SHOWN_FROM]
    rows = await store.people_of(connection, records, terms=not all(each.all for each in others)) if records else []
    people = []
    for _, group in groupby(rows, key=lambda row: row["person_id"]):
        held = list(group)
        if (branch is None or home_of(held) == branch) and all(_has(held, each) for each in others):
            people.append(shown(held) | {"matched": _matched(held, hits)})
    people.sort(key=lambda each: (each["name"] is None, len(each["name"] or ""), each["name"], each["customer_id"]))
    complete = rarest.all and len(records) == len(rarest.records) and len(people) <= ANSWERS_MAX
    return Answer(people[:ANSWERS_MAX], complete)


async def _hits(connection: Any, word: Word, branch: str | None) -> _Hits:
    sought = store.Sought(word.terms, word.cards, word.cards, word.phone_ends, word.keys)
    scanned = _HITS_MAX if branch is None else _SCANNED_MAX
    rows = await store.found(connection, sought, branch, scanned, _HITS_MAX)
    records: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        records[row["record_id"]].add(KINDS.get(row["what"], row["what"]))
    complete = len(rows) < _HITS_MAX and (not rows or rows[0]["looked_at"] < scanned)
    return _Hits(word, dict(records), complete)


def _has(held: Sequence[Row], hits: _Hits) -> bool:
    if any(row["record_id"] in hits.records for row in held):
        return True
    return not hits.all and any(term.startswith(hits.word.terms) for row in held for term in row["terms"] or ())


def _matched(held: Sequence[Row], hits: Iterable[_Hits]) -> list[str]:
    return sorted({what for each in hits for row in held for what in each.records.get(row["record_id"], ())})


def home_of(held: Sequence[Row]) -> str:
    """The home branch of a person by the rows of all their records, as the report on quality has it."""
    known = [row for row in held if row["branch"] is not None]
    known.sort(key=lambda row: (-row["branch_rank"], row["record_id"]))
    return known[0]["branch"] if known else ""


def shown(held: Sequence[Row]) -> dict[str, Any]:
    """A person in one line; `held` are the rows of all their records, the eldest first."""
    drawn = [decoded(row["body"]) for row in held if row["body"] is not None]
    first = _first_of([each.portrait for each in drawn])
    return {
        "customer_id": held[0]["person_id"],
        "name": next((each.name for each in drawn if each.name), None),
        "birth_year": first["birth"][:4] if len(first["birth"]) in (4, 8) else None,
        "phone": masked_phone(first["phone"]) or None,
        "email": masked_email(first["email"]) or None,
        "branch": home_of(held) or None,
    }


def _first_of(portraits: Sequence[Portrait]) -> Mapping[str, str]:
    fields = ("birth", "phone", "email")
    return {field: next((found for each in portraits if (found := getattr(each, field))), "") for field in fields}
