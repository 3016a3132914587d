"""Which paths belong to the clients of Segment and RudderStack, and how are their doors joined?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from services.ingest.doors.cors import CrossOrigin, Origins
from services.ingest.doors.front import Door
from services.ingest.doors.sdk_settings import PROJECTS, SOURCE_CONFIG, SdkSettings
from services.ingest.doors.segment import CALL_OF_PATH, SegmentDoor
from services.ingest.mapping import CompiledMapping
from services.ingest.reception import Reception
from services.ingest.rejects.reexamination import Reexamination
from services.ingest.segment.translation import DOOR, Help, examine_again
from services.ingest.segment.well_known import CurrentCalls


class Doors(NamedTuple):
    exact: Mapping[str, Door]
    below: Mapping[str, Door]


def segment_doors(
    reception: Reception,
    ways: Reexamination,
    mapping: Callable[[], CompiledMapping | None],
    public_url: str = "",
) -> Doors:
    """`mapping` is the one for well-known track calls that holds now; `public_url` as in `SdkSettings`."""
    help = Help(CurrentCalls(mapping), partial(reception.traffic.kind_of, browser=True))
    ways.register(DOOR, partial(examine_again, help=help))
    origins = Origins(reception.registry)
    calls = CrossOrigin(SegmentDoor(reception, help), origins)
    settings = CrossOrigin(SdkSettings(reception, public_url), origins)
    exact: dict[str, Door] = dict.fromkeys(CALL_OF_PATH, calls)
    exact |= dict.fromkeys(SOURCE_CONFIG, settings)
    return Doors(exact, {PROJECTS: settings})
