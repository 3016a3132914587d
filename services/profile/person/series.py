"""How much was bought within so many days? A pane per day and currency, packed so that a long history costs no more.

Panes go back two years from the newest one, totals for ever. What had to go would have gone in any order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import ceil
from struct import Struct as Packing
from typing import Final

from msgspec import Struct

KEPT_DAYS: Final = 730
"""How far back panes go from the newest of them: the longest window, and as long as a grade may be kept after it."""

_INTEGER_MAX: Final = 2**63
_point_moved: Final = Context(prec=100).scaleb

_NARROW: Final = 4
_WIDE: Final = 8
_DIGITS: Final = 0
_PACKINGS: Final = {_NARROW: Packing("i"), _WIDE: Packing("q")}
_REACHES: Final = {_NARROW: 2**31, _WIDE: _INTEGER_MAX}
_narrow: Final = _PACKINGS[_NARROW].pack
_day_at: Final = _PACKINGS[_NARROW].unpack_from

Amount = int | Decimal
"""Whole amounts are integers, which are an order of magnitude cheaper to add, write and read."""

Column = Sequence[int]


class Series(Struct, array_like=True, gc=False):
    """Purchases in one currency: how many and how much ever, and what there was before each of the kept days.

    So the sum of a window is one difference, and a long history is read and written as fast as a short one. `days`
    (ordinals, ascending), `counts`, `sums` and `backs` are packed columns of the same length. Amounts are in units of
    ten to the minus `scale`, each in so many bytes as `width` says, 0 being digits with a space behind them, which hold
    any number. `sums` are net; `back` is what came off alone, and `backs` is empty where that is nothing.
    """

    count: int = 0
    units: Amount = 0
    days: bytes = b""
    counts: bytes = b""
    sums: bytes = b""
    scale: int = 0
    width: int = _NARROW
    back: Amount = 0
    backs: bytes = b""

    @property
    def total(self) -> Amount:
        return amount_of(int(self.units), self.scale)

    @property
    def newest(self) -> int:
        """The last day on which there was anything (ordinal), 0 for none."""
        days = self.days
        return _day_at(days, len(days) - _NARROW)[0] if days else 0


def amount_of(units: int, scale: int) -> Amount:
    return _point_moved(units, -scale) if scale and units else units


@lru_cache(maxsize=4096)
def least_units(amounts: tuple[float, ...], scale: int) -> tuple[int, ...]:
    """For each amount that somebody defined the least number of units that reaches it."""
    return tuple(ceil(Fraction(each) * 10**scale) for each in amounts)


def read(column: bytes, width: int = _NARROW) -> Column:
    if width == _NARROW:
        return memoryview(column).cast("i")
    return memoryview(column).cast("q") if width == _WIDE else [*map(int, column.split())]


def _packed(values: Column, width: int) -> bytes:
    if width == _DIGITS:
        return b"".join(b"%d " % each for each in values)
    return array("i" if width == _NARROW else "q", values).tobytes()


def add(held: Series, day: int, count: int, amount: Amount) -> None:
    """Count a purchase, or with 0 a refund, and add what it brought."""
    units = amount if type(amount) is int and not held.scale else _units(held, amount)
    known, back = int(held.units), int(held.back)
    if units >= 0 and known + units + 2 * back < _REACHES.get(held.width, 0):
        held.units = known + units
    else:
        _provide(held, known + units, back - min(units, 0))
    days, width = held.days, held.width
    newest = _day_at(days, len(days) - _NARROW)[0] if days else day - 1
    if day > newest:
        held.days = days + _narrow(day)
        held.counts += _narrow(held.count)
        held.sums += _packed((known,), width)
        if held.back:
            held.backs += _packed((back,), width)
        if _day_at(days or held.days)[0] <= day - KEPT_DAYS:
            _forget(held, day - KEPT_DAYS)
    elif day < newest:
        _put_in(held, day, count, units)
    held.count += count


def _units(held: Series, amount: Amount) -> int:
    """An amount in the units of a series, which become smaller where they have to."""
    exponent = Decimal(amount).as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    if digits > held.scale:
        factor = 10 ** (digits - held.scale)
        sums, backs = ([each * factor for each in read(column, held.width)] for column in (held.sums, held.backs))
        units, back = int(held.units) * factor, int(held.back) * factor
        held.scale, held.width = digits, _width(units + 2 * back)
        held.units, held.back = _storable(units), _storable(back)
        held.sums, held.backs = _packed(sums, held.width), _packed(backs, held.width)
    return int(_point_moved(amount, held.scale))


def _provide(held: Series, units: int, back: int) -> None:
    """Have room for these totals, and keep them."""
    reach = units + 2 * back
    if back and not held.back:
        held.backs = _packed([0] * (len(held.days) // _NARROW), held.width)
    if held.width and reach >= _REACHES[held.width]:
        width = _width(reach)
        held.sums = _packed(read(held.sums, held.width), width)
        held.backs = _packed(read(held.backs, held.width), width)
        held.width = width
    held.units, held.back = _storable(units), _storable(back)


def _width(reach: int) -> int:
    """How many bytes hold what lies within a reach: all that came off, twice, and what is left; it only grows."""
    return next((width for width, limit in _REACHES.items() if reach < limit), _DIGITS)


def _storable(number: int) -> Amount:
    """What outgrows the integers that can be stored goes on as a decimal."""
    return number if -_INTEGER_MAX < number < _INTEGER_MAX else Decimal(number)


def _put_in(held: Series, day: int, count: int, units: int) -> None:
    """What happened before the newest day was there before all days behind it."""
    at, fresh = -1, False
    if day > held.newest - KEPT_DAYS:
        days = read(held.days)
        at = bisect_left(days, day)
        fresh = days[at] != day
    if fresh:
        held.days = held.days[: at * _NARROW] + _narrow(day) + held.days[at * _NARROW :]
    held.counts = _raised(held.counts, _NARROW, at, count, fresh)
    held.sums = _raised(held.sums, held.width, at, units, fresh)
    if held.back:
        held.backs = _raised(held.backs, held.width, at, -min(units, 0), fresh)


def _raised(column: bytes, width: int, at: int, by: int, fresh: bool) -> bytes:
    """A column with so much more behind place `at`, at which a day was put in where it is `fresh`."""
    if not fresh and not by:
        return column
    if width == _DIGITS:
        whole = read(column, width)
        return _packed([*whole[: at + 1], *(each + by for each in whole[at if fresh else at + 1 :])], width)
    behind = read(column[(at if fresh else at + 1) * width :], width)
    return column[: (at + 1) * width] + _packed([each + by for each in behind], width)


def _forget(held: Series, until: int) -> None:
    gone = bisect_right(read(held.days), until)
    held.days, held.counts = held.days[gone * _NARROW :], held.counts[gone * _NARROW :]
    if held.width == _DIGITS:
        held.sums, held.backs = (_packed(read(each, _DIGITS)[gone:], _DIGITS) for each in (held.sums, held.backs))
    else:
        held.sums, held.backs = held.sums[gone * held.width :], held.backs[gone * held.width :]


def panes(held: Series, scale: int) -> list[tuple[int, int, int, int]]:
    """By day, what was counted, what it brought net, and what came off, in units of ten to the minus `scale`."""
    factor = 10 ** (scale - held.scale)
    columns = [
        [*read(held.counts), held.count],
        [each * factor for each in (*read(held.sums, held.width), int(held.units))],
        [each * factor for each in (*read(held.backs, held.width), int(held.back))],
    ]
    counts, sums, backs = ([later - each for each, later in pairwise(column)] for column in columns)
    days = read(held.days)
    return list(zip(days, counts, sums, backs or [0] * len(days), strict=True))


def merged(found: Sequence[Series]) -> Series:
    """What several records hold of one currency, as one record would hold it."""
    if len(found) == 1:
        return found[0]
    scale, oldest = max(each.scale for each in found), max(each.newest for each in found) - KEPT_DAYS
    kept = sorted(pane for each in found for pane in panes(each, scale) if pane[0] > oldest)
    count = sum(each.count for each in found)
    units, back = (
        sum(int(total) * 10 ** (scale - each.scale) for each, total in totals)
        for totals in ([(each, each.units) for each in found], [(each, each.back) for each in found])
    )
    width = _width(units + 2 * back)
    before = [count, units, back]
    for pane in kept:
        before = [each - more for each, more in zip(before, pane[1:], strict=True)]
    days: list[int] = []
    columns: tuple[list[int], list[int], list[int]] = [], [], []
    for day, *more in kept:
        if not days or day > days[-1]:
            days.append(day)
            for column, each in zip(columns, before, strict=True):
                column.append(each)
        before = [each + other for each, other in zip(before, more, strict=True)]
    counts, sums, backs = columns
    return Series(
        count,
        _storable(units),
        _packed(days, _NARROW),
        _packed(counts, _NARROW),
        _packed(sums, width),
        scale,
        width,
        _storable(back),
        _packed(backs, width) if back else b"",
    )


def within(held: Series, newest: int, lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Count and units over the last so many days, `newest` included; `lengths` ascend."""
    days = read(held.days)
    size = upto = len(days)
    nothing = part = (0, 0)
    if not size or days[-1] <= newest - lengths[-1]:
        return [nothing] * len(lengths)
    counts, sums = read(held.counts), read(held.sums, held.width)
    count, units = held.count, int(held.units)
    found = []
    for length in lengths:
        start = newest - length
        if upto and days[upto - 1] > start:
            upto = bisect_right(days, start, 0, upto)
            part = count - counts[upto], units - sums[upto]
        found.append(part)
    return found


def last(held: Series, newest: int, length: int) -> tuple[int, int]:
    """Count and units over the last so many days, `newest` included."""
    days = read(held.days)
    size, start = len(days), newest - length
    if not size or days[-1] <= start:
        return 0, 0
    gone = bisect_right(days, start)
    return held.count - read(held.counts)[gone], int(held.units) - read(held.sums, held.width)[gone]
