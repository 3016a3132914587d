"""What is to be done with one record that has changed? The people of its candidates, and what follows one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from services.profile.duplicates.deciding import APART, MERGE, Judgement, Thresholds, judge
from services.profile.duplicates.grouping import Edge, agree, place
from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.weights import Weights


class Settled(Struct, frozen=True):
    """The pair by which the record joins another person, if that is sure; the pairs that somebody should look at."""

    joined: Edge | None
    reviews: tuple[Edge, ...]


@dataclass(slots=True)
class Scene:
    """What is known of some records, those they might be one with, and all other records of these people.

    portraits   by record, of those that have one
    person_of   by record;  `records_of` the other way round
    apart       by record, those that nothing automatic joins it with

    It learns what has been settled, so that of several records the later ones see what became of the earlier ones.
    """

    portraits: Mapping[str, Portrait]
    person_of: dict[str, str]
    records_of: dict[str, list[str]]
    apart: Mapping[str, set[str]]
    weights: Weights
    thresholds: Thresholds
    automatic: bool = True
    known: dict[tuple[str, str], Judgement] = field(default_factory=dict)

    def judged(self, one: str, other: str) -> Judgement:
        pair = (one, other) if one <= other else (other, one)
        found = self.known.get(pair)
        if found is None:
            left, right = self.portraits[pair[0]], self.portraits[pair[1]]
            found = self.known[pair] = judge(left, right, self.weights, self.thresholds)
        return found

    def settle(self, record: str, candidates: Iterable[str]) -> Settled:
        own = self.person_of[record]
        others = {self.person_of[each] for each in candidates if each in self.portraits and each in self.person_of}
        people = {each: self._drawn(each) for each in sorted(others - {own}) if not self._kept_apart(own, each)}
        placed = place(record, people, self.judged, self._drawn(own))
        asked, joined = list(placed.reviews), None
        if placed.person is not None and not self.automatic:
            asked.append(placed.person)
        elif placed.person is not None:
            chosen = people[placed.person]
            joined = self._best(record, chosen)
            # Whoever would be one with that person is met again when the two are linked.
            asked = [each for each in asked if not agree(chosen, people[each], self.judged)]
            self._join(own, placed.person)
        reviews = (self._best(record, people[each]) for each in sorted(asked))
        return Settled(joined, tuple(each for each in reviews if each is not None))

    def _drawn(self, person: str) -> list[str]:
        return [each for each in self.records_of[person] if each in self.portraits]

    def _kept_apart(self, one: str, other: str) -> bool:
        theirs = self.records_of[other]
        return any(not self.apart.get(each, _NOBODY).isdisjoint(theirs) for each in self.records_of[one])

    def _best(self, record: str, records: Sequence[str]) -> Edge | None:
        """The surest pair of the record with one of these, of those that are not simply apart."""
        pairs = ((each, self.judged(record, each)) for each in records)
        known = [(found.outcome != MERGE, -found.odds, each) for each, found in pairs if found.outcome != APART]
        if not known:
            return None
        other = min(known)[2]
        return Edge(min(record, other), max(record, other), self.judged(record, other))

    def _join(self, one: str, other: str) -> None:
        moved = self.records_of.pop(other)
        self.records_of[one].extend(moved)
        self.person_of.update(dict.fromkeys(moved, one))


_NOBODY: frozenset[str] = frozenset()


class Question(Struct, frozen=True):
    """A pair of records, the smaller id first, that somebody is asked about, with the odds that were found."""

    pair_id: str
    left: str
    right: str
    odds: float


class Renewed(Struct, frozen=True):
    """Pairs to ask about from now on, and questions to take back."""

    asked: tuple[Edge, ...]
    dropped: tuple[str, ...]


def renewed(scene: Scene, settled: Mapping[str, Settled], standing: Iterable[Question]) -> Renewed:
    """What is to be asked after some records have been settled, by the questions that stand about their people.

    Of two people only the surest pair of their records is asked about, and nothing of records that are one person's.
    """
    held = {(each.left, each.right): each.odds for each in standing}
    ids = {(each.left, each.right): each.pair_id for each in standing}
    asked: dict[tuple[str, str], Edge] = {}
    for record, found in settled.items():
        wanted = {(edge.left, edge.right): edge for edge in found.reviews}
        for pair in [pair for pair in held if record in pair and pair not in wanted]:
            del held[pair]
        for pair, edge in wanted.items():
            people = _people(pair, scene)
            rivals = [each for each in held if each != pair and _people(each, scene) == people]
            held.pop(pair, None)
            if any(held[each] >= edge.judgement.odds for each in rivals):
                continue
            for each in rivals:
                del held[each]
            held[pair], asked[pair] = edge.judgement.odds, edge
    standing_pairs = {pair for pair in held if len(_people(pair, scene)) > 1}
    return Renewed(
        tuple(edge for pair, edge in asked.items() if pair in standing_pairs),
        tuple(pair_id for pair, pair_id in ids.items() if pair not in standing_pairs),
    )


def _people(pair: tuple[str, str], scene: Scene) -> frozenset[str]:
    """The people of a pair; a record that the scene does not know stands for itself."""
    return frozenset(scene.person_of.get(record, record) for record in pair)
