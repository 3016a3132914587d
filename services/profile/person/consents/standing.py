"""How does it stand with the consents of a person on a day? The newest statement counts, of two at once the refusal."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from msgspec import Struct

from services.profile.person.chapter import Moment
from services.profile.person.consent_terms import MARKETING
from services.profile.person.consents.held import (
    Confirmation,
    Consents,
    Said,
    Slot,
    confirmation_rank,
    rank,
)
from services.profile.person.consents.speech import EVERY, GRANTED, PENDING, key_of, parts_of
from services.profile.person.definitions import Definitions

EXPIRED: Final = "expired"
LAST_DAY: Final = date.max.toordinal()


class Standing(Struct, frozen=True, gc=False):
    """`said` is the statement that decides, `granted` whether there may be contact by it.

    A night consent can be `status` granted and not count, where its channel's marketing consent is not there.
    `no_ms` is when it was last refused, and `confirmed` what confirmed the request that `said` is.
    """

    channel: str
    purpose: str
    status: str
    granted: bool
    said: Said
    no_ms: int | None = None
    confirmed: Confirmation | None = None
    expires_day: int | None = None


_NOTHING = Slot()


def standings(held: Consents, at: Moment) -> dict[str, Standing]:
    """By key, in the order of keys. What speaks of all purposes of a channel speaks of marketing at least."""
    found: dict[str, Standing] = {}
    for key in keys_of(held):
        standing = standing_of(held, key, at)
        if standing is not None:
            found[key] = standing
    return found


def keys_of(held: Consents) -> list[str]:
    """The keys of which anything was said, in their order."""
    slots = held.slots
    if len(slots) == 1:
        [only] = slots
        return [only.partition(":")[0] if only[-1] == EVERY else only]
    return sorted({key.partition(":")[0] if key[-1] == EVERY else key for key in slots})


def standing_of(held: Consents, key: str, at: Moment) -> Standing | None:
    """How it stands with one channel and purpose; None where nothing was said of it."""
    channel, purpose = parts_of(key)
    slot = held.slots.get(key, _NOTHING)
    no = refusal(held, key, at.definitions)
    no_ms = no.at_ms if no is not None else None
    yes, confirmed = _agreed(held, key, slot, no_ms, at.definitions) if slot.asked else (slot.yes, None)
    if yes is not None and (no_ms is None or yes.at_ms > no_ms):
        return Standing(channel, purpose, GRANTED, _counts(held, channel, purpose, at), yes, no_ms, confirmed)
    waits = next((said for said in slot.asked if no_ms is None or said.at_ms > no_ms), None)
    if waits is not None:
        last_day = min(at.definitions.day_of(waits.at_ms) + at.definitions.consents.pending_days, LAST_DAY)
        status = PENDING if at.day <= last_day else EXPIRED
        return Standing(channel, purpose, status, False, waits, no_ms, None, last_day)
    return Standing(channel, purpose, no.word, False, no, no_ms) if no is not None else None


def _counts(held: Consents, channel: str, purpose: str, at: Moment) -> bool:
    if purpose == MARKETING or not at.definitions.consents.purpose(purpose).needs_marketing:
        return True
    slot = held.slots.get(channel)
    return slot is not None and is_granted(held, channel, slot, at)


def is_granted(held: Consents, key: str, slot: Slot, at: Moment) -> bool:
    """Whether somebody may be contacted by a channel for a purpose. It is asked often, so the common case is short."""
    if slot.asked:
        found = standing_of(held, key, at)
        return found is not None and found.granted
    yes, slots = slot.yes, held.slots
    if yes is None:
        return False
    channel, _, purpose = key.partition(":")
    defined = at.definitions.consents.purpose(purpose) if purpose else None
    for each in _binding(key, defined is not None and defined.falls_with_marketing):
        said = slots.get(each)
        if said is not None and said.no is not None and said.no.at_ms >= yes.at_ms:
            return False
    return defined is None or not defined.needs_marketing or _counts(held, channel, purpose, at)


def refusal(held: Consents, key: str, definitions: Definitions) -> Said | None:
    """The newest no that binds a purpose: its own, its family's, marketing's where it falls with it, or that of all."""
    _, _, purpose = key.partition(":")
    newest: Said | None = None
    for each in _binding(key, bool(purpose) and definitions.consents.purpose(purpose).falls_with_marketing):
        slot = held.slots.get(each)
        if slot is not None and slot.no is not None and (newest is None or rank(slot.no) > rank(newest)):
            newest = slot.no
    return newest


@lru_cache(maxsize=4096)
def _binding(key: str, falls_with_marketing: bool) -> tuple[str, ...]:
    """The keys by which a purpose can be refused."""
    channel, _, purpose = key.partition(":")
    family = key_of(channel, purpose.partition(":")[0]) if purpose else key
    marketing = channel if falls_with_marketing else key
    return tuple(dict.fromkeys((key, f"{channel}:{EVERY}", family, marketing)))


def _agreed(
    held: Consents, key: str, slot: Slot, no_ms: int | None, definitions: Definitions
) -> tuple[Said | None, Confirmation | None]:
    """The newest yes: one that needed nothing more, or a request that was confirmed in time.

    A request counts from when it was made: a withdrawal between it and its confirmation is newer, and stands.
    """
    for said in slot.asked:
        if (no_ms is not None and said.at_ms <= no_ms) or (slot.yes is not None and said.at_ms <= slot.yes.at_ms):
            break
        confirmed = _confirmation(held, key, said, definitions)
        if confirmed is not None:
            return said, confirmed
    return slot.yes, None


def _confirmation(held: Consents, key: str, said: Said, definitions: Definitions) -> Confirmation | None:
    """The first in time by the channel of the request; one that names no channel must know the request's token."""
    channel, purpose = parts_of(key)
    last_day = definitions.day_of(said.at_ms) + definitions.consents.pending_days
    found = [
        each
        for by, nameless in ((channel, False), ("", True))
        for each in held.confirmed.get(by, ())
        if each.at_ms >= said.at_ms
        and (each.token == said.token if said.token else not nameless)
        and each.purpose in ("", purpose)
        and definitions.day_of(each.at_ms) <= last_day
    ]
    return min(found, key=confirmation_rank, default=None)
