"""How is a customer kept at hand while events of theirs come in? With the views that follow from the present state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from libs.common.events import Change, ProfileUpdated
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence, folding

_encode: Final = msgspec.json.Encoder().encode
_state: Final = msgspec.msgpack.Encoder().encode
_customer: Final = msgspec.msgpack.Decoder(Customer).decode


class Held(Struct, gc=False):
    """A customer in the unit's cache. `parts` are the fields by chapter as of `day`, `encoded` is all of them as JSON.

    `touched` are the bits of what the batch has changed. Of somebody with several records `parts` are not kept.
    """

    id: str
    customer: Customer
    day: int
    parts: list[dict[str, Any]]
    encoded: bytes
    delivery: ProfileUpdated
    touched: int = 0
    dirty: bool = False


def restored(body: bytes) -> Customer:
    return _customer(body)


def stored(customer: Customer) -> bytes:
    return _state(customer)


def hold(customer_id: str, customer: Customer, definitions: Definitions, at: datetime) -> Held:
    day = max(customer.passed_day, customer.presence.last_day if customer.presence is not None else 0)
    moment = Moment(day, definitions)
    delivery = person.for_delivery(customer_id, customer, moment, at)
    held = Held(customer_id, customer, day, [], b"", delivery)
    _refresh(held, moment)
    return held


def _refresh(held: Held, at: Moment) -> None:
    held.day = at.day
    held.parts = folding.parts([held.customer], at)
    held.encoded = _encode(folding.whole(held.parts, held.customer.version))


def step(
    held: Held, event: Occurrence, definitions: Definitions, others: Sequence[Customer]
) -> tuple[dict[str, Change], bytes]:
    """Apply one event; what it changed in the person's view, and that view as JSON.

    A late event is seen from the day on which there was last a sign of the person.
    """
    day = max(held.day, definitions.day_of(event.at_ms))
    at = Moment(day, definitions)
    if others:
        return _step_linked(held, event, at, others)
    if day > held.day or not held.parts:
        _age(held, at)
    touched = person.apply(held.customer, event, definitions)
    if not touched:
        return {}, held.encoded
    held.touched |= touched
    held.dirty = True
    changed: dict[str, Change] = {}
    for index, read in enumerate(folding.READ):
        if read & touched:
            fresh = folding.part(index, [held.customer], at)
            if fresh != held.parts[index]:
                changed |= person.differences(held.parts[index], fresh)
                held.parts[index] = fresh
    held.encoded = _encode(folding.whole(held.parts, held.customer.version))
    return changed, held.encoded


def _age(held: Held, at: Moment) -> None:
    """What follows from the day is seen as of `at`; all of it where nothing was kept."""
    if not held.parts:
        _refresh(held, at)
        return
    held.day = at.day
    for index, ages in enumerate(folding.AGES):
        if ages:
            held.parts[index] = folding.part(index, [held.customer], at)


def _step_linked(
    held: Held, event: Occurrence, at: Moment, others: Sequence[Customer]
) -> tuple[dict[str, Change], bytes]:
    records = [held.customer, *others]
    before = folding.parts(records, at)
    held.day, held.parts = at.day, []
    touched = person.apply(held.customer, event, at.definitions)
    if not touched:
        return {}, _encode(folding.whole(before, held.customer.version))
    held.touched |= touched
    held.dirty = True
    after = folding.parts(records, at)
    changed: dict[str, Change] = {}
    for earlier, later in zip(before, after, strict=True):
        if earlier != later:
            changed |= person.differences(earlier, later)
    return changed, _encode(folding.whole(after, held.customer.version))


def seen(held: Held, at: Moment, others: Sequence[Customer]) -> tuple[dict[str, Any], bytes]:
    """The person's view on a day, and the same as JSON."""
    view = folding.view([held.customer, *others], at)
    return view, _encode(view)


def passed(
    held: Held, day: int, definitions: Definitions, others: Sequence[Customer]
) -> tuple[dict[str, Change], bytes]:
    """What the beginning of a day changes in the person's view by itself, and that view as JSON; told once."""
    records = [held.customer, *others]
    held.customer.passed_day, held.customer.due_day, held.dirty = day, 0, True
    held.touched |= folding.DELIVERED
    held.day, held.parts = max(held.day, day), []
    before = folding.parts(records, Moment(day - 1, definitions))
    after = folding.parts(records, Moment(day, definitions))
    changed: dict[str, Change] = {}
    for earlier, later in zip(before, after, strict=True):
        if earlier != later:
            changed |= person.differences(earlier, later)
    return changed, _encode(folding.whole(after, held.customer.version))


def news(held: Held, definitions: Definitions, at: datetime) -> ProfileUpdated | None:
    """The delivery view, when delivery would learn something from it."""
    if not held.touched & folding.DELIVERED and not held.touched & JOINED:
        return None
    found = person.for_delivery(held.id, held.customer, Moment(held.day, definitions), at)
    if not _says_more(found, held.delivery):
        return None
    held.delivery = found
    return found


JOINED: Final = 1 << 62
"""The bit of `Held.touched` that says that the person consists of other records than before."""


def _says_more(new: ProfileUpdated, old: ProfileUpdated) -> bool:
    """Whether two delivery views differ in more than their version and instant."""
    return any(
        getattr(new, name) != getattr(old, name)
        for name in ("person_id", "contacts", "consents", "zone", "suppressed", "attributes", "linked")
    )
