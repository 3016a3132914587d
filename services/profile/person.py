"""What does an event change in what is known of a customer? Pure: a state and an event in, a state and changes out.

State is kept per customer record. A person may consist of several records, which are never copied into one another:
a view adds them up, so that taking them apart again is exact. Of two statements about one thing the newer counts, by
the time of its event; of two consents given at the same instant the withdrawal counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.clock import from_ms
from libs.common.events import Change, Consent, ProfileUpdated
from services.profile import normal
from services.profile.statements import granted_channels, money_of, withdrawn_channels

CONTACT_KINDS = {"email": "email", "phone": "phone", "device": "push", "webhook": "webhook"}
"""Which traits are contact points, and the name under which delivery knows them."""

PRIVATE = frozenset(
    "name first_name last_name full_name nickname email phone mobile tel address street city postal_code zip"
    " webhook device birth_date recipient".split()
)
"""Traits that name or locate a person: kept here and given to delivery, never written into the history."""

HARD_BOUNCES = frozenset({"hard", "permanent", "undeliverable"})


class Trait(Struct, array_like=True, gc=False):
    value: Any
    at_ms: int
    source: str = ""


class Permission(Struct, array_like=True, gc=False):
    granted: bool
    at_ms: int
    source: str = ""


class Purchases(Struct, array_like=True, gc=False):
    """`spent` is net of refunds, by currency (ISO 4217)."""

    count: int = 0
    refunds: int = 0
    spent: dict[str, Decimal] = {}
    last_ms: int = 0


class Customer(Struct, gc=False):
    """The state of one record; `version` grows with every change.

    Tens of thousands stand in the caches: what the collector need not look at does not hold up the others.
    """

    person_id: str
    version: int = 0
    linked: list[str] = []
    traits: dict[str, Trait] = {}
    consents: dict[str, Permission] = {}
    contacts: dict[str, Trait] = {}
    suppressed: dict[str, int] = {}
    complaints: list[str] = []
    purchases: Purchases = msgspec.field(default_factory=Purchases)
    first_seen_ms: int = 0


class Occurrence(Struct, gc=False):
    """An event as it acts on a profile; `data` is decoded, `fields` are written by a rule or a command."""

    type: str
    at_ms: int
    source: str
    id: str = ""
    data: Mapping[str, Any] = {}
    identifiers: Mapping[str, str] = {}
    linked: Sequence[str] = ()
    person_id: str = ""


def apply(customer: Customer, event: Occurrence) -> bool:
    """Change `customer` by one event; says whether anything changed."""
    before = customer.version
    changed = _seen_first(customer, event.at_ms) | _note_contacts(customer, event) | _note_links(customer, event)
    effect = EFFECTS.get(event.type)
    if effect is not None:
        changed |= effect(customer, event)
    if changed:
        customer.version = before + 1
    return changed


def _seen_first(customer: Customer, at_ms: int) -> bool:
    if customer.first_seen_ms and customer.first_seen_ms <= at_ms:
        return False
    customer.first_seen_ms = at_ms
    return True


def _note_contacts(customer: Customer, event: Occurrence) -> bool:
    changed = False
    for kind, channel in CONTACT_KINDS.items():
        value = event.identifiers.get(kind)
        known = customer.contacts.get(channel)
        if not value or (known is not None and known.value == value):
            continue
        if kind != "phone" or normal.is_phone(value):
            changed |= _newer(customer.contacts, channel, Trait(value, event.at_ms, event.source))
    return changed


def _note_links(customer: Customer, event: Occurrence) -> bool:
    if event.person_id in ("", customer.person_id) and len(event.linked) <= len(customer.linked):
        return False
    linked = list(event.linked) if len(event.linked) > 1 else []
    changed = customer.person_id != event.person_id or customer.linked != linked
    customer.person_id, customer.linked = event.person_id or customer.person_id, linked
    return changed


def _newer(held: dict[str, Trait], name: str, found: Trait) -> bool:
    """Keep the newer of two statements; says whether it is the one that was found."""
    known = held.get(name)
    if known is not None and (known.at_ms > found.at_ms or known == found):
        return False
    held[name] = found
    return True


def set_traits(customer: Customer, values: Mapping[str, Any], at_ms: int, source: str) -> bool:
    changed = False
    for name, value in values.items():
        changed |= _newer(customer.traits, name, Trait(value, at_ms, source))
        channel = CONTACT_KINDS.get(name)
        if channel is not None and isinstance(value, str) and value:
            changed |= _newer(customer.contacts, channel, Trait(value, at_ms, source))
    return changed


def set_consent(customer: Customer, channel: str, granted: bool, at_ms: int, source: str) -> bool:
    known = customer.consents.get(channel)
    if known is not None and (known.at_ms > at_ms or (known.at_ms == at_ms and granted)):
        return False
    customer.consents[channel] = Permission(granted, at_ms, source)
    return True


def _identified(customer: Customer, event: Occurrence) -> bool:
    traits = event.data.get("traits", event.data)
    return set_traits(customer, traits, event.at_ms, event.source) if isinstance(traits, Mapping) else False


def _purchased(customer: Customer, event: Occurrence) -> bool:
    """Counts also without usable money: that something was bought is known."""
    purchases = customer.purchases
    purchases.count += 1
    if (money := money_of(event.data)) is not None:
        currency, amount = money
        purchases.spent[currency] = purchases.spent.get(currency, Decimal(0)) + amount
    purchases.last_ms = max(purchases.last_ms, event.at_ms)
    return True


def _refunded(customer: Customer, event: Occurrence) -> bool:
    purchases = customer.purchases
    purchases.refunds += 1
    if (money := money_of(event.data)) is not None:
        currency, amount = money
        purchases.spent[currency] = purchases.spent.get(currency, Decimal(0)) - abs(amount)
    return True


def _consented(customer: Customer, event: Occurrence) -> bool:
    return any([set_consent(customer, each, True, event.at_ms, event.source) for each in granted_channels(event.data)])


def _withdrew(customer: Customer, event: Occurrence) -> bool:
    return any(
        [set_consent(customer, each, False, event.at_ms, event.source) for each in withdrawn_channels(event.data)]
    )


def _complained(customer: Customer, event: Occurrence) -> bool:
    subject = str(event.data.get("case") or event.id)
    if subject in customer.complaints:
        return False
    customer.complaints.append(subject)
    return True


def _complaint_resolved(customer: Customer, event: Occurrence) -> bool:
    subject = event.data.get("case")
    left = [] if subject is None else [each for each in customer.complaints if each != str(subject)]
    changed = left != customer.complaints
    customer.complaints = left
    return changed


def _unsubscribed(customer: Customer, event: Occurrence) -> bool:
    channel = str(event.data.get("channel") or "email")
    return set_consent(customer, channel, False, event.at_ms, "unsubscribe")


def _bounced(customer: Customer, event: Occurrence) -> bool:
    if str(event.data.get("kind", "hard")) not in HARD_BOUNCES:
        return False
    return _suppress(customer, f"bounced:{event.data.get('channel') or 'email'}", event.at_ms)


def _marked_as_spam(customer: Customer, event: Occurrence) -> bool:
    channel = str(event.data.get("channel") or "email")
    withdrawn = set_consent(customer, channel, False, event.at_ms, "spam complaint")
    return _suppress(customer, f"complained:{channel}", event.at_ms) or withdrawn


def _suppress(customer: Customer, reason: str, at_ms: int) -> bool:
    if reason in customer.suppressed:
        return False
    customer.suppressed[reason] = at_ms
    return True


def _fields_set(customer: Customer, event: Occurrence) -> bool:
    return set_traits(customer, event.data, event.at_ms, event.source)


EFFECTS = {
    "identify": _identified,
    "purchase": _purchased,
    "refund": _refunded,
    "consent_given": _consented,
    "consent_withdrawn": _withdrew,
    "complaint": _complained,
    "complaint_resolved": _complaint_resolved,
    "message.unsubscribed": _unsubscribed,
    "message.bounced": _bounced,
    "message.complained": _marked_as_spam,
    "profile.changed": _fields_set,
}


COMPUTED = frozenset(
    "version has_email has_phone has_device open_complaint purchase_count first_seen_at last_purchase_at".split()
)

_SPENT = re.compile(r"spent_[a-z]{3}")


def computed(name: str) -> bool:
    """Whether a name of the view is kept for what follows from events: nobody sets it by calling a trait so."""
    return name in COMPUTED or name.startswith("consent_") or _SPENT.fullmatch(name) is not None


def view(records: Sequence[Customer]) -> dict[str, Any]:
    """The person at this moment, as rules and the history see them: flat, and nothing to reach or name them by."""
    first = records[0]
    seen: dict[str, Any] = {name: trait.value for name, trait in _newest(r.traits for r in records).items()}
    seen = {name: value for name, value in seen.items() if name not in PRIVATE and not computed(name)}
    permissions = consents(records)
    seen |= {f"consent_{channel}": permission.granted for channel, permission in permissions.items()}
    contacts = _newest(record.contacts for record in records)
    seen |= {
        "version": first.version,
        "has_email": "email" in contacts,
        "has_phone": "phone" in contacts,
        "has_device": "push" in contacts,
        "open_complaint": any(record.complaints for record in records),
        "purchase_count": sum(record.purchases.count for record in records),
        "first_seen_at": from_ms(min(record.first_seen_ms for record in records)),
    }
    for currency in sorted({currency for record in records for currency in record.purchases.spent}):
        total = sum((record.purchases.spent.get(currency, Decimal(0)) for record in records), Decimal(0))
        seen[f"spent_{currency.lower()}"] = float(total)
    last = max(record.purchases.last_ms for record in records)
    if last:
        seen["last_purchase_at"] = from_ms(last)
    return seen


def _newest(each: Iterable[Mapping[str, Trait]]) -> dict[str, Trait]:
    merged: dict[str, Trait] = {}
    for traits in each:
        for name, trait in traits.items():
            if name not in merged or trait.at_ms > merged[name].at_ms:
                merged[name] = trait
    return merged


def consents(records: Iterable[Customer]) -> dict[str, Permission]:
    merged: dict[str, Permission] = {}
    for record in records:
        for channel, found in record.consents.items():
            known = merged.get(channel)
            if known is None or (found.at_ms, not found.granted) > (known.at_ms, not known.granted):
                merged[channel] = found
    return merged


_IGNORED_CHANGES = frozenset({"version"})


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change]:
    """The fields of two views that are not the same."""
    return {
        name: Change(before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if name not in _IGNORED_CHANGES and before.get(name) != after.get(name)
    }


def for_delivery(customer_id: str, customer: Customer, at: datetime) -> ProfileUpdated:
    """What delivery needs of this record; `version` is the record's, whoever else belongs to the person."""
    suppressed = sorted(customer.suppressed) + (["open_complaint"] if customer.complaints else [])
    zone = customer.traits.get("zone")
    return ProfileUpdated(
        customer_id,
        customer.person_id,
        customer.version,
        contacts={channel: str(trait.value) for channel, trait in sorted(customer.contacts.items())},
        consents={
            channel: Consent(permission.granted, from_ms(permission.at_ms), permission.source)
            for channel, permission in sorted(customer.consents.items())
        },
        zone=str(zone.value) if zone is not None else None,
        suppressed=suppressed,
        attributes={name: trait.value for name, trait in sorted(customer.traits.items())},
        linked=customer.linked,
        updated_at=at,
    )


def without_contact_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data as the history keeps it: fields that name or locate a person are left out.

    Looked for at the top and in the objects that hold people; the name of an article is not a person's.
    """
    kept = {name: value for name, value in data.items() if name not in PRIVATE}
    for name in ("traits", "customer", "contact", "recipient", "shipping", "billing"):
        if isinstance(kept.get(name), Mapping):
            kept[name] = {inner: value for inner, value in kept[name].items() if inner not in PRIVATE}
    return kept
