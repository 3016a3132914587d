"""What can a marketer say? The shape of a rule document; what of it works today is `validation`'s to say."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from services.rules.document.trial import Tests

Span = Annotated[str, Meta(pattern="^[1-9][0-9]{0,4}(s|min|h|d|w|mo|y)$", description="a span; e.g. 14d")]
Shift = Annotated[str, Meta(pattern="^[+-][1-9][0-9]{0,4}(d|w|mo)$", description="a shift; e.g. -7d")]
LocalTime = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="a time of day; e.g. 09:00")]
RuleId = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9][a-z0-9-]{2,63}$",
        description="an id: 3 to 64 lower-case letters, digits and hyphens; e.g. gold-big-basket",
    ),
]
SegmentId = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9][a-z0-9-]{2,63}$",
        description="the id of a segment: 3 to 64 lower-case letters, digits and hyphens; e.g. regulars",
    ),
]
FieldPath = Annotated[
    str,
    Meta(
        pattern=r"^(event|profile|first|second|third|fourth|fifth|was|now|measure)(\.[A-Za-z0-9_]+)+$",
        max_length=200,
        description="a field; e.g. event.amount or profile.tier",
    ),
]
ProfilePath = Annotated[
    str, Meta(pattern=r"^profile(\.[A-Za-z0-9_]+)+$", description="a profile field; e.g. profile.life_stage")
]
SamePath = Annotated[
    str,
    Meta(pattern=r"^(event\.)?[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", description="an event field; e.g. basket_id"),
]
TriggerName = Annotated[
    str, Meta(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=120, description="a name; e.g. offer.x")
]
EventType = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$", description="an event type; e.g. purchase")
]
Text = Annotated[str, Meta(min_length=1, max_length=120)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Scalar = str | int | float | bool | None
Op = Literal[
    "is",
    "is_not",
    "in",
    "not_in",
    "at_least",
    "more_than",
    "at_most",
    "less_than",
    "between",
    "contains",
    "starts_with",
    "exists",
    "missing",
    "changed_within",
]
Function = Literal["count", "sum", "average", "min", "max", "distinct", "last"]
CalendarPeriod = Literal["day", "week", "month", "quarter", "year"]
Restart = Literal["on_each_first", "only_when_idle"]
ORDINALS = ("first", "second", "third", "fourth", "fifth")


class Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name that is not known is refused: it is most likely a slip."""


class Over(Strict, frozen=True):
    """Exactly one of `last` and `calendar`."""

    last: Span | None = None
    skip: Span | None = None
    calendar: CalendarPeriod | None = None


class Condition(Strict, frozen=True):
    """One form of six: exactly one of `field`, `any`, `all`, `not`, `measure` and `in_segment` is there."""

    field: FieldPath | None = None
    op: Op | None = None
    value: Scalar | Annotated[list[Scalar], Meta(max_length=10_000)] = None
    field_value: FieldPath | None = None
    times: float | None = None
    any_: Annotated[list[Condition], Meta(min_length=1)] | None = msgspec.field(name="any", default=None)
    all_: Annotated[list[Condition], Meta(min_length=1)] | None = msgspec.field(name="all", default=None)
    not_: Condition | None = msgspec.field(name="not", default=None)
    measure: Measure | None = None
    in_segment: SegmentId | None = None


class Pick(Strict, frozen=True):
    event: EventType
    where: list[Condition] = []


class Measure(Strict, frozen=True):
    of: Function
    event: EventType
    over: Over
    where: list[Condition] = []
    field: FieldPath | None = None


class EventWhen(Strict, frozen=True, tag_field="type", tag="event"):
    """`concerns` says whether such an event without a person is for everyone whom `who` selects; by the type if not
    said.
    """

    event: EventType
    where: list[Condition] = []
    concerns: Literal["customer", "everyone"] | None = None


class MeasureWhen(Strict, frozen=True, tag_field="type", tag="measure"):
    measure: Measure
    reaches: float


class SequenceWhen(Strict, frozen=True, tag_field="type", tag="sequence"):
    steps: Annotated[list[Pick], Meta(min_length=2, max_length=5)]
    within: Span
    same: list[SamePath] = []
    restart: Restart = "on_each_first"


