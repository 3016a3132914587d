"""Which of thousands of patterns does an event match? A tree that looks at the most telling attribute first.
Pure.

Each node splits its patterns by the values that they demand of one attribute, so that an event meets only
those that ask for what it has. Where nothing is left to split by value, many patterns with a numeric range
share one table of intervals, and the rest is tried one by one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from services.rules.document.language import Condition
from services.rules.engine.conditions import Getter, Odd, Predicate, compile_all, key, nobody_asks, number, path_getter

U = TypeVar("U")
Finder = Callable[[dict[str, Any], list[Any]], None]
SMALL = 4
RANGES_MIN = 8
RANGES_MAX = 512
# A longer list is cheaper to test than to spread over as many buckets.
BUCKETS_MAX = 256
_INFINITE = float("inf")
_RANGES = ("at_least", "at_most", "between")
_ORDERED = (*_RANGES, "more_than", "less_than")


class Pattern(NamedTuple, Generic[U]):
    """Conditions on one event that must all hold, and what to report when they do.

    `odd` is told of an event that got as far as a comparison and had a value of another type there.
    """

    conditions: tuple[Condition, ...]
    uses: tuple[U, ...]
    odd: Odd = nobody_asks


def event_getter(field: str) -> Getter:
    """`event.<path>` in the object that `Subject` makes of an event's data and envelope."""
    return path_getter(field.split(".")[1:])


