"""What becomes of a message that can never be handled? It is kept as it came, with its reason, and can be redriven."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from libs.common import progress
from libs.common.kafka import Received
from libs.common.timers import Timer

BURIED_PER_MINUTE_MAX = 200
TOMBSTONE = "tombstone"
"""The header of a letter that came without a value: without any, the letter would be a tombstone itself."""
_SAID = "said."
"""Before the names of the headers that the message itself came with: handlers ask for them at a redrive as well."""
_OF_THE_WAY = frozenset((progress.ORIGIN, progress.MARK))
_NOTHING = b"null"
_REASON_LENGTH_MAX = 2000


class DeadLetter(NamedTuple):
    """What goes to the dead-letter topic: key and value as they were, and where it comes from and why."""

    key: bytes | None
    value: bytes | None
    about: dict[str, bytes]


def of_message(topic: str, record: Received, reason: str, *, dead_letters: str) -> DeadLetter:
    """One that was a dead letter before keeps the place where it first came from, and counts its attempts on."""
    before = dict(record.headers)
    again = topic == dead_letters and "topic" in before and "offset" in before
    about = {
        "reason": _text(reason),
        "topic": before["topic"] if again else topic.encode(),
        "offset": before["offset"] if again else str(record.offset).encode(),
        "attempts": str(int(before.get("attempts", b"0")) + 1 if again else 1).encode(),
    }
    if again:
        about |= {name: value for name, value in before.items() if name.startswith(_SAID)}
    else:
        about |= {_SAID + name: value for name, value in before.items() if name not in _OF_THE_WAY}
    if record.value is None or (again and TOMBSTONE in before):
        about[TOMBSTONE] = b"1"
    return DeadLetter(
        before.get("key") if again else record.key, _NOTHING if record.value is None else record.value, about
    )


def headers_of(letter: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the message of a letter came with, but for whose and which it was: a letter has that of its own."""
    return {name.removeprefix(_SAID): value for name, value in letter.items() if name.startswith(_SAID)}


def of_timer(timer: Timer, reason: str) -> DeadLetter:
    """Kept for a person to look at; a redrive cannot set it again."""
    due = timer.due.isoformat().encode()
    about = {"reason": _text(reason), "topic": b"timer", "due": due, "attempts": b"1"}
    return DeadLetter(timer.key.encode(), timer.payload, about)


def _text(reason: str) -> bytes:
    return reason[:_REASON_LENGTH_MAX].encode("utf-8", "replace")


class Pace:
    """Rather than bury a whole topic a unit stands still: that many dead letters are a fault of ours."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def allows(self, count: int) -> bool:
        """Whether `count` more may be buried now; a single batch may always be, however large."""
        horizon = time.monotonic() - 60
        while self._times and self._times[0] < horizon:
            self._times.popleft()
        return not self._times or len(self._times) + count <= BURIED_PER_MINUTE_MAX

    def note(self, count: int) -> None:
        self._times.extend([time.monotonic()] * count)
