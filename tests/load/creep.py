"""What do the worker's promises cost? Each stage beside a loop that does the same work and promises nothing."""

from __future__ import annotations

import asyncio

from tests.load.ground import ground
from tests.load.rows import Row, Scale, company
from tests.load.stage_runs import alternating, fill
from tests.load.stages import STAGES

_EVENTS = {"echo": 300_000, "identify": 100_000, "apply": 100_000}
_BY_HAND = {"echo": "by hand", "apply": "by hand"}
_NOTES = {
    "by hand": "written by hand, no ownership, outbox, repeats or marks",
    "bare loop": "the same handler called by a loop without them",
}


def echo(scale: Scale) -> list[Row]:
    return _compared("echo", scale)


def identify(scale: Scale) -> list[Row]:
    return _compared("identify", scale)


def apply(scale: Scale) -> list[Row]:
    return _compared("apply", scale)


def _compared(name: str, scale: Scale) -> list[Row]:
    total, other = scale.events(_EVENTS[name]), _BY_HAND.get(name, "bare loop")
    with ground() as stand:
        asyncio.run(fill(STAGES[name], stand, total))
        found = alternating(stand, name, [("worker", total), (other, total)], scale.rounds)
    ours, theirs = found["worker"], found[other]
    note = f"{_NOTES[other]}; best of {scale.rounds}; to be 1.5 or less{company(ours.foreign)}"
    both = "CPU with PostgreSQL"
    return [
        Row(f"{name}: CPU of the process", ours.process, "µs/event", other, theirs.process, note),
        Row(f"{name}: {both}", ours.process + ours.postgres, "µs/event", other, theirs.process + theirs.postgres),
        Row(f"{name}: throughput", ours.per_second, "events/s", other, theirs.per_second),
    ]
