"""Does a condition hold? Compiles conditions into predicates over what `Resolve` finds values in. Pure.

A value that is a list stands for each of its members: a condition holds when one of them satisfies it;
`is_not`, `not_in` and `missing` hold when none does. A value of another type than is expected does not
satisfy it, and where something was to be compared by its size that is told to whoever wants to know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from services.rules.document.language import Condition, Measure, Scalar

Getter = Callable[[Any], Any]
Predicate = Callable[[Any], bool]
Resolve = Callable[[str], Getter]
ResolveMeasure = Callable[[Measure], Getter]
Special = Callable[[Condition], Predicate]
"""What makes a predicate of a condition that only a moment can answer: on a segment, or on when a field changed."""
Odd = Callable[[], bool]
"""Told of a value that cannot be compared; answers False, as the comparison does."""

_DECIMAL = re.compile(r"^-?[0-9]{1,20}(\.[0-9]{1,12})?$")
_NEGATIVE = {"is_not": "is", "not_in": "in", "missing": "exists"}
MICROS = 1_000_000
MICROS_MAX = 1 << 62


class Oddities:
    """How often did a comparison of each rule meet a value of another type? Counts until somebody takes them.

    It changes while conditions are looked at, but nothing that they decide depends on it.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def noting(self, rule_ids: Iterable[str]) -> Odd:
        concerned = tuple(dict.fromkeys(rule_ids))

        def note() -> bool:
            self._counts.update(concerned)
            return False

        return note

    def take(self) -> dict[str, int]:
        """By rule id; empty nearly always."""
        if not self._counts:
            return {}
        taken, self._counts = self._counts, Counter()
        return taken


def nobody_asks() -> bool:
    return False


def number(value: Any) -> float | None:
    """A JSON number, or a decimal written as text; None for everything else."""
    kind = value.__class__
    if kind is int or kind is float:
        return value  # type: ignore[no-any-return]
    if kind is str and _DECIMAL.match(value):
        return float(value)
    return None


def micros(value: Any) -> int | None:
    """The number in millionths, exact for decimals: a sum does not depend on the order of its parts."""
    kind = value.__class__
    if kind is int:
        made = value * MICROS
    elif kind is float:
        made = round(value * MICROS) if abs(value) < MICROS_MAX else MICROS_MAX
    elif kind is str and _DECIMAL.match(value):
        made = int(Decimal(value).scaleb(6).to_integral_value())
    else:
        return None
    return made if -MICROS_MAX < made < MICROS_MAX else None


def key(value: Any) -> Any:
    """What equality means, as a hashable thing: true is not 1, but 1 is 1.0; None for what has no equal."""
    kind = value.__class__
    if kind is str or kind is int or kind is float:
        return value
    if kind is bool:
        return (value,)
    return None


def path_getter(path: Sequence[str]) -> Getter:
    """The value at a path in a JSON object; a list on the way gives the list of what its members hold."""
    if len(path) == 1:
        name = path[0]
        return lambda subject: subject.get(name)
    names = tuple(path)
    return lambda subject: _walk(subject, names)


def _walk(value: Any, names: tuple[str, ...]) -> Any:
    for depth, name in enumerate(names):
        if isinstance(value, list):
            found = [_walk(each, names[depth:]) for each in value]
            return [each for each in found if each is not None]
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def compile_all(
    conditions: Sequence[Condition],
    resolve: Resolve,
    measure: ResolveMeasure | None = None,
    odd: Odd = nobody_asks,
    special: Special | None = None,
) -> Predicate | None:
    """One predicate for conditions that must all hold; None when there is none."""
    tests = [compile_one(each, resolve, measure, odd, special) for each in conditions]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda subject: first(subject) and second(subject)
    return lambda subject: all(test(subject) for test in tests)


