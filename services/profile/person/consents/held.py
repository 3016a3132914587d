"""What is kept of consent on one record? The newest of each kind, so that order, repeats and merges change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from services.profile.person.consent_terms import ConsentTerms
from services.profile.person.consents.speech import (
    CONFIRMED,
    EVERY,
    GRANTED,
    NOTICE_SENT,
    PENDING,
    RECONFIRMED,
    REFUSED,
    WITHDRAWN,
    Statement,
    key_of,
    parts_of,
)

REQUESTS_MAX = 16
"""Requests of one kind that wait for confirmation, and confirmations by one channel: the newest are kept."""

SPOKEN_MAX = 8
"""Instants of statements of one kind whose results may still have to be told: the newest are kept."""

KEYS_MAX = 64
"""Purposes by channel on one record; of more, the first in the order of the alphabet, those that are defined first."""


class Said(Struct, array_like=True, gc=False):
    at_ms: int
    word: str
    source: str = ""
    wording: str = ""
    proof: str = ""
    token: str = ""


class Confirmation(Struct, array_like=True, gc=False):
    """Which request it confirms: any of its channel, or that of the token; of any purpose where it names none."""

    at_ms: int
    token: str = ""
    purpose: str = ""
    owes: bool = False


class Slot(Struct, array_like=True, gc=False):
    """One channel and purpose: the newest yes that needs nothing more, the newest no, and requests, newest first.

    `spoken` are the instants (Unix milliseconds) of statements whose result has to be told, newest first.
    """

    yes: Said | None = None
    no: Said | None = None
    asked: list[Said] = []
    spoken: list[int] = []


class Consents(Struct, array_like=True, gc=False):
    """`slots` by key (`email`, `sms:night`, `sms:*` for what speaks of all purposes), `confirmed` by channel (empty
    for what names none); `noticed` and `reconfirmed` are the newest instants by key.
    """

    slots: dict[str, Slot] = {}
    confirmed: dict[str, list[Confirmation]] = {}
    noticed: dict[str, int] = {}
    reconfirmed: dict[str, int] = {}


def take(held: Consents, said: Statement, terms: ConsentTerms) -> bool:
    """Keep a statement as far as it is news; says whether it was."""
    key = key_of(said.channel, said.purpose)
    if said.word == CONFIRMED:
        made = Confirmation(said.at_ms, said.token, said.purpose, said.owes)
        return _keep_confirmation(held, said.channel, made)
    if said.word == NOTICE_SENT:
        return _later(held.noticed, key, said.at_ms, terms)
    if said.word == RECONFIRMED:
        return _later(held.reconfirmed, key, said.at_ms, terms)
    if said.word not in (GRANTED, PENDING, WITHDRAWN, REFUSED):
        return False
    slot = held.slots.get(key)
    if slot is None:
        slot = held.slots[key] = Slot()
        if _crowded_out(held.slots, key, terms):
            return False
    text = Said(said.at_ms, said.word, said.source, said.wording, said.proof, said.token)
    return _say(slot, text, [said.at_ms] if said.owes else [])


def union(records: Sequence[Any], terms: ConsentTerms) -> Consents | None:
    """What all records of a person hold together, as if one had heard all of it; None where none holds anything."""
    if len(records) == 1:
        only: Consents | None = records[0].consents
        return only
    found = [each.consents for each in records if each.consents is not None]
    if len(found) < 2:
        return found[0] if found else None
    whole = Consents()
    for each in found:
        _absorb(whole, each, terms)
    return whole


def _absorb(whole: Consents, held: Consents, terms: ConsentTerms) -> None:
    for key, slot in held.slots.items():
        mine = whole.slots.setdefault(key, Slot())
        for said in (slot.yes, slot.no, *slot.asked):
            if said is not None:
                _say(mine, said, ())
        mine.spoken = _newest(mine.spoken, slot.spoken)
    while len(whole.slots) > KEYS_MAX:
        del whole.slots[_last(whole.slots, terms)]
    for channel, confirmations in held.confirmed.items():
        for each in confirmations:
            _keep_confirmation(whole, channel, each)
    for mine_at, theirs in ((whole.noticed, held.noticed), (whole.reconfirmed, held.reconfirmed)):
        for key, at_ms in theirs.items():
            _later(mine_at, key, at_ms, terms)


def _say(slot: Slot, said: Said, spoken: Sequence[int]) -> bool:
    fresh = _newest(slot.spoken, spoken) if spoken else slot.spoken
    changed = fresh != slot.spoken
    slot.spoken = fresh
    if said.word == PENDING:
        if said not in slot.asked:
            kept = sorted([*slot.asked, said], key=rank, reverse=True)[:REQUESTS_MAX]
            changed |= kept != slot.asked
            slot.asked = kept
    elif said.word == GRANTED:
        if slot.yes is None or rank(slot.yes) < rank(said):
            slot.yes, changed = said, True
    elif slot.no is None or rank(slot.no) < rank(said):
        slot.no, changed = said, True
    return changed


def rank(said: Said) -> tuple[int, str, str, str, str, str]:
    return said.at_ms, said.word, said.source, said.wording, said.proof, said.token


def _newest(mine: Sequence[int], more: Sequence[int]) -> list[int]:
    return sorted({*mine, *more}, reverse=True)[:SPOKEN_MAX]


def _keep_confirmation(held: Consents, channel: str, made: Confirmation) -> bool:
    known = held.confirmed.get(channel, [])
    if made in known:
        return False
    kept = sorted([*known, made], key=confirmation_rank, reverse=True)[:REQUESTS_MAX]
    if kept == known:
        return False
    held.confirmed[channel] = kept
    return True


def confirmation_rank(made: Confirmation) -> tuple[int, str, str, bool]:
    return made.at_ms, made.token, made.purpose, made.owes


def _later(held: dict[str, int], key: str, at_ms: int, terms: ConsentTerms) -> bool:
    known = held.get(key)
    if known is not None and known >= at_ms:
        return False
    held[key] = at_ms
    return known is not None or not _crowded_out(held, key, terms)


def _crowded_out(held: dict[str, Any], key: str, terms: ConsentTerms) -> bool:
    """Make room after `key` was added; says whether that is what had to go."""
    if len(held) <= KEYS_MAX:
        return False
    last = _last(held, terms)
    del held[last]
    return last == key


def _last(held: Iterable[str], terms: ConsentTerms) -> str:
    """The key that goes first. It depends on nothing but the keys, so that whoever stays was always there."""
    return max(held, key=lambda key: _place(key, terms))


def _place(key: str, terms: ConsentTerms) -> tuple[bool, str]:
    purpose = parts_of(key)[1]
    return purpose != EVERY and purpose not in terms.purposes, key
