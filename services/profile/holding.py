"""How is a customer kept at hand while events of theirs come in? With the views that follow from the present state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """A customer in the unit's cache, with what follows from the present state, as far as it was asked for.

    `parts` are the fields by chapter as of `day`, None where they are not known; `encoded` is all of them as JSON.
    `delivery` is what delivery was told last. `touched` are the bits of what the batch has changed. `needles` are what
    to look for where nothing is to name the person.
    """

    id: str
    customer: Customer
    day: int
    parts: list[dict[str, Any] | None]
    encoded: bytes = b""
    delivery: ProfileUpdated | None = None
    touched: int = 0
    dirty: bool = False
    needles: tuple[bytes, ...] | None = None


def restored(body: bytes) -> Customer:
    return _customer(body)


def stored(customer: Customer) -> bytes:
    return _state(customer)


def hold(customer_id: str, customer: Customer) -> Held:
    day = max(customer.passed_day, customer.presence.last_day if customer.presence is not None else 0)
    return Held(customer_id, customer, day, [*folding.kept(customer).parts])


def forget_views(held: Held) -> None:
    held.parts, held.encoded = [*folding.kept(held.customer).parts], b""


def note_delivery(held: Held, definitions: Definitions, at: datetime) -> None:
    """Remember what delivery knows, before something changes that it looks at."""
    if held.delivery is None:
        held.delivery = person.for_delivery(held.id, held.customer, Moment(held.day, definitions), at)


Membership = tuple[str, Sequence[str], int]
"""The person that a record belongs to, all its records, and the revision of that knowledge."""


def join(held: Held, membership: Membership, definitions: Definitions, now: datetime) -> None:
    person_id, linked, revision = membership
    known = held.customer
    if not linked and not known.linked and person_id == known.person_id and revision <= known.links_revision:
        return
    note_delivery(held, definitions, now)
    if person.join(held.customer, person_id, linked, revision):
        held.touched, held.dirty = held.touched | JOINED, True
        forget_views(held)


def step(
    held: Held, event: Occurrence, definitions: Definitions, others: Sequence[Customer], now: datetime
) -> tuple[dict[str, Change], bytes]:
    """Apply one event; what it changed in the person's view, and that view as JSON.

    A late event is seen from the day on which there was last a sign of the person.
    """
    at = Moment(max(held.day, definitions.day_of(event.at_ms)), definitions)
    acts = folding.acts_of(event)
    may_touch = 0
    for bit, _, _, _ in acts:
        may_touch |= bit
    if may_touch & folding.DELIVERED:
        note_delivery(held, definitions, now)
    if at.day > held.day:
        _age(held, at.day)
    if others:
        return _step_linked(held, event, at, acts, others)
    _complete(held, at, folding.readers(may_touch))
    touched = folding.act(held.customer, event, definitions, acts)
    changed: dict[str, Change] = {}
    if touched:
        held.touched, held.dirty, held.encoded = held.touched | touched, True, b""
        changed = _again(held, at, folding.readers(touched))
    if not held.encoded:
        _complete(held, at, range(len(held.parts)))
        held.encoded = _encode(folding.whole(held.parts, held.customer.version))
    return changed, held.encoded


def _complete(held: Held, at: Moment, indexes: Iterable[int]) -> None:
    """Have these parts known."""
    parts, records = held.parts, [held.customer]
    for index in indexes:
        if parts[index] is None:
            parts[index] = folding.part(index, records, at)


def _again(held: Held, at: Moment, indexes: Iterable[int]) -> dict[str, Change]:
    """Look at these parts anew; what is different in them."""
    parts, records = held.parts, [held.customer]
    changed: dict[str, Change] = {}
    for index in indexes:
        before, fresh = parts[index] or {}, folding.part(index, records, at)
        if fresh != before:
            changed |= person.differences(before, fresh)
            parts[index] = fresh
    return changed


def _age(held: Held, day: int) -> None:
    """What follows from the day is not known for a later one, but where nothing is kept."""
    held.day, held.encoded = day, b""
    parts, silent = held.parts, folding.SILENT
    for index in _AGEING:
        if parts[index] is not silent[index]:
            parts[index] = None


def _step_linked(
    held: Held, event: Occurrence, at: Moment, acts: Sequence[Any], others: Sequence[Customer]
) -> tuple[dict[str, Change], bytes]:
    """Views of somebody with several records follow from what others write, and are not kept."""
    records = [held.customer, *others]
    before = folding.parts(records, at)
    forget_views(held)
    touched = folding.act(held.customer, event, at.definitions, acts)
    if not touched:
        return {}, _encode(folding.whole(before, held.customer.version))
    held.touched, held.dirty = held.touched | touched, True
    after = folding.parts(records, at)
    return _differences(before, after), _encode(folding.whole(after, held.customer.version))


def _differences(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> dict[str, Change]:
    changed: dict[str, Change] = {}
    for earlier, later in zip(before, after, strict=True):
        if earlier != later:
            changed |= person.differences(earlier, later)
    return changed


def seen(held: Held, at: Moment, others: Sequence[Customer]) -> tuple[dict[str, Any], bytes]:
    """The person's view on a day, and the same as JSON."""
    view = folding.view([held.customer, *others], at)
    return view, _encode(view)


def passed(
    held: Held, day: int, definitions: Definitions, others: Sequence[Customer], now: datetime
) -> tuple[dict[str, Change], bytes]:
    """What the beginning of a day changes in the person's view by itself, and that view as JSON; told once.

    Where an event of a later day came first, the days up to that one are over as well, and told with it.
    """
    records = [held.customer, *others]
    note_delivery(held, definitions, now)
    held.day = max(held.day, day)
    held.customer.passed_day, held.customer.due_day, held.dirty = held.day, 0, True
    held.touched |= folding.DELIVERED
    forget_views(held)
    before = folding.parts(records, Moment(day - 1, definitions))
    after = folding.parts(records, Moment(held.day, definitions))
    changed = _differences(before, after)
    held.customer.version += bool(changed)
    return changed, _encode(folding.whole(after, held.customer.version))


def news(held: Held, definitions: Definitions, at: datetime) -> ProfileUpdated | None:
    """The delivery view, when delivery would learn something from it."""
    if not held.touched & _NEWSWORTHY:
        return None
    found = person.for_delivery(held.id, held.customer, Moment(held.day, definitions), at)
    if held.delivery is not None:
        if not _says_more(found, held.delivery):
            return None
        if found.version <= held.delivery.version:
            # What changed by the passing of time alone is news as well, and who keeps a copy believes a higher version.
            held.customer.version = held.delivery.version + 1
            found = msgspec.structs.replace(found, version=held.customer.version)
    held.delivery = found
    return found


JOINED: Final = 1 << 62
"""The bit of `Held.touched` that says that the person consists of other records than before."""


# A stage of life is looked at too, but seldom enough to do without the view of before: to tell it twice does no harm.
_NEWSWORTHY: Final = folding.DELIVERED | folding.bit_of("life_stage") | JOINED
_AGEING: Final = tuple(index for index, ages in enumerate(folding.AGES) if ages)


def _says_more(new: ProfileUpdated, old: ProfileUpdated) -> bool:
    """Whether two delivery views differ in more than their version and instant."""
    return any(
        getattr(new, name) != getattr(old, name)
        for name in ("person_id", "contacts", "consents", "zone", "suppressed", "attributes", "linked")
    )
