"""How far do two portraits agree, field by field? A pattern: one small level per field, 0 where either is silent."""

from __future__ import annotations

import unicodedata

from rapidfuzz.distance import OSA, JaroWinkler

from services.profile.duplicates.names import is_hangul
from services.profile.duplicates.places import place_level, street_level, word_level
from services.profile.duplicates.portrait import Portrait

LEVELS: dict[str, tuple[str, ...]] = {
    "given": ("same", "slip", "short", "alike", "different"),
    "surname": ("same", "slip", "short", "alike", "different"),
    "order": ("as_written", "swapped"),
    "birth": ("same", "slip", "near", "year", "different"),
    "street": ("same", "close", "part", "different"),
    "place": ("both", "postcode", "city", "region", "different"),
    "phone": ("same", "slip", "different"),
    "email": ("same", "slip", "different"),
    "id_number": ("same", "slip", "neighbour", "different"),
    "gender": ("same", "different"),
    "birth_place": ("same", "slip", "different"),
}
FIELDS = tuple(LEVELS)
Pattern = bytes
UNKNOWN, SAME, SLIP, SHORT, ALIKE, DIFFERENT = range(6)
_JARO_WINKLER_ALIKE = 0.88
_LETTERS_MIN = 4


def compare(left: Portrait, right: Portrait) -> Pattern:
    """Levels in the order of `FIELDS`, counted from 1 as in `LEVELS`; it does not matter who is left."""
    given, surname, order = _names(left, right)
    return bytes(
        (
            given,
            surname,
            order,
            birth_level(left.birth, right.birth),
            street_level(left, right),
            place_level(left, right),
            _phone_level(left.phone, right.phone),
            _email_level(left.email, right.email),
            _number_level(left.id_number, right.id_number),
            _plain(left.gender, right.gender),
            word_level(left.birth_place, right.birth_place),
        )
    )


def level_name(field: str, level: int) -> str:
    return LEVELS[field][level - 1] if level else "unknown"


def name_level(one: str, other: str) -> int:
    """`slip` of a finger, `short` for the other one (an initial, one of several names), `alike` but no slip."""
    if not (one and other):
        return UNKNOWN
    if one == other:
        return SAME
    if not one.isascii() and is_hangul(one) and is_hangul(other):
        return _hangul_level(one, other)
    distance = OSA.distance(one, other, score_cutoff=2)
    shorter, longer = sorted((len(one), len(other)))
    if one.replace(" ", "") == other.replace(" ", "") or distance == 2 and shorter >= 2 * _LETTERS_MIN:
        return SLIP
    if distance == 1 and shorter >= _LETTERS_MIN - 1 and longer >= _LETTERS_MIN:
        return SLIP
    if _abbreviates(one, other):
        return SHORT
    alike = distance <= 2 and shorter > _LETTERS_MIN or JaroWinkler.similarity(one, other) >= _JARO_WINKLER_ALIKE
    return ALIKE if alike else DIFFERENT


def _hangul_level(one: str, other: str) -> int:
    """Syllables hold two or three letters each, and brothers share one of them: only one letter may be amiss, and
    in a name of one syllable, such as most surnames, none."""
    if len(one) == 1 or len(other) == 1:
        return DIFFERENT
    apart = OSA.distance(unicodedata.normalize("NFD", one), unicodedata.normalize("NFD", other), score_cutoff=1)
    return SLIP if apart <= 1 else DIFFERENT


def _abbreviates(one: str, other: str) -> bool:
    """An initial, a first name of several, a short form that begins alike."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and (len(short) == 1 or len(short) > 2) or short in long.split()


def _names(left: Portrait, right: Portrait) -> tuple[int, int, int]:
    """Levels of given name, surname and their order; read crosswise where that agrees and the straight way does not."""
    given, surname = name_level(left.given, right.given), name_level(left.surname, right.surname)
    if given in (SAME, SLIP) or surname in (SAME, SLIP):
        return given, surname, int(bool(given and surname))
    if (left.given, left.surname) > (right.given, right.surname):
        left, right = right, left
    crosswise = name_level(left.given, right.surname), name_level(left.surname, right.given)
    known = [level for level in crosswise if level]
    if known and max(known) < DIFFERENT and min(known) <= SLIP:
        return *crosswise, 2
    return given, surname, int(bool(given and surname))


def birth_level(one: str, other: str) -> int:
    """`same`, `slip` (one digit, two neighbours, or day and month), `near`, `year`, `different`.

    A year alone is at best near; where one century is not said, the rest decides.
    """
    if not (one and other):
        return 0
    if min(len(one), len(other)) == 4:
        if len(one) + len(other) == 10:
            return 0
        return 3 if one[:4] == other[:4] else 5
    if len(one) != len(other):
        one, other = one[-6:], other[-6:]
    return 1 if one == other else _days_apart(one, other)


def _days_apart(one: str, other: str) -> int:
    (year, day), (other_year, other_day) = (one[:-4], one[-4:]), (other[:-4], other[-4:])
    distance = OSA.distance(one, other, score_cutoff=2)
    if distance == 1 or year == other_year and day[2:] + day[:2] == other_day:
        return 2
    if distance == 2 or day == other_day:
        return 3
    if year != other_year:
        return 5
    # The first of January stands for a day that nobody knew.
    same_part = day[:2] == other_day[:2] or day[2:] == other_day[2:] or "0101" in (day, other_day)
    return 3 if same_part else 4


def _phone_level(one: str, other: str) -> int:
    if not (one and other):
        return 0
    if one == other:
        return 1
    return 2 if OSA.distance(one, other, score_cutoff=1) <= 1 else 3


def _number_level(one: str, other: str) -> int:
    """Numbers that differ at their end alone were perhaps handed out one after the other, to twins for instance."""
    if not (one and other):
        return 0
    if one == other:
        return 1
    if min(len(one), len(other)) <= 5 or OSA.distance(one, other, score_cutoff=1) > 1:
        return 4
    return 3 if len(one) == len(other) and one[:-2] == other[:-2] else 2


def _email_level(one: str, other: str) -> int:
    """Half of all addresses share a domain, so likeness is one of what stands before it, unless the whole is broken."""
    if not (one and other):
        return 0
    if one == other:
        return 1
    local, _, domain = one.partition("@")
    other_local, _, other_domain = other.partition("@")
    if domain == other_domain:
        distance = OSA.distance(local, other_local, score_cutoff=2)
        return 2 if distance == 1 and min(len(local), len(other_local)) > 4 or distance <= 2 and len(local) > 8 else 3
    if local == other_local and len(local) > 4:
        return 2
    return 2 if OSA.normalized_similarity(one, other) >= 0.8 else 3


def _plain(one: str, other: str) -> int:
    if not (one and other):
        return 0
    return 1 if one == other else 2
