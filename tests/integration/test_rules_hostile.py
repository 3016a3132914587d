"""Does a document that nobody sane would write get an answer with places, in time, and does the service go on?"""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rules_place import VISITS, Place, activate, opened, running

LIBRARY = Path(__file__).parents[2] / "services" / "rules" / "library"
DOCUMENTS = 240
ACTIVATED = 30
BODIES = 12
JSON = {"Content-Type": "application/json"}
PATIENCE_SECONDS = 20.0
"""For one answer on a busy machine; whatever explodes takes minutes or for ever."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, -0.0, 10**30, -(10**400), 1e308, "", " ", "\x00", "a\u0000b", "\ud800", "💥" * 50),
    *(
        "/",
        "~1",
        "..",
        "__class__",
        "event.",
        "profile..x",
        "event.a.b.c.d.e.f.g",
        "measure.value",
        "first.a",
        "(a+)+$",
    ),
    *("0d", "-1d", "99999y", "1e9d", "30 d", "1mo", "7d", "24h", "9999-12-31", "0000-00-00", "2026-02-30T25:61:00Z"),
    *([], {}, [[]], [None], [{}], {"": ""}, {"any": []}, {"not": {"not": {}}}, ["a"] * 300, list(range(12_000))),
    *("x" * 5_000, {"op": "is"}, {"field": "event.a"}, {"type": "event"}, {"last": "7d"}, {"of": "count"}),
)


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from places(each, (*at, name))


def at(value: Any, place: tuple[Any, ...]) -> Any:
    for name in place:
        value = value[name]
    return value


def spoiled(chance: random.Random, document: Any, others: list[Any]) -> Any:
    """Some places hold something odd, something from elsewhere in rules, or nothing; some names are new."""
    document = json.loads(json.dumps(document))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        *above, last = chance.choice([each for each in places(document) if each])
        holder = at(document, tuple(above))
        how = chance.random()
        if how < 0.4:
            holder[last] = chance.choice(ODD)
        elif how < 0.75:
            holder[last] = chance.choice(others)
        elif how < 0.85:
            del holder[last]
        elif isinstance(holder, dict):
            holder[chance.choice(("repaet", "", "a/b", "\x00", "when", "not"))] = chance.choice(others)
    return document


def given() -> tuple[list[Any], list[Any]]:
    """The rules of the library, and every value that stands anywhere in them."""
    rules = [json.loads(file.read_text("utf-8")) for file in sorted(LIBRARY.glob("*/*.json"))]
    rules = [each.get("rule", each) for each in rules]
    return rules, [at(each, place) for each in rules for place in places(each)]


async def test_spoiled_documents_are_rules_or_refused_with_their_places(place: Place) -> None:
    chance, (rules, others) = random.Random(26), given()
    kept, refused = [], 0
    async with running(place) as client:
        for number in range(DOCUMENTS):
            document = spoiled(chance, chance.choice(rules), others)
            if isinstance(document, dict) and "id" in document and chance.random() < 0.9:
                document["id"] = f"spoiled-{number}"
            began = time.monotonic()
            answer = await client.post("/v1/rules", content=json.dumps(document).encode(), headers=JSON)
            assert time.monotonic() - began < PATIENCE_SECONDS, document
            told = answer.json()
            if answer.status_code == 201:
                kept.append(told["id"])
                continue
            refused += 1
            assert answer.status_code in (400, 409, 422), (answer.status_code, told, document)
            assert answer.status_code == 409 or told.get("errors"), (told, document)
            for error in told.get("errors", ()):
                assert error["pointer"] == "" or error["pointer"].startswith("#/"), (error, document)
                assert error["detail"] and len(error["detail"]) < 600
        assert refused > DOCUMENTS / 3 and len(kept) > DOCUMENTS / 20, (refused, len(kept))
        for id_ in kept[:ACTIVATED]:
            assert (await client.post(f"/v1/rules/{id_}/activate", json={})).status_code in (200, 422)
        await activate(client, VISITS)
        for _ in range(3):
            await place.give("somebody", "visit")
        assert "three-visits" in {each.rule_id for each in await place.triggers(1)}, "what was kept stops the others"
        measured = (await client.get("/metrics")).text
    assert 'dangol_rules_document_snapshot_failures_total{kind="rule"} 0.0' in measured


async def test_a_body_that_is_no_document_is_refused_with_a_reason(place: Place) -> None:
    whole = json.dumps(VISITS).encode()
    bodies = [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"rule"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"id":' * 20_000,
        whole.replace(b'"name"', b'"id": "other-rule", "name"'),
        whole.replace(b"3}", b"NaN}"),
        whole.replace(b"3}", b"1e999}"),
        whole + b" " * (2 << 20),
    ]
    assert len(bodies) == BODIES
    async with running(place) as client:
        for body in bodies:
            began = time.monotonic()
            answer = await client.post("/v1/rules", content=body, headers=JSON)
            assert time.monotonic() - began < PATIENCE_SECONDS
            assert answer.status_code in (400, 413, 422), (answer.status_code, body[:60])
            assert answer.json()["detail"], body[:60]
        assert (await client.get("/v1/rules")).json()["items"] == []