class AbsenceWhen(Strict, frozen=True, tag_field="type", tag="absence"):
    after: Pick
    no: Pick
    for_: Span = msgspec.field(name="for")
    same: list[SamePath] = []
    restart: Restart = "on_each_first"


class ChangeWhen(Strict, frozen=True, tag_field="type", tag="change"):
    field: ProfilePath
    from_: list[Scalar] | None = msgspec.field(name="from", default=None)
    to: list[Scalar] | None = None
    direction: Literal["any", "up", "down"] = "any"
    order: list[str] = []


class DateWhen(Strict, frozen=True, tag_field="type", tag="date"):
    field: ProfilePath
    every: Literal["never", "year", "month"] = "never"
    shift: Shift | None = None
    at: LocalTime | None = None
    feb29: Literal["feb28", "mar1"] = "feb28"


class DormancyWhen(Strict, frozen=True, tag_field="type", tag="dormancy"):
    no: Pick
    for_: Span = msgspec.field(name="for")
    never_counts: bool = False


class SegmentWhen(Strict, frozen=True, tag_field="type", tag="segment"):
    segment: SegmentId
    moves: Literal["in", "out"]


class Against(Strict, frozen=True):
    periods: Annotated[int, Meta(ge=1, le=24)]
    statistic: Literal["average", "median"] = "average"
    min_history: Span | None = None


class DeviationWhen(Strict, frozen=True, tag_field="type", tag="deviation"):
    measure: Measure
    against: Against
    by_percent: Annotated[float, Meta(gt=0)]
    direction: Literal["drop", "rise"] = "drop"
    check: Literal["on_event", "daily"] = "daily"


When = (
    EventWhen
    | MeasureWhen
    | SequenceWhen
    | AbsenceWhen
    | ChangeWhen
    | DateWhen
    | DormancyWhen
    | SegmentWhen
    | DeviationWhen
)


class Max(Strict, frozen=True):
    times: Annotated[int, Meta(ge=1, le=1_000)]
    per: Span


class Limits(Strict, frozen=True):
    repeat: Literal["once", "once_per_occasion", "always"] = "once_per_occasion"
    cooldown: Span | None = None
    max: Max | None = None


class Timing(Strict, frozen=True):
    zone: str = "customer"
    accept_late: Span | None = None
    too_late: Literal["count_only", "ignore"] = "count_only"


class Valid(Strict, frozen=True):
    from_: datetime | None = msgspec.field(name="from", default=None)
    until: datetime | None = None


class Emit(Strict, frozen=True):
    """`include` takes values along, by path; `set` writes profile fields: {"profile.life_stage":
    "married"}.
    """

    trigger: TriggerName
    priority: Annotated[int, Meta(ge=0, le=100)] = 50
    reason: Annotated[str, Meta(max_length=200)] = ""
    include: dict[str, FieldPath] = {}
    set: dict[ProfilePath, Any] = {}


class Guards(Strict, frozen=True):
    """Limits of its own above which the rule is paused; null for none. What is left out is the company's."""

    unsubscribe_percent: Percent | None | UnsetType = UNSET
    complaint_percent: Percent | None | UnsetType = UNSET
    bounce_percent: Percent | None | UnsetType = UNSET
    cap_block_percent: Percent | None | UnsetType = UNSET
    after: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET


class Rule(Strict, frozen=True):
    id: RuleId
    name: Text
    when: When
    emit: Emit
    version: int | None = None
    status: Literal["draft", "active", "paused", "retired"] | None = None
    valid: Valid | None = None
    who: list[Condition] = []
    limits: Limits = msgspec.field(default_factory=Limits)
    time: Timing = msgspec.field(default_factory=Timing)
    on_edit: Literal["finish_running", "drop_running"] = "finish_running"
    guards: Guards | None = None
    tags: list[str] = []
    owner: str = ""
    note: Annotated[str, Meta(max_length=2_000)] = ""
    tests: Tests = []


def decode(body: bytes) -> Rule:
    """A stored document, which was valid when it was stored; msgspec.ValidationError otherwise."""
    return msgspec.json.decode(body, type=Rule)
