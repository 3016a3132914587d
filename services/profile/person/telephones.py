"""Does a text hold a telephone number, whosever it is? By its shape, with what looks like one and is none left alone.

A number is international (`+`, then 8 to 15 digits), parted (a 0, an area, then 7 or 8 digits behind a sign), a mobile
of Korea however it is written, or 9 to 11 digits in one piece that begin with 0 and no second 0. Dates, amounts, bar
codes and numbers that are filled up with zeros have another shape. In one piece an article's code may look like an
area's number: in a field that is named as one it is left.
"""

from __future__ import annotations

import re
from typing import Final

SIGNS: Final = r"\s_~.,:/()-"
"""What parts the digits of a number, in plain signs: the inside of a pattern's brackets."""

SIGN: Final = f"[{SIGNS}]{{0,3}}"
_OVER: Final = r"(?![0-9])(?![.-][0-9])"
_REST: Final = rf"[0-9]{{3,4}}{SIGN}[0-9]{{4}}"


def _alone(first: str) -> str:
    """Not inside of a longer number, a date or an id; what is looked for first comes first, for that is fast."""
    return rf"{first}(?<![0-9]{first})(?<![0-9][.,-]{first})(?<![0-9A-Fa-f]{{4}}-{first})"


_AMOUNT: Final = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])"
_INTERNATIONAL: Final = rf"\+(?<![0-9A-Za-z]\+)(?!{_AMOUNT})\(?[1-9](?:{SIGN}[0-9]){{7,14}}(?![0-9])"
_IN_A_DATE: Final = r"(?<![0-9]-0)(?<![12][09][0-9]{2}[/._]0)"
_PARTED: Final = rf"0(?<![0-9]0){_IN_A_DATE}(?<![0-9A-Fa-f]{{4}}-0)[1-9][0-9]{{0,2}}(?![0-9]){SIGN}{_REST}{_OVER}"
_MOBILE: Final = rf"{_alone('0')}1[016-9]{SIGN}{_REST}{_OVER}"
_TO_KOREA: Final = rf"2{SIGN}(?:0{SIGN})?10{SIGN}"
# With the 00 or 001 of calls abroad and one digit less it would be a bar code.
_KOREAN: Final = (
    rf"(?:{_alone('8')}{_TO_KOREA}[0-9]?|{_alone('0')}0[0-9]?{SIGN}8{_TO_KOREA}[0-9])[0-9]{{3}}{SIGN}[0-9]{{4}}{_OVER}"
)
_ONE_PIECE: Final = rf"{_alone('0')}(?<![A-Za-z]0)[1-9][0-9]{{7,9}}(?![0-9A-Za-z])"

_CERTAIN: Final = re.compile("|".join((_INTERNATIONAL, _PARTED, _MOBILE))).search
_LIKELY: Final = re.compile("|".join((_INTERNATIONAL, _PARTED, _MOBILE, _KOREAN, _ONE_PIECE))).search

# Each begins with a sign that is looked for by itself, which is ten times as fast as any other pattern.
_PLUS: Final = re.compile(rf"\+\(?[1-9](?:{SIGN}[0-9]){{7}}".encode()).search
_ZERO: Final = re.compile(rf"0[1-9](?<![0-9]..)[0-9]{{0,2}}{SIGN}{_REST}".encode()).search
_OF_KOREA: Final = re.compile(rf"8{_TO_KOREA}".encode()).search


def stands_in(text: str, *, in_code: bool = False) -> bool:
    """`text` has nothing but plain signs and digits (`telling.plain`); `in_code`: where an article's code stands."""
    return (_CERTAIN if in_code else _LIKELY)(text) is not None


def may_stand_in(body: bytes) -> bool:
    """Whether JSON in plain signs and digits may hold one; sometimes too careful."""
    return _ZERO(body) is not None or _OF_KOREA(body) is not None or (b"+" in body and _PLUS(body) is not None)
