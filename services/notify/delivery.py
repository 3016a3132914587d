"""What becomes of a message? Its states, and what every answer, doubt and receipt means for it. Pure.

    PLANNED ──► SUBMITTING ──► ACCEPTED ──► EXPIRED ──► DELIVERED ──► BOUNCED
       │  ◄── surely not sent ──┤  ▲
       │                        ├► UNKNOWN (nobody can say whether it was sent)
       │                        └► REJECTED
       └► DROPPED, EXPIRED, REJECTED (never handed over)

A state only moves forward. The one way back, to PLANNED, is taken by whoever holds the message in SUBMITTING, and only
when the provider surely does not have it or recognises a repeat by its key.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

State = Literal[
    "PLANNED", "SUBMITTING", "ACCEPTED", "REJECTED", "UNKNOWN", "DELIVERED", "BOUNCED", "EXPIRED", "DROPPED"
]
MARKETING = "marketing"

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 30.0
RETRY_AFTER_SECONDS_MAX = 3_600.0
KEY_MARGIN = 0.9
"""A key is repeated only within this share of the time for which the provider keeps it."""

_RECEIPTS: dict[str, State] = {"expired": "EXPIRED", "delivered": "DELIVERED", "bounced": "BOUNCED"}
_RANK: dict[State, int] = {
    "PLANNED": 0,
    "SUBMITTING": 1,
    "UNKNOWN": 2,
    "ACCEPTED": 3,
    "EXPIRED": 4,
    "DELIVERED": 5,
    "BOUNCED": 6,
    "REJECTED": 7,
    "DROPPED": 7,
}
_SETTLED: dict[State, str] = {
    "ACCEPTED": "accepted",
    "UNKNOWN": "unknown",
    "REJECTED": "rejected",
    "DROPPED": "dropped",
    "EXPIRED": "expired",
}


class Accepted(Struct, frozen=True):
    """The provider has it; `ref` is its name for it."""

    ref: str = ""


class Rejected(Struct, frozen=True):
    """The provider refuses it for good; `permanent` says that the address itself is dead."""

    code: str
    permanent: bool = False


class RetryLater(Struct, frozen=True):
    """Surely not sent. `after_seconds` is what the provider asked for, if it did; `everybody`: it refuses all alike."""

    reason: str
    after_seconds: float | None = None
    everybody: bool = False


class InDoubt(Struct, frozen=True):
    """It may have been sent, and it may not."""

    reason: str


Answer = Accepted | Rejected | RetryLater | InDoubt


class Standing(Struct, frozen=True):
    """Where a message stands.

    `doubt`: one attempt ended without a clear answer. `settled`: the last word that campaign was given, empty before.
    """

    message_id: str
    class_: str
    valid_until: datetime
    not_before: datetime
    state: State = "PLANNED"
    attempts: int = 0
    first_tried_at: datetime | None = None
    doubt: bool = False
    possible_duplicate: bool = False
    settled: str = ""
    reason: str = ""


def submitting(standing: Standing, now: datetime) -> Standing:
    return replace(
        standing,
        state="SUBMITTING",
        attempts=standing.attempts + 1,
        first_tried_at=standing.first_tried_at or now,
        reason="",
    )


def key_is_alive(standing: Standing, now: datetime, key_seconds: int) -> bool:
    """May an attempt that ended in doubt be repeated under its key? True as well where there was no doubt."""
    if not standing.doubt or key_seconds == 0 or standing.first_tried_at is None:
        return True
    return now - standing.first_tried_at < timedelta(seconds=key_seconds * KEY_MARGIN)


def ended(standing: Standing, state: State, reason: str) -> Standing:
    """A message that will not be tried again. After a doubt the honest word is UNKNOWN, whatever ended it."""
    if standing.doubt and state in ("DROPPED", "EXPIRED"):
        state, reason = "UNKNOWN", f"in doubt, then {reason}"
    return _settled(replace(standing, state=state, reason=reason))


def after_answer(standing: Standing, answer: Answer, now: datetime, key_seconds: int) -> Standing:
    """What an attempt came to. `key_seconds`: how long the provider recognises a key; 0 where it never does.

    A message that has moved on meanwhile, by a receipt or because its lease ran out, is moved forward only.
    """
    if isinstance(answer, Accepted):
        return forward(standing, "ACCEPTED", "")
    if standing.state != "SUBMITTING":
        return standing
    if isinstance(answer, Rejected):
        if standing.doubt and key_seconds == 0:
            return ended(standing, "UNKNOWN", f"in doubt, then rejected: {answer.code}")
        return ended(standing, "REJECTED", answer.code)
    if isinstance(answer, RetryLater):
        return _retried(standing, answer.reason, now, key_seconds, answer.after_seconds)
    return _after_doubt(standing, answer.reason, now, key_seconds)


def _after_doubt(standing: Standing, reason: str, now: datetime, key_seconds: int) -> Standing:
    if key_seconds:
        return _retried(replace(standing, doubt=True), reason, now, key_seconds, None)
    if standing.class_ == MARKETING or standing.doubt:
        return ended(standing, "UNKNOWN", reason)
    once_more = replace(standing, doubt=True, possible_duplicate=True)
    return _retried(once_more, reason, now, key_seconds, None)


def _retried(standing: Standing, reason: str, now: datetime, key_seconds: int, asked_seconds: float | None) -> Standing:
    due = now + timedelta(seconds=retry_delay_seconds(standing.message_id, standing.attempts, asked_seconds))
    if due >= standing.valid_until:
        return ended(standing, "EXPIRED", f"no time left: {reason}")
    if not key_is_alive(standing, due, key_seconds):
        return ended(standing, "UNKNOWN", f"the provider forgets the key: {reason}")
    return replace(standing, state="PLANNED", not_before=due, reason=reason)


def retry_delay_seconds(message_id: str, attempts: int, asked_seconds: float | None) -> float:
    """Doubling from half a second up to thirty, spread so that many messages do not come back as one."""
    spread = 0.5 + crc32(f"{message_id}/{attempts}".encode()) % 1_000 / 2_000
    own = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2.0 ** min(max(attempts - 1, 0), 16)) * spread
    return max(own, min(asked_seconds or 0.0, RETRY_AFTER_SECONDS_MAX))


def after_receipt(standing: Standing, event: str) -> Standing:
    """What a provider's notice tells; it may come before our own record of its answer, late, twice, in any order."""
    state = _RECEIPTS.get(event)
    if state is None or not was_handed_over(standing):
        return standing
    # Whatever the notice says, it says as well that the provider had accepted.
    return forward(forward(standing, "ACCEPTED", ""), state, "")


def was_handed_over(standing: Standing) -> bool:
    """A notice about a message that was never submitted, or was refused, is about something else."""
    if standing.state in ("DROPPED", "REJECTED") or standing.settled == "expired":
        return False
    return standing.attempts > 0


def forward(standing: Standing, state: State, reason: str) -> Standing:
    """The further of the two states."""
    if _RANK[state] <= _RANK[standing.state]:
        return standing
    return _settled(replace(standing, state=state, reason=reason))


def _settled(standing: Standing) -> Standing:
    if standing.settled or standing.state not in _SETTLED:
        return standing
    return replace(standing, settled=_SETTLED[standing.state])


def contacted(settled: str) -> bool:
    """Does a message that was settled so use up the customer's cap?"""
    return settled in ("accepted", "unknown")
