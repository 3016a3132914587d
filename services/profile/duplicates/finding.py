"""Who is probably twice in a set of records that fits into memory, or in two of them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from services.profile.duplicates.blocking import LARGEST_BLOCK, Blocks, candidate_pairs, candidates_between
from services.profile.duplicates.comparing import compare
from services.profile.duplicates.deciding import APART, USUAL, Judgement, Thresholds, judge
from services.profile.duplicates.grouping import Edge, Grouping, groups, one_to_one
from services.profile.duplicates.learning import (
    learn,
    pairs_within,
    strangers_among,
    strangers_between,
    value_counts,
)
from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.weights import Weights


class Found(Struct, frozen=True):
    """The people, the weights they were found by, and how much had to be compared."""

    grouping: Grouping
    weights: Weights
    compared: int
    blocks_too_big: int


def duplicates_among(
    portraits: Sequence[Portrait],
    weights: Weights | None = None,
    thresholds: Thresholds = USUAL,
    *,
    largest: int = LARGEST_BLOCK,
) -> Found:
    """Every record against every other, with these weights or what the records themselves teach."""
    blocks = candidate_pairs(portraits, largest=largest)
    if weights is None:
        strangers = strangers_among(len(portraits))
        within = pairs_within(len(portraits))
        weights = _learned(portraits, portraits, portraits, blocks.pairs, strangers, within)
    by_id = {portrait.id: portrait for portrait in portraits}
    edges = _edges(portraits, portraits, blocks, weights, thresholds)
    known = {(edge.left, edge.right): edge.judgement for edge in edges}

    def judged(one: str, other: str) -> Judgement:
        pair = (one, other) if one <= other else (other, one)
        if pair not in known:
            known[pair] = judge(by_id[pair[0]], by_id[pair[1]], weights, thresholds)
        return known[pair]

    return Found(groups(edges, judged), weights, len(blocks.pairs), blocks.too_big)


def duplicates_between(
    left: Sequence[Portrait],
    right: Sequence[Portrait],
    weights: Weights | None = None,
    thresholds: Thresholds = USUAL,
    *,
    largest: int = LARGEST_BLOCK,
) -> Found:
    """Records of one file and of another, each of which holds a person at most once."""
    blocks = candidates_between(left, right, largest=largest)
    if weights is None:
        strangers = strangers_between(len(left), len(right))
        weights = _learned([*left, *right], left, right, blocks.pairs, strangers, len(left) * len(right))
    edges = _edges(left, right, blocks, weights, thresholds)
    return Found(one_to_one(edges), weights, len(blocks.pairs), blocks.too_big)


def _learned(
    everybody: Sequence[Portrait],
    left: Sequence[Portrait],
    right: Sequence[Portrait],
    pairs: Iterable[tuple[int, int]],
    strangers: Iterable[tuple[int, int]],
    possible: int,
) -> Weights:
    return learn(
        Counter(compare(left[one], right[other]) for one, other in pairs),
        Counter(compare(left[one], right[other]) for one, other in strangers),
        pairs=possible,
        records=len(everybody),
        values=value_counts(everybody),
    )


def _edges(
    left: Sequence[Portrait], right: Sequence[Portrait], blocks: Blocks, weights: Weights, thresholds: Thresholds
) -> list[Edge]:
    """The candidates that are not simply apart; in one file, the smaller id is left."""
    edges: list[Edge] = []
    for one, other in blocks.pairs:
        mine, theirs = left[one], right[other]
        judgement = judge(mine, theirs, weights, thresholds)
        if judgement.outcome != APART:
            if left is right and theirs.id < mine.id:
                mine, theirs = theirs, mine
            edges.append(Edge(mine.id, theirs.id, judgement))
    return edges
