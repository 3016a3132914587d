"""What time is it, and what is this thing called? The only door to the wall clock and to chance."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

NAMESPACE = uuid.UUID("5b1c2a60-6d0e-5a0e-9d3a-64616e676f6c")


def now() -> datetime:
    return datetime.now(UTC)


def now_ms() -> int:
    return to_ms(datetime.now(UTC))


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970 of an aware instant, exact (floats lose the last digit after 2038)."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def new_id() -> uuid.UUID:
    """A version 7 id (RFC 9562): sorted by time, so that indexes grow at one end."""
    stamp = now_ms()
    chance = int.from_bytes(os.urandom(10))
    return uuid.UUID(int=stamp << 80 | 0x7 << 76 | (chance >> 68 & 0xFFF) << 64 | 0b10 << 62 | chance & (1 << 62) - 1)


def derived_id(*parts: object) -> uuid.UUID:
    """The id of something that follows from other things: the same parts always give the same id.

    Parts are joined by a character that is refused in events, so that ("a", "bc") and ("ab", "c") differ.
    """
    return uuid.uuid5(NAMESPACE, "\x00".join(str(part) for part in parts))
