"""What does the data of an event say, as far as it can be relied on? Pure.

The door may let a source through whose data does not fit its type. What is no money then adds nothing up, and what is
said of consent is never read in favour of contact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from libs.common.events import CHANNELS_OF_CONTACT

AMOUNT_MAX: Final = 10**15
PURPOSE_PATTERN: Final = r"[a-z][a-z0-9_]*(:[a-z0-9][a-z0-9_.-]*)?"
PURPOSE_LENGTH_MAX: Final = 60
_PURPOSE = re.compile(PURPOSE_PATTERN)
_CURRENCY = re.compile(r"[A-Z]{3}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


def money_of(data: Mapping[str, Any]) -> tuple[str, Decimal] | None:
    """Currency and amount; None where they are no money."""
    currency, amount = data.get("currency") or "XXX", data.get("amount") or 0
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return None
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None
    if isinstance(amount, str) and not _DECIMAL.fullmatch(amount):
        return None
    made = Decimal(str(amount))
    return (currency, made) if abs(made) <= AMOUNT_MAX else None


def granted_channels(data: Mapping[str, Any]) -> list[str]:
    """The channels that a consent speaks of; all of them where it names none. A word that is no channel grants none."""
    named = named_channels(data)
    return list(CHANNELS_OF_CONTACT) if named is None else [each for each in CHANNELS_OF_CONTACT if each in named]


def withdrawn_channels(data: Mapping[str, Any]) -> list[str]:
    """The channels that a withdrawal speaks of; all of them where it names none, or one that nobody understands."""
    named = named_channels(data)
    if not named or any(each not in CHANNELS_OF_CONTACT for each in named):
        return list(CHANNELS_OF_CONTACT)
    return [each for each in CHANNELS_OF_CONTACT if each in named]


def named_channels(data: Mapping[str, Any]) -> list[Any] | None:
    """Whatever stands where channels belong, understood or not; None where there is nothing."""
    named = data.get("channels")
    if named is None:
        named = data.get("channel")
    return [named] if named is not None and not isinstance(named, list) else named


def purpose_of(data: Mapping[str, Any]) -> str | None:
    """The purpose that a statement names, empty where it names none, None where nobody understands what it names."""
    named = data.get("purpose")
    if named is None or named == "":
        return ""
    if not isinstance(named, str) or len(named) > PURPOSE_LENGTH_MAX:
        return None
    name = named.strip().lower()
    return name if _PURPOSE.fullmatch(name) else None
