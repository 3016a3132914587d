"""What does a test that is stored with a rule look like? Given these events, these triggers and no others."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

TESTS_MAX = 50
EVENTS_MAX = 200
CUSTOMER = "customer"
"""Who is meant where a test names nobody."""

Name = Annotated[str, Meta(min_length=1, max_length=120)]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name that is not known is refused: it is most likely a slip."""


class Moved(_Strict, frozen=True):
    """A profile field before and after an event."""

    was: Any = None
    now: Any = None


class GivenEvent(_Strict, frozen=True):
    """An event as rules read it, with the customer's profile as it left it.

    Without `id` an event is named by its place, from "1" on. `profile` stays as it was last given, and what it
    changes against that is `changed`, unless that is said. `received` is when it came in, its own time if not said.
    `everyone` says that it has no person: it concerns all customers of whom the test has told.
    """

    type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$", description="an event type; e.g. visit")]
    time: datetime
    id: Name | None = None
    customer: Name = CUSTOMER
    received: datetime | None = None
    data: dict[str, Any] = {}
    profile: dict[str, Any] | None = None
    changed: dict[str, Moved] | None = None
    source: str = "test"
    channel: str = ""
    branch: str | None = None
    region: str = ""
    linked: Annotated[list[Name], Meta(max_length=20)] = []
    history: bool = False
    everyone: bool = False


class Expected(_Strict, frozen=True):
    """A trigger: whose it is, and, as far as they are said, when, by which event, and what it takes along."""

    customer: Name = CUSTOMER
    at: datetime | None = None
    event: Name | None = None
    include: dict[str, Any] | None = None


class RuleTest(_Strict, frozen=True):
    """The triggers of `expect` come and no others, until the clock has reached `until`: 400 days after the last event
    if that is not said."""

    name: Name
    given: Annotated[list[GivenEvent], Meta(min_length=1, max_length=EVENTS_MAX)]
    expect: Annotated[list[Expected], Meta(max_length=EVENTS_MAX)]
    until: datetime | None = None


Tests = Annotated[list[RuleTest], msgspec.Meta(max_length=TESTS_MAX)]
