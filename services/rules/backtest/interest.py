"""Which messages can mean anything to some rules, and of whom are they? Told from their bytes: decoding all would be
most of the work. Pure.

Resolved events are written by one encoder, without spaces, their envelope first. Whatever does not begin like one of
them, or has something escaped in its ids, is looked at closer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from libs.common.events import ERASED
from services.rules.document.language import (
    AbsenceWhen,
    ChangeWhen,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    EventWhen,
    MeasureWhen,
    Rule,
    SegmentWhen,
    SequenceWhen,
)
from services.rules.engine.snapshot import Snapshot

_OPENING = re.compile(
    # A quote within an id is escaped, so that no id is taken for what follows it. A type is compared as it stands.
    rb'\{"event_id":"[^"]*","customer_id":"[^"]*","person_id":"([^"]*)","type":"([^"\\]*)"'
)
_FLAG = b'"traffic":'
_EVERYONE = b'"everyone":true}'
"""How an event ends that concerns everyone: that it does is the last thing that is written of it."""
# Met by the type of an event, or by a profile field that it changed, and by nothing else. So are the segments that they
# name: what an event may move anybody by stands in the same tables as what a rule waits for.
_PLAIN = (
    EventWhen,
    MeasureWhen,
    SequenceWhen,
    AbsenceWhen,
    ChangeWhen,
    DateWhen,
    DormancyWhen,
    DeviationWhen,
    SegmentWhen,
)


class _Origin(msgspec.Struct):
    person_id: str
    traffic: str = ""
    everyone: bool = False


_origin = msgspec.json.Decoder(_Origin)
opening = _OPENING.match
"""Of an event as the encoder writes it: person and type. None of anything else, which is looked at closer."""


def person_of(found: re.Match[bytes] | None, value: bytes) -> bytes | None:
    """Who is behind an event; None where no customer is: of flagged traffic, of what concerns everyone, and of what
    cannot be read.
    """
    if found is not None and _FLAG not in value and not value.endswith(_EVERYONE):
        return found[1]
    try:
        origin = _origin.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if origin.traffic or origin.everyone else origin.person_id.encode()


class Interest:
    """`everything` says that it cannot be told from the bytes: every event has to be decoded and matched."""

    __slots__ = ("_changes", "_types", "everything")

    def __init__(self, snapshots: Sequence[Snapshot], rules: Iterable[Rule]) -> None:
        self.everything = any(map(_looks_further, rules))
        self._types = frozenset(each.encode() for each in {ERASED}.union(*(each.by_type for each in snapshots)))
        fields = set[str]().union(*(each.by_change for each in snapshots))
        self._changes = [f'"{field}":{{'.encode() for field in sorted(fields)]

    def takes(self, found: re.Match[bytes] | None, value: bytes) -> bool:
        """Whether to decode and match a message with such an opening; true is never wrong."""
        if self.everything or found is None or found[2] in self._types:
            return True
        for change in self._changes:
            if change in value:
                return True
        return False


def _looks_further(rule: Rule) -> bool:
    """True for a kind that nobody has thought of here."""
    return not isinstance(rule.when, _PLAIN)
