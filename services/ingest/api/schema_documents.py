"""Which documents are exchanged about event types and their schemas?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from libs.common import web
from services.ingest.schemas import kinds
from services.ingest.schemas.registration import Compatibility

EVENTS_MAX = 100

TypeName = Annotated[
    str, Field(pattern=kinds.NAME_PATTERN, max_length=kinds.NAME_LENGTH_MAX, examples=["warranty_registered"])
]
SchemaDocument = Annotated[
    dict[str, Any] | None,
    Field(
        alias="schema",
        description="A JSON Schema (2020-12) of the event's data. References lead within the document, patterns are"
        " matched in linear time, and `format` is checked. Absent: what is registered stays, and of a new type any"
        " object is accepted.",
        examples=[{"type": "object", "required": ["years"], "properties": {"years": {"type": "integer"}}}],
    ),
]


class NewType(web.Document):
    """`compatibility: none` lets a version refuse what was accepted, with a `note` that says why."""

    type: TypeName
    description: str | None = Field(default=None, max_length=2_000)
    schema_: SchemaDocument = None
    note: str = Field(default="", max_length=2_000)
    compatibility: Compatibility = "backward"


class EventType(web.Document):
    """`version` is the owners' newest one; 0 where there is only what ships.

    `subject` is what an event of this type without an identifier is about: such an event has no person and concerns
    whoever a rule selects. Empty for types that always concern a person; a schema says it by `x-subject`.
    """

    type: str
    description: str
    standard: bool
    version: int
    subject: list[str] = []


class Version(web.Document):
    version: int
    compatibility: Compatibility
    note: str
    created_by: str
    created_at: datetime | None


class FullVersion(Version):
    """`schema` is null in a version that lets any object through."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True)

    schema_: dict[str, Any] | None = Field(alias="schema")


class FullType(EventType):
    """`schema` is the owners' own, or what ships where they have none; null where any object goes.

    For a standard type that the owners added to, both `schema` and `standard_schema` hold.
    """

    model_config = ConfigDict(extra="forbid", validate_by_name=True)

    schema_: dict[str, Any] | None = Field(alias="schema")
    standard_schema: dict[str, Any] | None = None
    compatibility: Compatibility = "backward"
    note: str = ""
    created_by: str = ""
    created_at: datetime | None = None


class Sample(BaseModel):
    """An event as it would be sent; only its data and its branch are looked at."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    data: dict[str, Any] = {}
    branch: str | None = Field(default=None, max_length=200)


class Trial(web.Document):
    """With a `type`, the schema is also compared with what is registered for it."""

    schema_: dict[str, Any] = Field(alias="schema")
    type: TypeName | None = None
    events: list[Sample] = Field(default=[], max_length=EVENTS_MAX)


class Violated(web.Document):
    pointer: str
    reason: str
    detail: str


class Verdict(web.Document):
    accepted: bool
    violations: list[Violated]


class TypeVerdict(Verdict):
    type: str
    version: int


class Finding(web.Document):
    pointer: str
    detail: str


class Narrower(Finding):
    """`proven` is false where it could only not be shown that all is well."""

    proven: bool


class TrialResult(web.Document):
    """`valid` and `errors` speak of the schema itself; `compatible` is null where nothing is there to compare with."""

    valid: bool
    errors: list[Finding] = []
    compatible: bool | None = None
    narrowings: list[Narrower] = []
    verdicts: list[Verdict] = []
