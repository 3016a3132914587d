"""How do two records look to somebody who is to say whether they are one person? Side by side, with what speaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libs.common.db import Row
from services.profile.duplicates.deciding import Thresholds, decide
from services.profile.duplicates.weights import Weights, probability_of
from services.profile.finder.looking import scene_of
from services.profile.identity import Table
from services.profile.person import Definitions
from services.profile.search_views import shown
from services.profile.store import duplicates as store
from services.profile.store import portraits as portrait_store


async def listed(connection: Any, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line per pair, in the same order."""
    sides = await _sides(connection, {row[side] for row in rows for side in ("one", "other")})
    return [pair(row, sides) for row in rows]


async def _sides(connection: Any, records: Iterable[str]) -> Mapping[str, dict[str, Any]]:
    """The person of each record in one line."""
    wanted = set(records)
    people: defaultdict[str, list[Row]] = defaultdict(list)
    for row in await portrait_store.people_of(connection, wanted, terms=False) if wanted else ():
        people[row["person_id"]].append(row)
    return {row["record_id"]: shown(held) for held in people.values() for row in held}


def pair(row: Row, sides: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": row["pair_id"],
        "state": row["state"],
        "probability": round(probability_of(row["odds"]), 6),
        "score": round(row["odds"], 2),
        "guards": row["guards"],
        "found_at": row["found_at"],
        "left": sides.get(row["one"], {}) | {"record": row["one"]},
        "right": sides.get(row["other"], {}) | {"record": row["other"]},
        "decided_at": row["decided_at"],
        "decided_by": row["decided_by"] or None,
        "reason": row["reason"] or None,
    }


async def compared(connection: Any, row: Row, definitions: Definitions, weights: Weights) -> dict[str, Any]:
    """One pair with the evidence as of now, the heaviest first; `score` and `probability` are those of now as well.

    `one_person` says whether the two have been linked meanwhile.
    """
    both = [row["one"], row["other"]]
    sides = await _sides(connection, both)
    uniques = sorted(Table(definitions.identity).uniques)
    terms = definitions.duplicates
    thresholds = Thresholds(terms.merge_probability, terms.review_probability)
    scene = scene_of(await store.people_of(connection, both, uniques), weights, thresholds)
    found = pair(row, sides) | {"evidence": []}
    found["one_person"] = len({scene.person_of.get(record, record) for record in both}) == 1
    if all(record in scene.portraits for record in both):
        verdict = decide(scene.portraits[both[0]], scene.portraits[both[1]], weights, thresholds)
        found |= {"probability": round(verdict.probability, 6), "score": verdict.score, "guards": list(verdict.guards)}
        found["evidence"] = [
            {"field": line.field, "left": line.left, "right": line.right, "level": line.level, "weight": line.weight}
            for line in verdict.evidence
        ]
    return found
