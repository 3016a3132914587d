"""What does the engine remember of a customer record? One blob; every entry in it has an end. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from msgspec import Struct

FORM: Final = 1
"""The number of the shape of `State`, and of all that is within it; it stands beside each state that is written.

A field that is added at the end, with a default, is no other form: both read what the other has written. Raise it for
everything else, also for another meaning of the same shape: rules learn anew from the log what was packed otherwise.
"""
DAY_MS = 86_400_000
SEEN_MS = 2 * DAY_MS
SEEN_MAX = 512
FOREVER_MS = 1 << 61
# Higher than the number of any event: what comes after all events of its instant.
AFTER_ALL = (1 << 63) - 1


class Aggregate(Struct, array_like=True):
    """Panes of one measure: [count], [micros], [micros, count], [time, micros], or hashes of distinct
    values. `since` is the oldest pane that ever counted.
    """

    until_ms: int = 0
    panes: dict[int, list[int]] = {}
    since: int | None = None


class Memory(Struct, array_like=True):
    """When a rule fired, as far back as its limits look."""

    until_ms: int = 0
    fired_ms: list[int] = []


class Wait(Struct, array_like=True):
    """An absence that has begun: the event A, and what the trigger will want to know of it."""

    same: int
    since_ms: int
    due_ms: int
    event_id: str
    version: int
    hops: int
    received_ms: int
    first: dict[str, Any] = {}


class Absence(Struct, array_like=True):
    """`marks` are the events that end a wait, as (same, time, event): they also end one that is told of
    later.
    """

    until_ms: int = 0
    waits: list[Wait] = []
    marks: list[tuple[int, int, int]] = []


class Step(Struct, array_like=True):
    """An event that is one of the steps of a sequence. `number` is the event's digest, `same` that of what the events
    of one run have in common, `values` what the trigger will want to know of it.
    """

    time_ms: int
    number: int
    same: int
    event_id: str
    values: dict[str, Any] = {}


class Progress(Struct, array_like=True):
    """A sequence under way: events by step, in their order, and the first events of runs that are over."""

    until_ms: int = 0
    version: int = 0
    steps: list[list[Step]] = []
    spent: dict[int, int] = {}


class Appointment(Struct, array_like=True):
    """What a rule expects of the time: `due_ms` is 0 where nothing does. `about` is a digest of what it hangs on.

    `last_ms`, `number`, `event_id`, `hops` and `received_ms` are of the event that it follows from, and `values` what
    the trigger will want to know of that. `basis` is the value of a date field; `day` (ordinal) is the day that is due,
    and `told_day` the last one that was. `met` says that a deviation was found when it was last looked for, at
    `judged_ms`.
    """

    about: int = 0
    until_ms: int = 0
    version: int = 0
    due_ms: int = 0
    day: int = 0
    told_day: int = 0
    last_ms: int = 0
    number: int = 0
    event_id: str = ""
    hops: int = 0
    received_ms: int = 0
    basis: str = ""
    met: bool = False
    judged_ms: int = 0
    values: dict[str, Any] = {}


class Changed(Struct, array_like=True):
    """When a profile field last changed, as far back as any condition asks."""

    until_ms: int = 0
    at_ms: int = 0


class Membership(Struct, array_like=True):
    """Whether a person was in a segment when that was last judged, at `judged_ms`, and since when it has been so.

    Of the entries of a person's records the newest judged counts. `about` is a digest of the definition that was judged
    by. `due_ms` is when it is looked at without an event, 0 where time alone moves nothing; `event_id`, `hops` and
    `received_ms` are of the event that was behind the last judgement. `listed` is what stands in the table: 0 nothing,
    1 that the person is out, 2 that they are in. `hidden` marks an audience, of whom the profile is kept as last seen.
    """

    about: int = 0
    until_ms: int = 0
    version: int = 0
    inside: bool = False
    since_ms: int = 0
    judged_ms: int = 0
    due_ms: int = 0
    event_id: str = ""
    hops: int = 0
    received_ms: int = 0
    listed: int = 0
    hidden: bool = False


class State(Struct, array_like=True):
    """`latest_ms` is the latest event time: what ends before it is swept.

    `profile`, `person_id` and `linked` are as last seen, for the moment when a timer fires. `changes` are by profile
    field, `memberships` by segment.
    """

    customer_id: str = ""
    person_id: str = ""
    latest_ms: int = 0
    profile: bytes = b""
    linked: list[str] = []
    aggregates: dict[int, Aggregate] = {}
    memories: dict[str, Memory] = {}
    absences: dict[str, Absence] = {}
    seen: dict[int, int] = {}
    sequences: dict[str, Progress] = {}
    appointments: dict[str, Appointment] = {}
    changes: dict[str, Changed] = {}
    memberships: dict[str, Membership] = {}

    @property
    def waiting(self) -> bool:
        """Whether a timer is set for the customer, or an event of everyone's would look for them."""
        waits = any(each.waits for each in self.absences.values())
        waits = waits or any(each.due_ms for each in self.appointments.values())
        return waits or any(each.due_ms or (each.hidden and each.inside) for each in self.memberships.values())

    @property
    def until_ms(self) -> int:
        """When nothing in here can matter any more."""
        ends = [each.until_ms for each in self.aggregates.values()]
        ends += [each.until_ms for each in self.memories.values()]
        ends += [max(each.until_ms, *(w.due_ms for w in each.waits), 0) for each in self.absences.values()]
        ends += [each.until_ms for each in self.sequences.values()]
        ends += [max(each.until_ms, each.due_ms) for each in self.appointments.values()]
        ends += [each.until_ms for each in self.changes.values()]
        ends += [max(each.until_ms, each.due_ms) for each in self.memberships.values()]
        return max([*ends, *self.seen.values()], default=0)

    def was_seen(self, event: int, time_ms: int) -> bool:
        """Notes an event, and says whether it was noted before; remembered for two days of event time."""
        if event in self.seen:
            return True
        self.seen[event] = max(time_ms, self.latest_ms) + SEEN_MS
        return False

    def sweep(self) -> None:
        """Drop what has ended by the customer's own latest event."""
        now = self.latest_ms
        self.aggregates = {name: each for name, each in self.aggregates.items() if each.until_ms > now}
        self.memories = {name: each for name, each in self.memories.items() if each.until_ms > now}
        self.absences = {name: each for name, each in self.absences.items() if each.waits or each.until_ms > now}
        self.sequences = {name: each for name, each in self.sequences.items() if each.until_ms > now}
        self.appointments = {
            name: each for name, each in self.appointments.items() if each.due_ms or each.until_ms > now
        }
        self.changes = {name: each for name, each in self.changes.items() if each.until_ms > now}
        self.memberships = {
            name: each for name, each in self.memberships.items() if each.due_ms or each.listed or each.until_ms > now
        }
        kept = [(name, until) for name, until in self.seen.items() if until > now]
        self.seen = dict(kept[-SEEN_MAX:])
        if not self.waiting:
            self.profile = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    return _encoder.encode(state)


def decode(body: bytes) -> State:
    return _decoder.decode(body)


def digest(*parts: object) -> int:
    """63 bits that name the parts, the same in every process."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
