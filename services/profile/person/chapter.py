"""What does one subject of a profile consist of? The shape that all chapters share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Effect

if TYPE_CHECKING:
    from services.profile.person.state import Customer


class Moment(Struct, frozen=True):
    """A day (ordinal in the company's zone) at whose end a profile is looked at, and the definitions in force."""

    day: int
    definitions: Definitions


Records = Sequence["Customer"]
"""All records of one person, the one that is looked at first."""


def _nothing(records: Records, at: Moment) -> dict[str, Any]:
    del records, at
    return {}


def _no_reasons(records: Records, at: Moment) -> Iterable[str]:
    del records, at
    return ()


def _never(records: Records, at: Moment) -> int | None:
    del records, at
    return None


@dataclass(frozen=True)
class Chapter:
    """One subject: what it keeps, how events change that, and what follows from it. All functions are pure.

    `name` is the section of the customer view. `keeps` is the attribute of `Customer` that `effects` (by event type)
    and `every` (for each event, first) act on; `state` makes an empty one. Where `concerns` names types of identifiers,
    `every` acts only on events with one of them. A chapter that only follows from what
    others keep has no `state`. `reads` names all attributes that its views look at.

    fields      what rules and the history see: flat names, nothing that names, reaches or locates the person
    shown       the section that people see, personal data included; None leaves the section out
    suppresses  reasons for which nobody may be contacted
    due         the day (ordinal) after `at` on which `fields` will change by the passing of time alone, or None

    `fades`: some of `fields` follow from the day without a day for it in `due`. They are seen anew on each day on which
    anything happens or falls due, and wake nobody: a sum over the last week changes on most days for most customers.
    """

    name: str
    reads: tuple[str, ...]
    keeps: str = ""
    state: Callable[[], Any] | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)
    every: Effect | None = None
    concerns: frozenset[str] = frozenset()
    fields: Callable[[Records, Moment], dict[str, Any]] = _nothing
    shown: Callable[[Records, Moment], Any] | None = None
    suppresses: Callable[[Records, Moment], Iterable[str]] = _no_reasons
    due: Callable[[Records, Moment], int | None] = _never
    reserved: Callable[[str], bool] = lambda name: False
    fades: bool = False

    @property
    def ages(self) -> bool:
        """Whether its fields follow from the day as well."""
        return self.fades or self.wakes

    @property
    def wakes(self) -> bool:
        """Whether there are days on which its fields change although nothing happens."""
        return self.due is not _never
