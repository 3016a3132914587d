"""Are two records one person, and why? Merge, have somebody look, or keep apart; with what speaks for and against."""

from __future__ import annotations

from msgspec import Struct

from services.profile.duplicates.comparing import (
    ALIKE,
    DIFFERENT,
    FIELDS,
    SAME,
    SLIP,
    Pattern,
    compare,
    level_name,
)
from services.profile.duplicates.names import is_hangul
from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.weights import Score, Weights, is_common, score

MERGE, REVIEW, APART = "merge", "review", "apart"
_BIRTH_DIFFERENT = 5
_GENERATION_YEARS = 15
_GIVEN = FIELDS.index("given")
_ID_NUMBER = FIELDS.index("id_number")
_SHOWN = {
    "given": ("given",),
    "surname": ("surname",),
    "order": ("given", "surname"),
    "street": ("number", "street", "extra"),
    "place": ("postcode", "city", "state"),
}


class Thresholds(Struct, frozen=True):
    """Probabilities: at or above `merge` nobody is asked, at or above `review` somebody is."""

    merge: float = 0.99
    review: float = 0.5


class Evidence(Struct, frozen=True):
    """One line of the comparison; `weight` in bits, positive for one person and negative against."""

    field: str
    left: str
    right: str
    level: str
    weight: float


class Verdict(Struct, frozen=True):
    """`guards` name what forbids to merge without a person's word, whatever the score says."""

    outcome: str
    probability: float
    score: float
    evidence: tuple[Evidence, ...]
    guards: tuple[str, ...] = ()


class Judgement(Struct, frozen=True, gc=False):
    """A verdict without what people read, for millions of pairs.

    `proven` if a number that one person has agrees, `nameless` if the given names could not be compared.
    """

    outcome: str
    odds: float
    guards: tuple[str, ...] = ()
    proven: bool = False
    nameless: bool = False


USUAL = Thresholds()


def judge(left: Portrait, right: Portrait, weights: Weights, thresholds: Thresholds = USUAL) -> Judgement:
    """What to do with two records, and the log2 odds that they are one person."""
    pattern = compare(left, right)
    found = score(pattern, left, right, weights)
    held = guards(pattern, left, right, weights)
    proven = pattern[_ID_NUMBER] in (SAME, SLIP) and not held
    return Judgement(_outcome(found, held, thresholds), found.odds, held, proven, not pattern[_GIVEN])


def decide(left: Portrait, right: Portrait, weights: Weights, thresholds: Thresholds = USUAL) -> Verdict:
    """The same with everything that a person wants to see before agreeing, the heaviest first."""
    pattern = compare(left, right)
    found = score(pattern, left, right, weights)
    held = guards(pattern, left, right, weights)
    lines = [
        Evidence(field, _shown(field, left), _shown(field, right), level_name(field, level), round(weight, 2))
        for field, level, weight in zip(FIELDS, pattern, found.weights, strict=True)
        if level
    ]
    if found.household < -0.05:
        lines.append(Evidence("household", "", "", "possible", round(found.household, 2)))
    lines.sort(key=lambda line: -abs(line.weight))
    outcome = _outcome(found, held, thresholds)
    return Verdict(outcome, found.probability, round(found.odds, 2), tuple(lines), held)


def _outcome(found: Score, held: tuple[str, ...], thresholds: Thresholds) -> str:
    if "one_each" in held or found.probability < thresholds.review:
        return APART
    return REVIEW if held or found.probability < thresholds.merge else MERGE


def guards(pattern: Pattern, left: Portrait, right: Portrait, weights: Weights) -> tuple[str, ...]:
    """What must not be merged by a machine:

    `one_each`      an identifier of which nobody has two differs; these are never one person;
    `given_name`    different given names: twins, spouses, a parent who orders for a child;
    `birth_date`    another birth date under the same name: father and son;
    `person`        nothing that belongs to a person alone agrees, only what a household shares.
    """
    held: list[str] = []
    levels = dict(zip(FIELDS, pattern, strict=True))
    if _conflict(left.one_each, right.one_each):
        held.append("one_each")
    if levels["id_number"] not in (SAME, SLIP):
        if _other_given(levels["given"], left, right, weights):
            held.append("given_name")
        same_person = levels["email"] == SAME and levels["given"] == SAME
        if levels["birth"] == _BIRTH_DIFFERENT and (_generation_apart(left, right) or not same_person):
            held.append("birth_date")
        if not (levels["given"] in (SAME, SLIP) or levels["birth"] in (SAME, SLIP)):
            held.append("person")
    return tuple(held)


def _other_given(level: int, left: Portrait, right: Portrait, weights: Weights) -> bool:
    """Two names a letter apart are two, not one with a slip, where both are short Korean ones or many bear either."""
    if level in (ALIKE, DIFFERENT):
        return True
    if level != SLIP:
        return False
    names = left.given, right.given
    return all(map(is_hangul, names)) or all(is_common("given", name, weights) for name in names)


def _generation_apart(left: Portrait, right: Portrait) -> bool:
    if len(left.birth) != 8 or len(right.birth) != 8:
        return False
    return abs(int(left.birth[:4]) - int(right.birth[:4])) >= _GENERATION_YEARS


def _conflict(left: tuple[tuple[str, str], ...], right: tuple[tuple[str, str], ...]) -> bool:
    if not (left and right):
        return False
    theirs = dict(right)
    return any(theirs.get(kind, value) != value for kind, value in left)


def _shown(field: str, portrait: Portrait) -> str:
    parts = (getattr(portrait, attribute) for attribute in _SHOWN.get(field, (field,)))
    return " ".join(part for part in parts if part)
