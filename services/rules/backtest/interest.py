"""Which messages can mean anything to some rules, and of whom are they? Told from their bytes: decoding all would be
most of the work. Pure.

Resolved events are written by one encoder, without spaces, their envelope first. Of such bytes the first `"type":"` is
the event's own, because a quote within a text is escaped. Whatever does not begin like one of them is looked at closer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from libs.common.events import ERASED
from services.rules.document.language import (
    AbsenceWhen,
    ChangeWhen,
    Condition,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    EventWhen,
    MeasureWhen,
    Rule,
    SequenceWhen,
)
from services.rules.engine.snapshot import Snapshot

_OPENING = b'{"event_id":"'
_TYPE = b'"type":"'
_PERSON = b'"person_id":"'
_FLAG = b'"traffic":'
# Met by the type of an event, or by a profile field that it changed, and by nothing else.
_PLAIN = (EventWhen, MeasureWhen, SequenceWhen, AbsenceWhen, ChangeWhen, DateWhen, DormancyWhen, DeviationWhen)


class _Origin(msgspec.Struct):
    person_id: str
    traffic: str = ""


_origin = msgspec.json.Decoder(_Origin)


def person_of(value: bytes) -> bytes | None:
    """Who is behind an event; None where no customer is: of flagged traffic, and of what cannot be read."""
    if value.startswith(_OPENING) and _FLAG not in value:
        at = value.find(_PERSON) + len(_PERSON)
        return value[at : value.find(b'"', at)]
    try:
        origin = _origin.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if origin.traffic else origin.person_id.encode()


class Interest:
    """`everything` says that it cannot be told from the bytes: every event has to be decoded and matched."""

    __slots__ = ("_changes", "_types", "everything")

    def __init__(self, snapshots: Sequence[Snapshot], rules: Iterable[Rule]) -> None:
        self.everything = any(map(_looks_further, rules))
        self._types = frozenset(each.encode() for each in {ERASED}.union(*(each.by_type for each in snapshots)))
        fields = set[str]().union(*(each.by_change for each in snapshots))
        self._changes = [f'"{field}":{{'.encode() for field in sorted(fields)]

    def takes(self, value: bytes) -> bool:
        """Whether to decode and match a message; true is never wrong."""
        if self.everything or not value.startswith(_OPENING):
            return True
        at = value.find(_TYPE) + len(_TYPE)
        if value[at : value.find(b'"', at)] in self._types:
            return True
        for change in self._changes:
            if change in value:
                return True
        return False


def _looks_further(rule: Rule) -> bool:
    """True for a kind that nobody has thought of here, and for segments, of which any event may change the members."""
    return not isinstance(rule.when, _PLAIN) or any(map(_names_a_segment, rule.who))


def _names_a_segment(condition: Condition) -> bool:
    inner = [*(condition.any_ or ()), *(condition.all_ or ()), *((condition.not_,) if condition.not_ else ())]
    return condition.in_segment is not None or any(map(_names_a_segment, inner))
