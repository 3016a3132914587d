"""What does each level of agreement say for and against two records being one person?

After Fellegi and Sunter: `m` is how often a level is met between two records of one person, `u` between strangers, and
the logarithm of their quotient is what the level weighs. People of one household are a third kind of pair: they share
surname, address, perhaps a telephone, and are not one person; `shared` says how much of a field they have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from math import log2

from msgspec import Struct

from services.profile.duplicates.comparing import FIELDS, LEVELS, SAME, Pattern
from services.profile.duplicates.portrait import Portrait

RARE_SHARE = 0.0005
_NAMES = ("given", "surname")
_COMMON_FIELDS = frozenset((*_NAMES, "birth", "phone", "email", "id_number", "birth_place"))
COMMON_ATTRIBUTES = (*sorted(_COMMON_FIELDS), "city")
_CITY_LEVEL = 3
_TINY = 1e-300


class FieldWeights(Struct, frozen=True):
    """Frequencies of the levels, the first one at 0; they add up to 1 among pairs where both sides say something.

    `kin` are the frequencies of the first levels in a household where they do not follow from what it shares: there,
    two of the same given name are rarer than anywhere.
    """

    m: tuple[float, ...]
    u: tuple[float, ...]
    shared: float = 0.0
    kin: tuple[float, ...] = ()

    def among_kin(self, level: int, u: float) -> float:
        if level < len(self.kin):
            return self.kin[level]
        return self.shared * self.m[level] + (1 - self.shared) * u


class Weights(Struct, frozen=True):
    """Everything that a score depends on but the two records; stored and versioned as one document.

    `records` is how many customers the pairs are drawn from: among more of them, chance finds more namesakes.
    `common` are the shares of values that many have, by their digests, for a stored document should name nobody, and
    `rare` is the share below which values are not listed.
    """

    fields: dict[str, FieldWeights]
    records: int
    duplicates_per_record: float
    kin_per_record: float
    common: dict[str, dict[str, float]] = {}
    rare: dict[str, float] = {}
    learned_from: int = 0

    def among(self, records: int) -> Weights:
        """The same for a customer base of another size."""
        return Weights(
            self.fields,
            max(2, records),
            self.duplicates_per_record,
            self.kin_per_record,
            self.common,
            self.rare,
            self.learned_from,
        )


# What is usual where people type names and addresses into forms and tills, rounded; learning starts here, and stays
# near it while there is little to learn from.
SHIPPED = Weights(
    fields={
        "given": FieldWeights((0.80, 0.08, 0.03, 0.02, 0.07), (0.008, 0.004, 0.01, 0.01, 0.968), kin=(0.004,)),
        "surname": FieldWeights((0.80, 0.09, 0.01, 0.02, 0.08), (0.01, 0.004, 0.003, 0.007, 0.976), 0.85),
        # Names are read crosswise because they agree so: that is no evidence of its own, only a mistake that is rare.
        "order": FieldWeights((0.95, 0.05), (1.0, 1.0)),
        "birth": FieldWeights((0.85, 0.05, 0.03, 0.02, 0.05), (0.00005, 0.0008, 0.02, 0.01, 0.96915), 0.01),
        "street": FieldWeights((0.55, 0.20, 0.08, 0.17), (0.0002, 0.0005, 0.003, 0.9963), 0.9),
        "place": FieldWeights((0.65, 0.08, 0.10, 0.05, 0.12), (0.0005, 0.0015, 0.02, 0.1, 0.878), 0.9),
        "phone": FieldWeights((0.65, 0.03, 0.32), (0.000005, 0.00003, 0.999965), 0.4),
        "email": FieldWeights((0.65, 0.08, 0.27), (0.000002, 0.00005, 0.999948), 0.15),
        "id_number": FieldWeights((0.90, 0.04, 0.02, 0.04), (0.000001, 0.00001, 0.00001, 0.999979)),
        "gender": FieldWeights((0.98, 0.02), (0.5, 0.5)),
        "birth_place": FieldWeights((0.85, 0.05, 0.10), (0.03, 0.01, 0.96), 0.5),
    },
    records=10_000,
    duplicates_per_record=0.1,
    kin_per_record=0.5,
)


class Score(Struct, frozen=True):
    """`odds` are log2 odds that the two are one person; `weights` are those of the fields, in the order of `FIELDS`."""

    odds: float
    weights: tuple[float, ...]
    household: float

    @property
    def probability(self) -> float:
        return probability_of(self.odds)


def probability_of(odds: float) -> float:
    """Of log2 odds."""
    return 1 / (1 + 2 ** -max(-1000.0, min(1000.0, odds)))


def score(pattern: Pattern, left: Portrait, right: Portrait, weights: Weights) -> Score:
    """`household` is how many bits it costs that the two may share no more than a home."""
    match, stranger, kin = priors(weights)
    each: list[float] = []
    for field, level in zip(FIELDS, pattern, strict=True):
        if not level:
            each.append(0.0)
            continue
        known = weights.fields[field]
        m, u = known.m[level - 1], known.u[level - 1] * commonness(field, level, left, right, weights)
        match, stranger, kin = match * m, stranger * u, kin * known.among_kin(level - 1, u)
        each.append(log2(m / u))
    against = log2(max(stranger, _TINY))
    either = log2(max(stranger + kin, _TINY))
    return Score(log2(max(match, _TINY)) - either, tuple(each), against - either)


def priors(weights: Weights) -> tuple[float, float, float]:
    """How likely any two records are one person, strangers, of one household."""
    others = max(1, weights.records - 1)
    match = min(0.3, 2 * weights.duplicates_per_record / others)
    kin = min(0.3, 2 * weights.kin_per_record / others)
    return match, 1 - match - kin, kin


def commonness(field: str, level: int, left: Portrait, right: Portrait, weights: Weights) -> float:
    """How much likelier than usual strangers agree on this very value: below 1 for what few have, above for Kim."""
    attributes: tuple[str, ...] = (field,)
    if field == "place" and level == _CITY_LEVEL:
        attributes, value = ("city",), left.city
    elif level == SAME and field in _COMMON_FIELDS:
        value = getattr(left, field)
        if field in _NAMES and value != getattr(right, field):
            # Read crosswise, a value is common if it is common as either.
            attributes, value = _NAMES, _crosswise(field, left, right)
    else:
        return 1.0
    usual = weights.fields[field].u[level - 1]
    return max(_share(attribute, value, usual, weights) for attribute in attributes) / usual


def _crosswise(field: str, left: Portrait, right: Portrait) -> str:
    if field == "given":
        return left.given if left.given == right.surname else right.given
    return left.surname if left.surname == right.given else right.surname


def _share(attribute: str, value: str, usual: float, weights: Weights) -> float:
    listed = weights.common.get(attribute)
    share = listed.get(digest(value)) if listed else None
    return min(usual, weights.rare.get(attribute, usual)) if share is None else share


def is_common(attribute: str, value: str, weights: Weights) -> bool:
    return digest(value) in weights.common.get(attribute, {})


def digest(value: str) -> str:
    return blake2b(value.encode(), digest_size=8).hexdigest()


def shares(counts: Mapping[str, Mapping[str, int]], usual: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Shares of the values that are worth listing: often enough to be no accident, and more often than usual."""
    listed: dict[str, dict[str, float]] = {}
    for attribute, values in counts.items():
        total = sum(values.values())
        enough = max(8.0, total * min(RARE_SHARE, 4 * usual.get(attribute, RARE_SHARE)))
        often = {digest(value): count / total for value, count in sorted(values.items()) if count >= enough}
        if often:
            listed[attribute] = often
    return listed


def rare_shares(counts: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """The share that a value which is not listed may have at most."""
    totals = {attribute: sum(values.values()) for attribute, values in counts.items()}
    return {attribute: max(RARE_SHARE, 8 / total) for attribute, total in totals.items() if total}


def bits_of(weights: Weights) -> dict[str, dict[str, float]]:
    """What each level of each field weighs where the value is as common as usual."""
    return {
        field: {level: round(log2(m / u), 2) for level, m, u in zip(LEVELS[field], known.m, known.u, strict=True) if u}
        for field, known in weights.fields.items()
    }