def flattened(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """`all` opened up, so that what is within it can be looked up too."""
    flat: list[Condition] = []
    for each in conditions:
        flat.extend(flattened(each.all_) if each.all_ is not None else (each,))
    return tuple(flat)


def build(patterns: Sequence[Pattern[U]]) -> Finder:
    if len(patterns) > SMALL:
        demands = _best_field(patterns)
        if demands is not None:
            return _by_value(demands, patterns)
        if len(patterns) >= RANGES_MIN and (field := _range_field(patterns)) is not None:
            return _by_range(field, patterns)
    return _one_by_one(patterns)


def _best_field(patterns: Sequence[Pattern[U]]) -> str | None:
    """The attribute of which the patterns demand the most different values."""
    values: dict[str, Counter[Any]] = defaultdict(Counter)
    for pattern in patterns:
        for field, demanded in {each.field: each for each in pattern.conditions}.items():
            wanted = _demanded(demanded)
            if field is not None and wanted is not None:
                values[field].update(wanted)
    gains = {field: len(counts) - 1 for field, counts in values.items() if len(counts) > 1}
    return max(sorted(gains), key=gains.__getitem__) if gains else None


def _demanded(condition: Condition) -> tuple[Any, ...] | None:
    """The values of which a field must have one, as dictionary keys; None for what is no such demand."""
    if condition.field is None or condition.field_value is not None:
        return None
    if condition.op == "is" and condition.value is not None and not isinstance(condition.value, list):
        return (key(condition.value),)
    if condition.op != "in" or not isinstance(condition.value, list) or len(condition.value) > BUCKETS_MAX:
        return None
    if None not in condition.value:
        return tuple(dict.fromkeys(key(each) for each in condition.value))
    return None


def _split(field: str, pattern: Pattern[U]) -> tuple[tuple[Any, ...] | None, Pattern[U]]:
    for at, condition in enumerate(pattern.conditions):
        if condition.field == field and (wanted := _demanded(condition)) is not None:
            rest = pattern.conditions[:at] + pattern.conditions[at + 1 :]
            return wanted, pattern._replace(conditions=rest)
    return None, pattern


def _by_value(field: str, patterns: Sequence[Pattern[U]]) -> Finder:
    buckets: dict[Any, list[Pattern[U]]] = defaultdict(list)
    others: list[Pattern[U]] = []
    for pattern in patterns:
        wanted, rest = _split(field, pattern)
        if wanted is None:
            others.append(pattern)
        else:
            for value in wanted:
                buckets[value].append(rest)
    table = {value: build(each) for value, each in buckets.items()}
    numeric = any(value.__class__ in (int, float) for value in table)
    further = build(others) if others else None
    return _lookup(event_getter(field), table, numeric, further)


def _lookup(getter: Getter, table: dict[Any, Finder], numeric: bool, further: Finder | None) -> Finder:
    many = _lookup_many(table, numeric)

    def find(subject: dict[str, Any], found: list[Any]) -> None:
        value = getter(subject)
        if value.__class__ is str and not numeric:
            if (hit := table.get(value)) is not None:
                hit(subject, found)
        elif value is not None:
            many(value, subject, found)
        if further is not None:
            further(subject, found)

    return find


def _lookup_many(table: dict[Any, Finder], numeric: bool) -> Callable[[Any, dict[str, Any], list[Any]], None]:
    """The rare cases: several values, numbers written as text, truth values."""

    def find(value: Any, subject: dict[str, Any], found: list[Any]) -> None:
        values = value if value.__class__ is list else (value,)
        keys = {k for each in values if (k := key(each)) is not None}
        if numeric:
            keys.update(n for each in values if each.__class__ is str and (n := number(each)) is not None)
        hits: list[Any] = []
        for each in keys:
            if (hit := table.get(each)) is not None:
                hit(subject, hits)
        # A pattern that asks for one of several values may be met by two of them.
        found.extend(dict.fromkeys(hits) if len(keys) > 1 else hits)

    return find


def _range_of(condition: Condition) -> tuple[float, float] | None:
    """Both ends belong to it."""
    if condition.op not in _RANGES or condition.field is None or condition.field_value is not None:
        return None
    value = condition.value
    low, high = value if isinstance(value, list) else (value, value)
    ends = number(low), number(high)
    if ends[0] is None or ends[1] is None:
        return None
    return (
        -_INFINITE if condition.op == "at_most" else ends[0],
        _INFINITE if condition.op == "at_least" else ends[1],
    )


def _range_field(patterns: Sequence[Pattern[U]]) -> str | None:
    counts = Counter(
        field
        for pattern in patterns
        for field in {each.field for each in pattern.conditions if _range_of(each) is not None}
    )
    if not counts or len(patterns) > RANGES_MAX:
        return None
    field, count = max(sorted(counts.items(), key=str), key=lambda each: each[1])
    return field if count >= RANGES_MIN else None


def _by_range(field: str, patterns: Sequence[Pattern[U]]) -> Finder:
    """Every end of a range is a cell of its own, and so is what lies between two ends."""
    ranged: list[tuple[float, float, Pattern[U]]] = []
    others: list[Pattern[U]] = []
    for pattern in patterns:
        at = next((n for n, c in enumerate(pattern.conditions) if c.field == field and _range_of(c)), None)
        if at is None:
            others.append(pattern)
            continue
        low, high = _range_of(pattern.conditions[at]) or (0.0, 0.0)
        rest = pattern.conditions[:at] + pattern.conditions[at + 1 :]
        ranged.append((low, high, pattern._replace(conditions=rest)))
    ends = sorted({end for low, high, _ in ranged for end in (low, high)})
    cells: list[list[Pattern[U]]] = [[] for _ in range(2 * len(ends) + 1)]
    for low, high, rest_pattern in ranged:
        for cell in range(2 * bisect_left(ends, low) + 1, 2 * bisect_left(ends, high) + 2):
            cells[cell].append(rest_pattern)
    finders = [_one_by_one(each) for each in cells]
    everything = _one_by_one(patterns)
    further = build(others) if others else None
    incomparable = _telling([each for _, _, each in ranged])
    return _cell_lookup(event_getter(field), ends, finders, everything, incomparable, further)


def _telling(patterns: Sequence[Pattern[U]]) -> Callable[[dict[str, Any]], None]:
    """Tells those whose other conditions hold."""
    entries = [(compile_all(each.conditions, event_getter), each.odd) for each in patterns]

    def tell(subject: dict[str, Any]) -> None:
        for test, odd in entries:
            if test is None or test(subject):
                odd()

    return tell


def _cell_lookup(
    getter: Getter,
    ends: list[float],
    cells: list[Finder],
    everything: Finder,
    incomparable: Callable[[dict[str, Any]], None],
    further: Finder | None,
) -> Finder:
    def find(subject: dict[str, Any], found: list[Any]) -> None:
        value = getter(subject)
        if value.__class__ is list:
            everything(subject, found)
            return
        amount = number(value)
        if amount is not None:
            left, right = bisect_left(ends, amount), bisect_right(ends, amount)
            cells[left + right](subject, found)
        elif value is not None:
            incomparable(subject)
        if further is not None:
            further(subject, found)

    return find


def _one_by_one(patterns: Sequence[Pattern[U]]) -> Finder:
    entries: list[tuple[Predicate | None, tuple[U, ...]]] = [
        (compile_all(_told_last(each.conditions), event_getter, odd=each.odd), each.uses) for each in patterns
    ]
    if len(entries) == 1:
        return _single(*entries[0])

    def find(subject: dict[str, Any], found: list[Any]) -> None:
        for test, uses in entries:
            if test is None or test(subject):
                found += uses

    return find


def _told_last(conditions: tuple[Condition, ...]) -> list[Condition]:
    """What compares by size stands last: an event that is not meant at all is not odd for it."""
    return sorted(conditions, key=lambda each: each.op in _ORDERED)


def _single(test: Predicate | None, uses: tuple[Any, ...]) -> Finder:
    def always(subject: dict[str, Any], found: list[Any]) -> None:
        found += uses

    def find(subject: dict[str, Any], found: list[Any]) -> None:
        if test is None or test(subject):
            found += uses

    return always if test is None else find
