"""How far do two addresses agree? As a whole, for who has moved has another street and another number at once."""

from __future__ import annotations

from rapidfuzz.distance import OSA, JaroWinkler
from rapidfuzz.fuzz import token_set_ratio

from services.profile.duplicates.portrait import Portrait

_UNKNOWN, _SAME, _CLOSE, _APART = range(4)


def street_level(left: Portrait, right: Portrait) -> int:
    """0 unknown, 1 the same, 2 close (slips, or something left out), 3 a part of it (the street, or number and
    building), 4 different. Lines that changed places are one address."""
    line = _line_level(left.street, right.street)
    if line in (_UNKNOWN, _APART):
        line = min(filter(None, (line, *_crosswise(left, right))), default=_UNKNOWN)
    number = _number_level(left.number, right.number)
    if not line:
        line = _line_level(left.extra, right.extra)
        return {_UNKNOWN: 0, _APART: 4}.get(line, 2 if number in (_SAME, _UNKNOWN) else 3)
    if line == _APART:
        same_building = _line_level(left.extra, right.extra) == _SAME and number == _SAME
        return 3 if same_building else 4
    if number == _APART:
        return 3
    return 1 if line == _SAME and (number == _SAME or not (left.number or right.number)) else 2


def _crosswise(left: Portrait, right: Portrait) -> tuple[int, int]:
    return _line_level(left.street, right.extra), _line_level(left.extra, right.street)


def _line_level(one: str, other: str) -> int:
    if not (one and other):
        return _UNKNOWN
    if one == other:
        return _SAME
    shorter = min(len(one), len(other))
    if OSA.distance(one, other, score_cutoff=3) <= max(1, min(3, shorter // 5)):
        return _CLOSE
    if one.replace(" ", "") == other.replace(" ", ""):
        return _CLOSE
    # Somebody adds the district before or the flat behind; one common word alone ("street") is no likeness.
    if " " in one and " " in other and token_set_ratio(one, other) >= 92:
        return _CLOSE
    return _APART


def _number_level(one: str, other: str) -> int:
    if not (one and other):
        return _UNKNOWN
    if one == other:
        return _SAME
    shorter = min(len(one), len(other))
    alike = shorter > 1 and OSA.distance(one, other, score_cutoff=1) <= 1
    return _CLOSE if alike or one.split("/")[-1] == other.split("/")[-1] else _APART


def place_level(left: Portrait, right: Portrait) -> int:
    """0 unknown, 1 city and postcode, 2 the postcode, 3 the city, 4 the region or nearly the postcode, 5 different."""
    city, code = word_level(left.city, right.city), _code_level(left.postcode, right.postcode)
    state = bool(left.state and left.state == right.state)
    in_city, in_code = city in (_SAME, _CLOSE), code in (_SAME, _CLOSE)
    if in_city and in_code and _SAME in (city, code):
        return 1
    if code == _SAME:
        return 2
    if in_city:
        return 3
    if in_code or state:
        return 4
    return 5 if city or code or (left.state and right.state) else 0


def word_level(one: str, other: str) -> int:
    """0 unknown, 1 the same, 2 nearly, 3 different."""
    if not (one and other):
        return _UNKNOWN
    if one == other:
        return _SAME
    near = JaroWinkler.similarity(one, other) >= 0.92 or OSA.distance(one, other, score_cutoff=1) <= 1 < len(one) - 2
    return _CLOSE if near else _APART


def _code_level(one: str, other: str) -> int:
    if not (one and other):
        return _UNKNOWN
    if one == other:
        return _SAME
    return _CLOSE if OSA.distance(one, other, score_cutoff=1) <= 1 else _APART
