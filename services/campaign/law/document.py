"""How is a row of the policy table written, and what comes of the company's rows beside those that ship?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from libs.common.documents import ActiveDocument
from libs.common.errors import Fault
from libs.common.web import Document
from libs.common.web.problems import faults_of
from services.campaign.caps import Cap
from services.campaign.document import CapPart, Name, span_of
from services.campaign.law.rows import MARKETING_SCOPE, SHIPPED_VERSION, ConsentNeeded, Hours, Row, Table, table_of
from services.campaign.law.shipped import SHIPPED

KIND = "policy"
ID = "company"
"""There is one document: what counts has to be seen at one glance."""

ROWS_MAX = 500
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAYS = "holidays"
GROUPS: Mapping[str, str] = {
    "EU": "AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO",
}
"""Places that one word stands for; with the Union those that have taken over its law on telecommunication."""

_DAYS = re.compile(rf"^({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))?$")
_SPAN = re.compile(r"^([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)$")
_PLACE = re.compile(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")

RowId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")]
Channel = Literal["email", "sms", "push", "webhook", "call"]
Class = Literal["marketing", "transactional", "service"]
Scope = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Spans = Annotated[list[str], Field(max_length=8)]


class _Part(Document):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True, frozen=True)


class ConsentPart(_Part):
    """`scope` is marketing, or a purpose beside it such as night; `months_max` its age, null for any."""

    scope: Scope = MARKETING_SCOPE
    months_max: int | None = Field(None, ge=1, le=1200)


class HoursPart(_Part):
    """When it is allowed, on the clock of the recipient: spans by days (mon, mon-sat), or by public `holidays`.

    Days that are missing are closed; holidays that are missing are like other days. With the consent `unless` the
    hours do not bind.
    """

    open: dict[str, Spans]
    unless: ConsentPart | None = None

    @field_validator("open")
    @classmethod
    def _is_week(cls, given: dict[str, list[str]]) -> dict[str, list[str]]:
        seen = [day for days in given for day in _days_of(days)]
        if twice := sorted({day for day in seen if seen.count(day) > 1}):
            raise ValueError(f"{twice[0]} is named twice")
        for spans in given.values():
            _minutes_of(spans)
        return given


class RowPart(_Part):
    """All parts that are there must be met: `forbidden` never is. `source` says in words where it comes from."""

    id: RowId
    source: str = Field(min_length=1, max_length=1000)
    where: Annotated[list[str], Field(min_length=1, max_length=60)]
    classes: Annotated[list[Class], Field(min_length=1)] = ["marketing"]
    channels: Annotated[list[Channel], Field(min_length=1)] = ["email", "sms", "push", "webhook", "call"]
    forbidden: bool = False
    consent: ConsentPart | None = None
    hours: HoursPart | None = None
    cap: CapPart | None = None

    @field_validator("where")
    @classmethod
    def _are_places(cls, places: list[str]) -> list[str]:
        for place in places:
            if place not in GROUPS and not _PLACE.match(place):
                raise ValueError(f'"{place}" is no place: write a country such as KR, a region such as US-TX, or EU')
        return places

    @model_validator(mode="after")
    def _asks_for_something(self) -> RowPart:
        if not (self.forbidden or self.consent or self.hours or self.cap):
            raise ValueError("asks for nothing; give forbidden, consent, hours or cap")
        return self


class PolicyDocument(_Part):
    """The company's rows. One with the id of a row that ships stands in its place; `without` leaves such rows out."""

    id: Literal["company"] = "company"
    name: Name = "The company's policy"
    description: str = Field("", max_length=2000)
    rows: Annotated[list[RowPart], Field(max_length=ROWS_MAX)] = []
    without: Annotated[list[RowId], Field(max_length=ROWS_MAX)] = []

    @model_validator(mode="after")
    def _is_one_table(self) -> PolicyDocument:
        ids = [row.id for row in self.rows]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f'there are two rows "{twice[0]}"')
        if unknown := sorted(set(self.without) - {row.id for row in shipped_table().rows}):
            raise ValueError(f'without names "{unknown[0]}", which is no row that ships')
        return self


def faults_in(document: Mapping[str, object]) -> list[Fault]:
    """Everything that is wrong with what somebody wrote; nothing when it can be kept."""
    try:
        PolicyDocument.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return faults_of([{**each, "loc": ("body", *each["loc"])} for each in found])
    return []


def table_in_force(documents: Sequence[ActiveDocument]) -> Table:
    """The company's version where one is active, else what ships."""
    if not documents:
        return shipped_table()
    [only] = documents
    written = TypeAdapter(PolicyDocument).validate_json(only.body)
    left_out = {*written.without, *(row.id for row in written.rows)}
    shipped = [row for row in shipped_table().rows if row.id not in left_out]
    return table_of(only.version, [*shipped, *map(_row_of, written.rows)])


@cache
def shipped_table() -> Table:
    adapter = TypeAdapter(RowPart)
    return table_of(SHIPPED_VERSION, [_row_of(adapter.validate_python(each)) for each in SHIPPED])


def written_rows(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows in force as they are written, the company's documents beside what ships."""
    left_out = {each for document in documents for each in document.get("without", ())}
    own = [row for document in documents for row in document.get("rows", ())]
    left_out |= {row["id"] for row in own}
    return [*(dict(row) for row in SHIPPED if row["id"] not in left_out), *own]


def _row_of(part: RowPart) -> Row:
    return Row(
        id=part.id,
        places=frozenset(each for place in part.where for each in GROUPS.get(place, place).split()),
        classes=frozenset(part.classes),
        channels=frozenset(part.channels),
        source=part.source,
        forbidden=part.forbidden,
        consent=_needed(part.consent),
        hours=None if part.hours is None else _hours_of(part.hours),
        cap=None if part.cap is None else Cap(part.cap.times, span_of(part.cap.per)),
    )


def _needed(part: ConsentPart | None) -> ConsentNeeded | None:
    return None if part is None else ConsentNeeded(part.scope, part.months_max or 0)


def _hours_of(part: HoursPart) -> Hours:
    week: list[tuple[int, ...]] = [()] * len(DAYS)
    for days, spans in part.open.items():
        for day in _days_of(days):
            if day != HOLIDAYS:
                week[DAYS.index(day)] = _minutes_of(spans)
    holidays = part.open.get(HOLIDAYS)
    return Hours(tuple(week), None if holidays is None else _minutes_of(holidays), _needed(part.unless))


def _days_of(text: str) -> list[str]:
    if text == HOLIDAYS:
        return [HOLIDAYS]
    found = _DAYS.match(text)
    if found is None:
        raise ValueError(f'"{text}" names no days; write mon, mon-sat or holidays')
    first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
    if last < first:
        raise ValueError(f'"{text}" runs over the end of the week; write it as two')
    return list(DAYS[first : last + 1])


def _minutes_of(spans: Sequence[str]) -> tuple[int, ...]:
    minutes: list[int] = []
    for text in spans:
        found = _SPAN.match(text)
        if found is None:
            raise ValueError(f'"{text}" is no span of a day; write it as "08:00-21:00", up to 24:00')
        end = 24 * 60 if found[3] is None else int(found[3]) * 60 + int(found[4])
        minutes += [int(found[1]) * 60 + int(found[2]), end]
    if any(later <= earlier for earlier, later in zip(minutes, minutes[1:], strict=False)):
        raise ValueError("spans of a day must follow one another, each with its end after its beginning")
    return tuple(minutes)
