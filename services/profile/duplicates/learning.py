"""What do the records themselves say that agreement is worth, though nobody has said which of them are one person?

Expectation-maximisation over counts of patterns. Candidates (pairs that share a key) hold nearly all matches, strangers
(pairs picked without regard to what is in them) nearly none; with the posteriors of one round the frequencies of the
next are counted. The shipped weights stand in as counts of their own, so that little data moves little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from services.profile.duplicates.comparing import FIELDS, LEVELS, Pattern
from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.weights import (
    COMMON_ATTRIBUTES,
    SHIPPED,
    FieldWeights,
    Weights,
    priors,
    rare_shares,
    shares,
)

_ROUNDS_MAX = 40
_SETTLED = 1e-4
_PRIOR_MATCHES = 30.0
_PRIOR_STRANGERS = 200.0
_DUPLICATES_PER_RECORD_MIN = 0.001
_KIN_PER_RECORD_MIN = 0.2
_GOLDEN = 0.6180339887498949
STRANGERS_MAX = 40_000
_CITY_LEVEL = 2


def learn(
    candidates: Mapping[Pattern, int],
    strangers: Mapping[Pattern, int],
    *,
    pairs: int,
    records: int,
    values: Mapping[str, Mapping[str, int]] | None = None,
    start: Weights = SHIPPED,
) -> Weights:
    """Weights for `records` customers, of whom `pairs` pairs could have been candidates.

    `values` are counts of what stands in the portraits (`value_counts`), from which common names are known.
    """
    weights = start.among(records)
    for _ in range(_ROUNDS_MAX):
        before, weights = weights, _round(weights, start, candidates, strangers, pairs)
        if abs(weights.duplicates_per_record - before.duplicates_per_record) < _SETTLED * before.duplicates_per_record:
            break
    counts = values or {}
    usual = {field: known.u[0] for field, known in weights.fields.items()}
    usual["city"] = weights.fields["place"].u[_CITY_LEVEL]
    return Weights(
        weights.fields,
        records,
        weights.duplicates_per_record,
        weights.kin_per_record,
        shares(counts, usual),
        rare_shares(counts),
        sum(candidates.values()),
    )


def _round(
    weights: Weights, start: Weights, candidates: Mapping[Pattern, int], strangers: Mapping[Pattern, int], pairs: int
) -> Weights:
    kin = 0.0
    matched: dict[Pattern, float] = {}
    for pattern, count in candidates.items():
        match, relative = posterior(pattern, weights)
        matched[pattern] = count * match
        kin += count * relative
    alone: dict[Pattern, float] = {}
    for pattern, count in strangers.items():
        match, relative = posterior(pattern, weights)
        alone[pattern] = count * (1 - match - relative)
    fields = {
        field: _field(start.fields[field], _levels(at, matched), _levels(at, alone)) for at, field in enumerate(FIELDS)
    }
    per_record = (weights.records - 1) / 2 / max(1, pairs)
    return Weights(
        fields,
        weights.records,
        max(_DUPLICATES_PER_RECORD_MIN, sum(matched.values()) * per_record),
        max(_KIN_PER_RECORD_MIN, kin * per_record),
    )


def _field(usual: FieldWeights, matched: Sequence[float], alone: Sequence[float]) -> FieldWeights:
    certain = sum(usual.u) > 1.5
    return FieldWeights(
        _frequencies(matched, usual.m, _PRIOR_MATCHES),
        usual.u if certain else _frequencies(alone, usual.u, _PRIOR_STRANGERS),
        usual.shared,
        usual.kin,
    )


def posterior(pattern: Pattern, weights: Weights) -> tuple[float, float]:
    """How likely a pair with this pattern is one person, and how likely two of one household."""
    match, stranger, kin = priors(weights)
    for field, level in zip(FIELDS, pattern, strict=True):
        if level:
            known = weights.fields[field]
            m, u = known.m[level - 1], known.u[level - 1]
            match, stranger, kin = match * m, stranger * u, kin * known.among_kin(level - 1, u)
    total = match + stranger + kin
    return (match / total, kin / total) if total else (0.0, 0.0)


def _levels(at: int, patterns: Mapping[Pattern, float]) -> list[float]:
    """How often each level of one field was met, by posterior."""
    met = [0.0] * (len(LEVELS[FIELDS[at]]) + 1)
    for pattern, count in patterns.items():
        met[pattern[at]] += count
    return met[1:]


def _frequencies(met: Sequence[float], usual: Sequence[float], strength: float) -> tuple[float, ...]:
    """Frequencies with the usual ones as `strength` more observations; what was never met is not called impossible."""
    total = sum(met) + strength
    raw = [
        max((count + strength * share) / total, min(share, 1 / total)) for count, share in zip(met, usual, strict=True)
    ]
    whole = sum(raw)
    return tuple(share / whole for share in raw)


def strangers_among(records: int, *, most: int = STRANGERS_MAX) -> Iterator[tuple[int, int]]:
    """Pairs of positions that have nothing to do with what stands there; the same ones every time."""
    return ((one, other) for one, other in strangers_between(records, records, most=most) if one != other)


def strangers_between(left: int, right: int, *, most: int = STRANGERS_MAX) -> Iterator[tuple[int, int]]:
    """The same for a position in one file and one in another."""
    if not (left and right):
        return
    for step in range(min(most, left * right)):
        yield step % left, int(((step // left + 1) * _GOLDEN + (step % left + 0.5) / left) % 1 * right)


def value_counts(portraits: Sequence[Portrait]) -> dict[str, Counter[str]]:
    """How often each value occurs, for the fields where common values say less."""
    counts = {attribute: Counter(getattr(each, attribute) for each in portraits) for attribute in COMMON_ATTRIBUTES}
    for values in counts.values():
        del values[""]
    return counts


def pairs_within(records: int) -> int:
    return records * (records - 1) // 2
