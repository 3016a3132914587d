"""Has what came of a document gone over one of its limits, and how far is it from the others? Pure.

A limit is a name, what is counted, what it is a share of, and the share above which the document is stopped. A share
of few is mostly chance, so the question is an exact one-sided test: were the true share at the limit, how likely would
so many be? Below `CHANCE` the document is over. Nothing is said before the least number has been seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, lgamma, log, log1p, sqrt
from typing import Any, Literal

from msgspec import Struct, structs

CHANCE = 0.05
NEAR = 0.75
"""A limit is near from this share of the count on that would stop the document."""

CONTACTS, UNSUBSCRIBED, COMPLAINED, BOUNCED = "contacts", "unsubscribed", "complained", "bounced"
CAP_ASKED, CAP_BLOCKED = "cap_asked", "cap_blocked"
MEASURES = (CONTACTS, UNSUBSCRIBED, COMPLAINED, BOUNCED, CAP_ASKED, CAP_BLOCKED)

State = Literal["off", "too_few", "within", "near", "over"]


class Watched(Struct, frozen=True):
    """Something that can be limited: `part` of `whole`, and how it is called in a sentence."""

    name: str
    part: str
    whole: str
    words: str

    @property
    def field(self) -> str:
        """Under which a document says its own percentage."""
        return f"{self.name}_percent"


WATCHED = (
    Watched("unsubscribe", UNSUBSCRIBED, CONTACTS, "of {of} contacts unsubscribed"),
    Watched("complaint", COMPLAINED, CONTACTS, "of {of} contacts were reported as spam"),
    Watched("bounce", BOUNCED, CONTACTS, "of {of} contacts bounced for good"),
    Watched("cap_block", CAP_BLOCKED, CAP_ASKED, "of {of} decisions were blocked by a cap"),
)


class Guards(Struct, frozen=True):
    """What a company sets for all documents; None switches a limit off. `days` is the span that is looked at."""

    unsubscribe_percent: float | None
    complaint_percent: float | None
    bounce_percent: float | None
    cap_block_percent: float | None
    after: int
    days: int


class Share(Struct, frozen=True):
    """What a limit is held against: so many of so many, and the percentage allowed, None for no limit."""

    name: str
    limit_percent: float | None
    own: bool
    count: int
    of: int
    share_percent: float | None
    words: str


class Standing(Share, frozen=True):
    """One limit of one document: `stops_at` is the count with which, of so many, it would be over."""

    stops_at: int | None
    state: State


def with_own(company: Guards, own: Any) -> tuple[Guards, frozenset[str]]:
    """The limits of a document that says `own` of its guards, and which of them are its own."""
    said = own if isinstance(own, Mapping) else {}
    known = {name: value for name, value in said.items() if name in Guards.__struct_fields__ and name != "days"}
    values = {name: known.get(name, getattr(company, name)) for name in Guards.__struct_fields__}
    return Guards(**values), frozenset(known)


def standings(guards: Guards, own: frozenset[str], counts: Mapping[str, int]) -> list[Standing]:
    """How far it is from each limit. That takes some ten tests a limit; `over` needs one, and most often none."""
    return [_standing(_share(each, guards, each.field in own, counts), guards.after) for each in WATCHED]


def over(guards: Guards, own: frozenset[str], counts: Mapping[str, int]) -> list[Share]:
    """Those that stop the document: the ones whose standing is "over"."""
    shares = [_share(each, guards, each.field in own, counts) for each in WATCHED]
    return [
        each
        for each in shares
        if each.limit_percent is not None
        and each.of >= guards.after
        and is_over(each.count, each.of, each.limit_percent)
    ]


def _share(watched: Watched, guards: Guards, own: bool, counts: Mapping[str, int]) -> Share:
    count, of = counts.get(watched.part, 0), counts.get(watched.whole, 0)
    # A reaction may be counted before its contact is.
    of = max(of, count)
    return Share(
        name=watched.name,
        limit_percent=getattr(guards, watched.field),
        own=own,
        count=count,
        of=of,
        share_percent=round(100 * count / of, 3) if of else None,
        words=f"{count} {watched.words.format(of=of)}",
    )


def _standing(share: Share, after: int) -> Standing:
    percent = share.limit_percent
    stops_at = None if percent is None else least_over(max(share.of, after), percent)
    state = _state(share.count, share.of, percent, after, stops_at)
    return Standing(**structs.asdict(share), stops_at=stops_at, state=state)


def _state(count: int, of: int, percent: float | None, after: int, stops_at: int | None) -> State:
    if percent is None:
        return "off"
    if of < after:
        return "too_few"
    if stops_at is not None and count >= stops_at:
        return "over"
    return "near" if stops_at is not None and count >= NEAR * stops_at else "within"


def reasons(found: Sequence[Share], since: str) -> str:
    """Why a document is stopped, for its note."""
    return "; ".join(
        f"{each.words} since {since} ({each.share_percent:g} %): more than the limit of {each.limit_percent:g} %"
        for each in found
    )


def least_over(of: int, percent: float) -> int | None:
    """The least count that is over a limit of so many percent; None where none is, as at 100 %."""
    mean = of * percent / 100
    # So far above the mean no chance reaches, however few or many there are.
    low, high = int(mean), min(of, int(mean + 3 * sqrt(mean)) + 20)
    if not is_over(high, of, percent):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if is_over(middle, of, percent):
            high = middle
        else:
            low = middle
    return high


def is_over(count: int, of: int, percent: float) -> bool:
    """Whether so many of so many would be unlikely, were the true share no more than the limit."""
    return count > 0 and 100 * count > of * percent and tail(count, of, percent / 100) < CHANCE


def tail(count: int, of: int, share: float) -> float:
    """The probability of `count` or more of `of`, each with the probability `share`; `count` lies above the mean."""
    if share <= 0 or count > of:
        return 0.0
    if share >= 1:
        return 1.0
    ways = lgamma(of + 1) - lgamma(count + 1) - lgamma(of - count + 1)
    term = exp(ways + count * log(share) + (of - count) * log1p(-share))
    total, odds = 0.0, share / (1 - share)
    for seen in range(count, of + 1):
        total += term
        # Above the mean each term is less than the one before, so that the rest is soon nothing.
        term *= (of - seen) / (seen + 1) * odds
        if term <= total * 1e-15:
            break
    return min(1.0, total)
