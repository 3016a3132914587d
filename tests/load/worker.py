"""What does working in batches win? The worker with state on PostgreSQL beside a loop that commits each event."""

from __future__ import annotations

import asyncio

from tests.load.ground import ground
from tests.load.rows import Row, Scale, company
from tests.load.stage_runs import alternating, fill
from tests.load.stages import BATCH, STAGES

_EVENTS = 200_000
_EVENTS_ONE_BY_ONE = 4_000


def rows(scale: Scale) -> list[Row]:
    total, few = scale.events(_EVENTS), max(500, int(_EVENTS_ONE_BY_ONE * scale.share))
    with ground() as stand:
        asyncio.run(fill(STAGES["tally"], stand, total))
        sides = [("worker", total), ("event by event", few)]
        found = alternating(stand, "tally", sides, scale.rounds)
    ours, theirs = found["worker"], found["event by event"]
    loop = "a loop that commits each event"
    best = f"best of {scale.rounds}; batches of {BATCH}"
    return [
        Row(
            "read, counted in PostgreSQL, sent on",
            ours.per_second,
            "events/s",
            loop,
            theirs.per_second,
            f"{best}; to be 10 or more{company(ours.foreign)}",
        ),
        Row("CPU of the process", ours.process, "µs/event", loop, theirs.process),
        Row("CPU of PostgreSQL", ours.postgres, "µs/event", loop, theirs.postgres),
        Row("CPU of Kafka", ours.kafka, "µs/event", loop, theirs.kafka),
    ]
