"""What becomes of records that have changed? They are linked to whom they surely are, or somebody is asked."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from libs.common import clock
from libs.common.db import Database, Row
from libs.common.events import LinkOrdered
from services.profile.commands import Commands
from services.profile.duplicates.deciding import APART, Thresholds, decide, judge
from services.profile.duplicates.grouping import Edge
from services.profile.duplicates.placing import Question, Renewed, Scene, Settled, renewed
from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.weights import Weights
from services.profile.finder.lessons import Lessons
from services.profile.finder.meeting import meet
from services.profile.identity import Table, kind_of
from services.profile.person import Definitions
from services.profile.portraits import decoded
from services.profile.store import duplicates as store

ACTOR: Final = "dangol/duplicates"
RULE: Final = "probable_duplicate"
AT_ONCE: Final = 64
_LEASE_SECONDS = 30.0
_AGAIN_SECONDS = 5.0
Counted = Callable[[str, int], None]


class Looked(NamedTuple):
    """How many looks were done, and how long this process was busy with them."""

    looks: int
    busy_seconds: float


class Looks:
    """`counted` is told what came of them. Whoever dies over a handful leaves it to others when the lease is over."""

    def __init__(
        self,
        database: Database,
        commands: Commands,
        definitions: Callable[[], Definitions],
        lessons: Lessons,
        counted: Counted,
    ) -> None:
        self._database = database
        self._commands = commands
        self._definitions = definitions
        self._lessons = lessons
        self._counted = counted

    async def look(self) -> Looked:
        """Take the eldest looks that nobody else is at, and do them."""
        began = time.perf_counter()
        async with self._database.transaction() as tx:
            rows = await store.take_looks(tx, AT_ONCE, _LEASE_SECONDS)
        if not rows:
            return Looked(0, 0.0)
        records = list(dict.fromkeys(row["record_id"] for row in sorted(rows, key=lambda row: row["number"])))
        scene, settled, changes, version = await self._settle(records)
        ordered = time.perf_counter()
        undone = await self._link(scene, settled)
        waited = time.perf_counter() - ordered
        await self._write(rows, undone, changes, version)
        return Looked(len(rows), time.perf_counter() - began - waited)

    async def _settle(self, records: Sequence[str]) -> tuple[Scene, dict[str, Settled], Renewed, int]:
        version, weights = await self._lessons.weights()
        terms = self._definitions().duplicates
        thresholds = Thresholds(terms.merge_probability, terms.review_probability)
        near = await self._near(records, weights, thresholds)
        uniques = sorted(Table(self._definitions().identity).uniques)
        async with self._database.connection() as connection:
            rows = await store.people_of(
                connection, {*records, *(each for some in near.values() for each in some)}, uniques
            )
        scene = scene_of(rows, weights, thresholds, automatic=terms.automatic)
        nothing = Settled(None, ())
        settled = {
            record: scene.settle(record, near.get(record, ())) if record in scene.portraits else nothing
            for record in records
        }
        own = [each for record in records if record in scene.person_of for each in _own(record, scene)]
        async with self._database.connection() as connection:
            standing = await store.open_among(connection, {*own, *records})
        questions = [Question(row["pair_id"], row["one"], row["other"], row["odds"]) for row in standing]
        return scene, settled, renewed(scene, settled, questions), version

    async def _near(self, records: Sequence[str], weights: Weights, thresholds: Thresholds) -> dict[str, list[str]]:
        """Those of each record's candidates who are not plainly somebody else; what is a person's own comes later."""
        async with self._database.connection() as connection:
            bodies = await store.bodies(connection, records)
            drawn = {record: decoded(body).portrait for record, body in bodies.items()}
            met = await meet(connection, drawn)
            wanted = {each for some in met.candidates.values() for each in some}.difference(drawn)
            for record, body in (await store.bodies(connection, wanted)).items():
                drawn[record] = decoded(body).portrait
        near: dict[str, list[str]] = {}
        for record, candidates in met.candidates.items():
            mine = drawn[record]
            near[record] = [
                each
                for each in candidates
                if each in drawn and judge(mine, drawn[each], weights, thresholds).outcome != APART
            ]
            # Others of this process have their turn between two records.
            await asyncio.sleep(0)
        self._counted("too_big_blocks", met.too_big)
        return near

    async def _link(self, scene: Scene, settled: Mapping[str, Settled]) -> set[str]:
        """Order the links that are sure; returns the records of whose orders nothing is known yet."""
        orders = {record: _order(record, found.joined, scene) for record, found in settled.items() if found.joined}
        if not orders:
            return set()
        outcomes = await self._commands.link_all(list(orders.values()))
        said = [outcomes.get(order.order_id) for order in orders.values()]
        self._counted("linked", said.count(""))
        self._counted("refused", sum(bool(outcome) for outcome in said))
        return {record for record, order in orders.items() if order.order_id not in outcomes}

    async def _write(self, rows: Sequence[Row], undone: Collection[str], changes: Renewed, version: int) -> None:
        now = clock.now()
        numbers = {row["number"] for row in rows if row["record_id"] not in undone}
        pairs = [_pair(edge, version) for edge in changes.asked]
        async with self._database.transaction() as tx:
            dropped = await store.drop_pairs(tx, changes.dropped, now) if changes.dropped else 0
            asked = await store.ask(tx, pairs, now) if pairs else 0
            await store.end_looks(tx, numbers)
            if undone:
                await store.give_back_looks(tx, {row["number"] for row in rows} - numbers, _AGAIN_SECONDS)
        self._counted("looked_at", len(numbers))
        self._counted("asked", asked)
        self._counted("taken_back", dropped)


def scene_of(rows: Iterable[Row], weights: Weights, thresholds: Thresholds, *, automatic: bool = True) -> Scene:
    """From the rows of all records of some people. What a person has one of stands in each of their portraits."""
    records_of: defaultdict[str, list[str]] = defaultdict(list)
    drawn: dict[str, Portrait] = {}
    one_each: defaultdict[str, dict[str, str]] = defaultdict(dict)
    apart: dict[str, set[str]] = {}
    for row in rows:
        person, record = row["person_id"], row["record_id"]
        records_of[person].append(record)
        one_each[person].update((kind_of(key), key) for key in row["keys"])
        if row["body"] is not None:
            drawn[record] = decoded(row["body"]).portrait
        if row["apart"]:
            apart[record] = set(row["apart"])
    person_of = {record: person for person, records in records_of.items() for record in records}
    portraits = {
        record: msgspec.structs.replace(portrait, one_each=tuple(sorted(held.items())))
        if (held := one_each[person_of[record]])
        else portrait
        for record, portrait in drawn.items()
    }
    return Scene(portraits, person_of, dict(records_of), apart, weights, thresholds, automatic)


def _own(record: str, scene: Scene) -> list[str]:
    return scene.records_of[scene.person_of[record]]


def _order(record: str, edge: Edge, scene: Scene) -> LinkOrdered:
    """With levels and weights as the evidence, and nothing of what was compared."""
    other = edge.right if edge.left == record else edge.left
    verdict = decide(scene.portraits[edge.left], scene.portraits[edge.right], scene.weights, scene.thresholds)
    evidence: dict[str, Any] = {line.field: {"level": line.level, "bits": line.weight} for line in verdict.evidence}
    return LinkOrdered(
        str(clock.new_id()),
        "link",
        record,
        ACTOR,
        clock.now(),
        [other],
        automatic=True,
        rule=RULE,
        score=round(verdict.probability, 6),
        evidence=evidence,
    )


def _pair(edge: Edge, version: int) -> store.Pair:
    return store.Pair(edge.left, edge.right, edge.judgement.odds, edge.judgement.guards, version)