def compile_one(
    condition: Condition,
    resolve: Resolve,
    measure: ResolveMeasure | None = None,
    odd: Odd = nobody_asks,
    special: Special | None = None,
) -> Predicate:
    if condition.any_ is not None:
        tests = [compile_one(each, resolve, measure, odd, special) for each in condition.any_]
        return lambda subject: any(test(subject) for test in tests)
    if condition.all_ is not None:
        return compile_all(condition.all_, resolve, measure, odd, special) or _always
    if condition.not_ is not None:
        inner = compile_one(condition.not_, resolve, measure, odd, special)
        return lambda subject: not inner(subject)
    if condition.measure is not None:
        if measure is None:
            raise ValueError("a measure has no place in these conditions")
        return _leaf(condition, measure(condition.measure), odd)
    if condition.in_segment is not None or condition.op == "changed_within":
        if special is None:
            raise ValueError("segments and changes have no place in these conditions")
        return special(condition)
    if condition.field is None:
        raise ValueError("a condition without a form")
    getter = resolve(condition.field)
    if condition.field_value is not None:
        return _between_fields(condition, getter, resolve(condition.field_value), odd)
    return _leaf(condition, getter, odd)


def _always(_: Any) -> bool:
    return True


def _leaf(condition: Condition, getter: Getter, odd: Odd) -> Predicate:
    op = condition.op or "is"
    test = _test(_NEGATIVE.get(op, op), condition.value, odd)

    def holds(subject: Any) -> bool:
        value = getter(subject)
        if value.__class__ is list:
            return any(test(each) for each in value)
        return test(value)

    if op in _NEGATIVE:
        return lambda subject: not holds(subject)
    return holds


def _between_fields(condition: Condition, left: Getter, right: Getter, odd: Odd) -> Predicate:
    """Compares two fields; `times` multiplies the second one."""
    op, times = condition.op or "is", condition.times

    def holds(subject: Any) -> bool:
        other = right(subject)
        if times is not None:
            amount = number(other)
            other = None if amount is None else amount * times
        if other is None or other.__class__ in (list, dict):
            return False
        value = left(subject)
        test = _test(_NEGATIVE.get(op, op), other, odd)
        found = any(test(each) for each in value) if value.__class__ is list else test(value)
        return found != (op in _NEGATIVE)

    return holds


def _test(op: str, value: Any, odd: Odd) -> Predicate:
    if op == "is":
        return _equals(value)
    if op == "in":
        return _among(value)
    if op == "exists":
        return lambda found: found is not None
    if op == "starts_with":
        return lambda found: found.__class__ is str and found.startswith(str(value))
    if op == "contains":
        same = _equals(value)
        return lambda found: str(value) in found if found.__class__ is str else same(found)
    return _compares(op, value, odd)


def _equals(value: Scalar) -> Predicate:
    if value is None:
        return lambda found: found is None
    wanted = key(value)
    if wanted.__class__ is str:
        return lambda found: bool(found == wanted)
    if wanted.__class__ is tuple:
        return lambda found: found is wanted[0]
    return lambda found: number(found) == wanted


def _among(values: Sequence[Scalar]) -> Predicate:
    wanted = frozenset(key(each) for each in values if each is not None)
    with_null = any(each is None for each in values)
    with_numbers = any(each.__class__ in (int, float) for each in values)

    def holds(found: Any) -> bool:
        if found is None:
            return with_null
        known = key(found)
        return known is not None and (known in wanted or (with_numbers and number(found) in wanted))

    return holds


def _compares(op: str, value: Any, odd: Odd) -> Predicate:
    """Numbers as numbers; text (instants, dates) by its characters, when the rule's value is such text.

    What is missing is no odd value.
    """
    if op == "between":
        low, high = _compares("at_least", value[0], odd), _compares("at_most", value[1], odd)
        return lambda found: low(found) and high(found)
    limit = number(value)
    if limit is None:
        return _compares_text(op, str(value), odd)
    if op == "at_least":
        return lambda found: n >= limit if (n := number(found)) is not None else found is not None and odd()
    if op == "more_than":
        return lambda found: n > limit if (n := number(found)) is not None else found is not None and odd()
    if op == "at_most":
        return lambda found: n <= limit if (n := number(found)) is not None else found is not None and odd()
    return lambda found: n < limit if (n := number(found)) is not None else found is not None and odd()


def _compares_text(op: str, limit: str, odd: Odd) -> Predicate:
    if op == "at_least":
        return lambda found: found >= limit if found.__class__ is str else found is not None and odd()
    if op == "more_than":
        return lambda found: found > limit if found.__class__ is str else found is not None and odd()
    if op == "at_most":
        return lambda found: found <= limit if found.__class__ is str else found is not None and odd()
    return lambda found: found < limit if found.__class__ is str else found is not None and odd()
