"""What does a story on the rules page say, and what comes of it? Line by line: when, who, what happened, what fires.

    Mon 2026-03-02 10:00  mina: visit {"place": "gangnam"}     => fires {"visits": 3}   # Words for the reader.

A line without an event is the instant at which something is due. What a line does not say does not fire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from libs.common import clock

Document = dict[str, Any]
ZONE = "Asia/Seoul"
WHO = "customer"
LASTS = timedelta(days=400)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = re.compile(r"(?:(?P<day>[A-Z][a-z]{2}) )?(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d)(?P<offset>[+-]\d\d:\d\d)?")
_EACH = re.compile(r"each day from (?P<first>\d{4}-\d\d-\d\d) to (?P<last>\d{4}-\d\d-\d\d) (?P<rest>.*)")
_WHO = re.compile(r"([\w-]+):(?=\s|$)")
_WORD = re.compile(r"=>|#|[^\s,]+|,")
_FLAGS = ("history", "everyone")
_TEXTS = ("region", "branch", "channel", "source", "traffic", "id")


class NotUnderstood(Exception):
    """A line of a story that says nothing to us."""


@dataclass
class Fires:
    """`rule` is empty where the story has one rule alone."""

    rule: str = ""
    include: Document = field(default_factory=dict)


@dataclass
class Line:
    """`kind` is empty for an instant at which something is due, and for the last line, which is `until`."""

    text: str
    at: datetime
    who: str = WHO
    kind: str = ""
    received: datetime | None = None
    data: Document = field(default_factory=dict)
    profile: Document = field(default_factory=dict)
    edit: Document | None = None
    joins: str = ""
    leaves: bool = False
    until: bool = False
    more: Document = field(default_factory=dict)
    fires: list[Fires] = field(default_factory=list)

    @property
    def came_in(self) -> datetime:
        return self.received or self.at

    @property
    def happens(self) -> bool:
        return bool(self.kind or self.joins or self.leaves)


@dataclass
class Story:
    lines: list[Line]

    @property
    def until_ms(self) -> int:
        last = self.lines[-1]
        return clock.to_ms(last.at if last.until else max(line.came_in for line in self.lines) + LASTS)


def read(text: str) -> Story:
    """Raises NotUnderstood with the line."""
    zone, lines = ZoneInfo(ZONE), []
    for line in text.splitlines():
        if line.startswith("zone "):
            zone = ZoneInfo(line.removeprefix("zone ").strip())
        elif found := _EACH.match(line):
            day, last = (date.fromisoformat(found[name]) for name in ("first", "last"))
            while day <= last:
                lines.append(_Reader(f"{day} {found['rest']}", zone).line())
                day += timedelta(days=1)
        elif line.strip() and not line.lstrip().startswith("#"):
            lines.append(_Reader(line, zone).line())
    if not lines:
        raise NotUnderstood("a story without a line")
    if any(line.until for line in lines[:-1]):
        raise NotUnderstood("until is the last line of a story")
    return Story(lines)


class _Reader:
    def __init__(self, text: str, zone: ZoneInfo) -> None:
        self._text = self._rest = text
        self._zone = zone

    def line(self) -> Line:
        self._rest = self._rest.strip()
        until = self._rest.startswith("until ")
        self._rest = self._rest.removeprefix("until ").lstrip()
        line = Line(self._text.strip(), self._instant(), until=until)
        if who := _WHO.match(self._rest):
            line.who = who[1]
            self._rest = self._rest[who.end() :].lstrip()
        while self._rest and not self._rest.startswith("#"):
            self._part(line)
        return line

    def _part(self, line: Line) -> None:
        word = self._word()
        if word == "=>":
            line.fires = list(self._fires())
        elif word == "told":
            line.received = self._instant()
        elif word == "profile":
            line.profile = self._object()
        elif word == "edit":
            line.edit = self._object()
        elif word == "joins":
            line.joins = self._word()
        elif word == "leaves":
            line.leaves = True
        elif word in _FLAGS:
            line.more[word] = True
        elif word in _TEXTS:
            line.more[word] = self._word()
        elif line.kind or not re.fullmatch(r"[a-z][\w.]*", word):
            raise self._lost(word)
        else:
            line.kind = word
            line.data = self._object() if self._rest.startswith("{") else {}

    def _fires(self) -> Iterator[Fires]:
        while True:
            if self._word() != "fires":
                raise self._lost("after => comes fires")
            made = Fires()
            if self._rest and self._rest[0] not in "{,#":
                made.rule = self._word()
            if self._rest.startswith("{"):
                made.include = self._object()
            yield made
            if not self._rest.startswith(","):
                return
            self._word()

    def _instant(self) -> datetime:
        found = _TIME.match(self._rest)
        if found is None:
            raise self._lost("there is no time")
        self._rest = self._rest[found.end() :].lstrip()
        local = datetime.fromisoformat(found["at"] + (found["offset"] or ""))
        if found["day"] and found["day"] != _DAYS[local.weekday()]:
            raise self._lost(f"that is no {found['day']}")
        return (local if local.tzinfo else local.replace(tzinfo=self._zone)).astimezone(UTC)

    def _word(self) -> str:
        found = _WORD.match(self._rest)
        if found is None:
            raise self._lost("it ends too early")
        self._rest = self._rest[found.end() :].lstrip()
        return found[0]

    def _object(self) -> Document:
        try:
            value, end = json.JSONDecoder().raw_decode(self._rest)
        except json.JSONDecodeError as error:
            raise self._lost(str(error)) from error
        if not isinstance(value, dict):
            raise self._lost("an object belongs here")
        self._rest = self._rest[end:].lstrip()
        return value

    def _lost(self, why: str) -> NotUnderstood:
        return NotUnderstood(f"{self._text.strip()!r}: {why} (before {self._rest[:40]!r})")


# --- as events -------------------------------------------------------------------------------------------------------


class Cast:
    """Who occurs in a story: their profiles and who is one person with whom, as it goes on."""

    def __init__(self) -> None:
        self._profiles: dict[str, Document] = {}
        self._linked: dict[str, list[str]] = {}

    def events(self, line: Line, number: int) -> list[Document]:
        """What a line says as the events that come of it, in the form in which the oracle reads them."""
        if line.joins:
            group = sorted({line.who, line.joins, *self._linked.get(line.who, []), *self._linked.get(line.joins, [])})
            self._linked |= dict.fromkeys(group, group)
            return [self._event(line, f"{number}-{each}", each, "profile.linked") for each in group]
        if line.leaves:
            group = self._linked[line.who]
            rest = [each for each in group if each != line.who]
            self._linked |= dict.fromkeys(rest, rest if len(rest) > 1 else []) | {line.who: []}
            return [self._event(line, f"{number}-{each}", each, "profile.unlinked") for each in group]
        return [self._event(line, str(number), line.who, line.kind)]

    def _event(self, line: Line, id_: str, customer: str, kind: str) -> Document:
        known = self._profiles.setdefault(customer, {})
        new = {name: value for name, value in line.profile.items() if known.get(name) != value}
        changed = {name: {"was": known.get(name), "now": value} for name, value in new.items()}
        self._profiles[customer] = known = known | line.profile
        return {
            "id": id_,
            "customer": customer,
            "type": kind,
            "time": clock.to_ms(line.at),
            "received": clock.to_ms(line.came_in),
            "data": line.data,
            "profile": known,
            "changed": changed,
            "linked": self._linked.get(customer, []),
            "history": False,
            "region": "",
            **line.more,
        }


def merged(document: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    kept = document if isinstance(document, dict) else {}
    made = {name: merged(kept.get(name), value) for name, value in patch.items() if value is not None}
    return {**{name: each for name, each in kept.items() if name not in patch}, **made}


def expected(story: Story, rules: Sequence[Document]) -> list[tuple[str, str, str, Document]]:
    """What has to fire: the line's number or, of what is due, its instant; customer, rule, and what it includes."""
    only = str(rules[0]["id"]) if len(rules) == 1 else ""
    found = []
    for number, line in enumerate(story.lines, 1):
        moment = str(number) if line.happens else line.at.isoformat()
        found += [(moment, line.who, each.rule or only, each.include) for each in line.fires]
    return sorted(found, key=lambda each: each[:3])
