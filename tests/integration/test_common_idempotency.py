"""Is a POST that is repeated with its Idempotency-Key carried out once?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from libs.common import clock
from libs.common.auth import Authenticator, Principal, issue_token, requires
from libs.common.db import Database, Tx
from libs.common.errors import Conflict
from libs.common.metrics import Metrics
from libs.common.web import IdempotencyKey, create_app, idempotency, once

SECRET = "a-secret-of-forty-characters-0123456789!"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, application="test", size=6)
    await opened.start()
    async with opened.connection() as connection:
        await connection.execute(idempotency.SQL)
        await connection.execute("CREATE TABLE made (id serial PRIMARY KEY, text text)")
    yield opened
    await opened.stop()


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    router = APIRouter(prefix="/v1")

    @router.post("/things")
    async def make(
        request: Request,
        body: dict[str, str],
        who: Annotated[Principal, Depends(requires("marketer"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def act(tx: Tx) -> Response:
            number = await tx.fetchval("INSERT INTO made (text) VALUES ($1) RETURNING id", body["text"])
            if body["text"] == "refused":
                raise Conflict("not now")
            await asyncio.sleep(0.05)
            return JSONResponse({"id": number}, 201, {"Location": f"/v1/things/{number}", "X-Other": "1"})

        return await once(database, request, who, idempotency_key, act)

    async def ready() -> list[str]:
        return []

    app = create_app(
        "demo", authenticator=Authenticator([SECRET]), metrics=Metrics("demo", process=False), readiness=ready
    )
    app.include_router(router)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://demo") as opened:
        yield opened


async def post(client: httpx2.AsyncClient, text: str, key: str | None, subject: str = "ops") -> Any:
    headers = {"Authorization": f"Bearer {issue_token(SECRET, subject=subject, roles=['marketer'])}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return await client.post("/v1/things", json={"text": text}, headers=headers)


async def made(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM made"))


async def test_a_repeat_gives_the_first_answer_and_no_second_effect(
    client: httpx2.AsyncClient, database: Database
) -> None:
    first, again = await post(client, "a", "key-1"), await post(client, "a", "key-1")
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Content-Type"] == "application/json"
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
    assert await made(database) == 1


async def test_repeats_at_the_same_moment_have_one_effect(client: httpx2.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(post(client, "a", "key-1") for _ in range(5)))
    assert {answer.json()["id"] for answer in answers} == {1}
    assert await made(database) == 1


async def test_the_same_key_with_another_body_is_422(client: httpx2.AsyncClient, database: Database) -> None:
    await post(client, "a", "key-1")
    assert (await post(client, "b", "key-1")).status_code == 422
    assert await made(database) == 1


async def test_keys_of_two_people_do_not_meet(client: httpx2.AsyncClient, database: Database) -> None:
    await post(client, "a", "key-1", "ops")
    assert (await post(client, "b", "key-1", "other")).status_code == 201
    assert await made(database) == 2


async def test_a_refusal_is_undone_and_not_remembered(client: httpx2.AsyncClient, database: Database) -> None:
    assert (await post(client, "refused", "key-1")).status_code == 409
    assert await made(database) == 0
    assert (await post(client, "a", "key-1")).status_code == 201


async def test_without_a_key_each_request_counts(client: httpx2.AsyncClient, database: Database) -> None:
    for _ in range(2):
        assert (await post(client, "a", None)).status_code == 201
    assert await made(database) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_cannot_be_kept_is_422(key: str, client: httpx2.AsyncClient) -> None:
    assert (await post(client, "a", key)).status_code == 422


async def test_old_answers_are_forgotten(client: httpx2.AsyncClient, database: Database) -> None:
    await post(client, "a", "key-1")
    async with database.transaction() as tx:
        assert await idempotency.forget(tx, clock.now() - timedelta(days=1)) == 0
        assert await idempotency.forget(tx, clock.now() + timedelta(seconds=1)) == 1
    assert (await post(client, "a", "key-1")).json() == {"id": 2}
