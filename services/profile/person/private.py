"""Which words of an event name, reach or locate a person? What is theirs never becomes history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRIVATE = frozenset(
    "name first_name last_name full_name nickname email phone mobile tel address street city postal_code zip"
    " webhook device birth_date recipient".split()
)
"""Traits that name or locate a person: kept here and given to delivery, never written into the history."""


def without_contact_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data as the history keeps it: fields that name or locate a person are left out.

    Looked for at the top and in the objects that hold people; the name of an article is not a person's.
    """
    kept = {name: value for name, value in data.items() if name not in PRIVATE}
    for name in ("traits", "customer", "contact", "recipient", "shipping", "billing"):
        if isinstance(kept.get(name), Mapping):
            kept[name] = {inner: value for inner, value in kept[name].items() if inner not in PRIVATE}
    return kept
