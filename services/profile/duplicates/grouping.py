"""Which records make up one person, when pairs have been judged? No chain of likeness makes two people one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from services.profile.duplicates.deciding import MERGE, REVIEW, Judgement

AMBIGUOUS_BITS = 3.0


class Edge(Struct, frozen=True, gc=False):
    """Two records, the smaller id first where both are of one file, and what was judged of them."""

    left: str
    right: str
    judgement: Judgement

    @property
    def strength(self) -> tuple[float, str, str]:
        return -self.judgement.odds, self.left, self.right


class Grouping(Struct, frozen=True):
    """`groups` of two records and more, `merged` the edges that made them, `reviews` what a person should look at."""

    groups: list[tuple[str, ...]]
    merged: list[Edge]
    reviews: list[Edge]


def groups(edges: Iterable[Edge], judged: Callable[[str, str], Judgement]) -> Grouping:
    """People from pairs, the surest pair first; `judged` judges any pair, of those too that never were candidates.

    Two groups join by a pair that is to be merged, unless one of the two could as well be somebody else's (a record
    that fits either twin), across the groups as many pairs are held back by a guard as speak for it, or on the whole
    they speak against it.
    """
    ordered = sorted(edges, key=lambda edge: edge.strength)
    rivals = _by_record(edge for edge in ordered if edge.judgement.outcome == MERGE)
    member_of: dict[str, list[str]] = {}
    merged: list[Edge] = []
    reviews: list[Edge] = []
    for edge in ordered:
        if edge.judgement.outcome == REVIEW:
            reviews.append(edge)
        if edge.judgement.outcome != MERGE:
            continue
        one = member_of.setdefault(edge.left, [edge.left])
        other = member_of.setdefault(edge.right, [edge.right])
        if one is other:
            continue
        if _is_torn(edge, rivals, judged) or not _may_join(one, other, judged):
            reviews.append(edge)
            continue
        merged.append(edge)
        one.extend(other)
        member_of.update(dict.fromkeys(other, one))
    made = {id(group): tuple(sorted(group)) for group in member_of.values() if len(group) > 1}
    open_ = [edge for edge in reviews if member_of.get(edge.left, edge.left) is not member_of.get(edge.right)]
    return Grouping(sorted(made.values()), merged, open_)


def _is_torn(edge: Edge, rivals: Mapping[str, Sequence[Edge]], judged: Callable[[str, str], Judgement]) -> bool:
    """Whether one end, of which no given name is known, fits a third record as well, which has another given name."""
    if edge.judgement.proven or not edge.judgement.nameless:
        return False
    least = edge.judgement.odds - AMBIGUOUS_BITS
    for end, opposite in ((edge.left, edge.right), (edge.right, edge.left)):
        for rival in rivals[end]:
            third = rival.left if rival.right == end else rival.right
            tied = third != opposite and rival.judgement.nameless and rival.judgement.odds >= least
            if tied and "given_name" in judged(opposite, third).guards:
                return True
    return False


def _by_record(edges: Iterable[Edge]) -> defaultdict[str, list[Edge]]:
    found: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        found[edge.left].append(edge)
        found[edge.right].append(edge)
    return found


def _may_join(one: Sequence[str], other: Sequence[str], judged: Callable[[str, str], Judgement]) -> bool:
    across = [judged(left, right) for left in one for right in other]
    if any("one_each" in each.guards for each in across):
        return False
    against = sum(bool(each.guards) for each in across)
    if against >= sum(each.outcome == MERGE for each in across) and not any(each.proven for each in across):
        return False
    return sum(max(-20.0, min(20.0, each.odds)) for each in across) > 0


class Placement(Struct, frozen=True):
    """The person that a record belongs to, if that is sure, and those of whom somebody should say."""

    person: str | None
    reviews: tuple[str, ...]


def place(
    record: str,
    people: Mapping[str, Sequence[str]],
    judged: Callable[[str, str], Judgement],
    own: Sequence[str] = (),
) -> Placement:
    """One new or changed record against the people (id to records) whom its candidates belong to, the live case.

    It joins the one person whom it fits clearly better than any other; fits it two alike who are not one themselves,
    nobody is joined unasked. `own` are the records of the person it belongs to already, all of whom would be joined.
    """
    mine = [record, *(each for each in own if each != record)]
    fitting: list[tuple[float, str]] = []
    reviews: list[str] = []
    for person, records in sorted(people.items()):
        verdicts = [judged(record, other) for other in records if other != record]
        odds = max((each.odds for each in verdicts if each.outcome == MERGE), default=None)
        if odds is not None and _may_join(mine, records, judged):
            fitting.append((-odds, person))
        elif any(each.outcome in (MERGE, REVIEW) for each in verdicts):
            reviews.append(person)
    fitting.sort()
    rivals = [
        person
        for odds, person in fitting[1:]
        if odds - fitting[0][0] < AMBIGUOUS_BITS and not agree(people[fitting[0][1]], people[person], judged)
    ]
    chosen = fitting[0][1] if fitting and not rivals else None
    return Placement(chosen, tuple(person for _, person in fitting if person != chosen) + tuple(reviews))


def agree(one: Sequence[str], other: Sequence[str], judged: Callable[[str, str], Judgement]) -> bool:
    """Whether the records of two people would be linked unasked if they met."""
    if not any(judged(left, right).outcome == MERGE for left in one for right in other):
        return False
    return _may_join(one, other, judged)


def one_to_one(edges: Iterable[Edge]) -> Grouping:
    """Pairs between two files that each hold a person once, the surest first; what is as good as tied is looked at."""
    edges = sorted(edges, key=lambda edge: edge.strength)
    ordered = [edge for edge in edges if edge.judgement.outcome == MERGE]
    left, right = _by_end(ordered, "left"), _by_end(ordered, "right")
    taken: tuple[set[str], set[str]] = (set(), set())
    merged: list[Edge] = []
    reviews: list[Edge] = []
    for edge in ordered:
        if edge.left in taken[0] or edge.right in taken[1]:
            continue
        rivals = [other for other in left[edge.left] if other.right not in taken[1] and other is not edge]
        rivals += [other for other in right[edge.right] if other.left not in taken[0] and other is not edge]
        if any(other.judgement.odds > edge.judgement.odds - AMBIGUOUS_BITS for other in rivals):
            reviews.append(edge)
            continue
        merged.append(edge)
        taken[0].add(edge.left)
        taken[1].add(edge.right)
    reviews += [edge for edge in edges if edge.judgement.outcome == REVIEW]
    open_ = [edge for edge in reviews if edge.left not in taken[0] and edge.right not in taken[1]]
    return Grouping(sorted((edge.left, edge.right) for edge in merged), merged, open_)


def _by_end(edges: Iterable[Edge], end: str) -> defaultdict[str, list[Edge]]:
    found: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        found[getattr(edge, end)].append(edge)
    return found
