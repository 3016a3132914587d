"""Which day of birth did somebody mean? Digits, because a wrong one is still evidence."""

from __future__ import annotations

import re

_GROUPS = re.compile(r"[0-9]+")
_PLACEHOLDERS = frozenset(("00000000", "11111111", "12345678", "99999999", "19000101", "00010101", "000000", "999999"))


def birth_digits(text: str) -> str:
    """`YYYYMMDD`; `YYMMDD` where the century is not said; `YYYY` where nothing else is; empty when it is no date.

    A date that no calendar has is kept: a slip of the finger makes such, and it still resembles the right one. In
    `03/04/1981` the day comes first unless it cannot, which the comparison forgives.
    """
    groups = _GROUPS.findall(text.partition("T")[0])
    if len(groups) > 3:
        groups = groups[:3]
    digits = _joined(groups)
    if digits in _PLACEHOLDERS or len(digits) not in (4, 6, 8):
        return ""
    return "" if len(digits) == 4 and not "1850" <= digits <= "2100" else digits


def _joined(groups: list[str]) -> str:
    if len(groups) == 1:
        return groups[0]
    if len(groups) == 3:
        first, second, third = groups
        if len(first) == 4:
            return first + second.zfill(2) + third.zfill(2)
        if len(third) == 4:
            day, month = (second, first) if int(second) > 12 >= int(first) else (first, second)
            return third + month.zfill(2) + day.zfill(2)
        if int(first) > 31:
            return first + second.zfill(2) + third.zfill(2)
        return third + second.zfill(2) + first.zfill(2) if int(third) > 31 else ""
    if len(groups) == 2 and len(groups[0]) == 4:
        return groups[0]
    return ""
