"""Can any request, however large, slow or odd, break an API before it is looked at?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from libs.common import errors
from libs.common.auth import Authenticator, public
from libs.common.metrics import Metrics
from libs.common.web import Document, Limits, StrictJson, create_app, strict_json

SECRET = "a-secret-of-forty-characters-0123456789!"
FREE = public("only a test")
STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | STORABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STORABLE, inner, max_size=4),
    max_leaves=12,
)


class Item(Document):
    total: int


class Order(Document):
    title: str
    items: list[Item] = []


def app_with(limits: Limits | None = None) -> FastAPI:
    async def ready() -> list[str]:
        return []

    app = create_app(
        "demo",
        authenticator=Authenticator([SECRET]),
        metrics=Metrics("demo", process=False),
        readiness=ready,
        limits=limits,
    )
    router = APIRouter(prefix="/v1")

    @router.post("/orders", status_code=201)
    @FREE
    async def create_order(order: Order) -> Order:
        return order

    @router.get("/orders/{order_id}")
    @FREE
    async def get_order(order_id: str) -> str:
        return order_id

    @router.post("/raw")
    @FREE
    async def raw(request: Request) -> int:
        return len(await request.body())

    app.include_router(router)
    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(app_with())


def is_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status and told["title"]
    assert told["trace_id"] == answer.headers["X-Correlation-Id"]
    return told


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"title": "x"', 400),
        (b"", 422),
        (b'{"title": NaN}', 400),
        (b'{"title": "x", "items": [{"total": -Infinity}]}', 400),
        (b'{"title": "x", "items": [{"total": 1e999}]}', 422),
        (b'{"title": "x", "items": [{"total": 9223372036854775808}]}', 422),
        (b'{"title": "x", "items": [{"total": ' + b"9" * 5000 + b"}]}", 422),
        (b'{"title": "a\\u0000b"}', 422),
        (b'{"a\\u0000b": 1, "title": "x"}', 422),
        (b'{"title": "\\ud800"}', 422),
        (b'{"title": "x", "title": "y"}', 422),
        (b'{"title": "x", "\\ud800": 1, "\\ud800": 2}', 422),
        (b'{"title": "x", "items": [' + b"[" * 40 + b"]" * 40 + b"]}", 422),
        (b"[" * 100_000, 422),
        (b"[" * 100_000 + b"]" * 100_000, 422),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"title": "\xff"}', 400),
        (b"null", 422),
    ],
)
def test_hostile_json_is_refused_and_never_a_server_error(body: bytes, status: int, client: TestClient) -> None:
    is_problem(client.post("/v1/orders", content=body, headers=JSON), status)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a": [1, {"b/c": 9223372036854775808}]}', "#/a/1/b~1c"),
        (b'{"a": [1e999]}', "#/a/0"),
        (b'{"a": {"x": 1, "x": 2}}', "#/a/x"),
        (b'{"a": {"b": "\\u0000"}}', "#/a/b"),
        (b"9223372036854775808", ""),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "#" + "/a" * 32),
    ],
)
def test_what_no_part_could_hold_is_refused_at_its_place(body: bytes, pointer: str, client: TestClient) -> None:
    answer = client.post("/v1/orders", content=body, headers=JSON)
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


def test_korean_text_and_whole_surrogate_pairs_pass(client: TestClient) -> None:
    answer = client.post("/v1/orders", content='{"title": "단골 \\ud83d\\ude00"}'.encode(), headers=JSON)
    assert answer.status_code == 201 and answer.json()["title"] == "단골 😀"


@given(JSON_VALUES)
def test_every_document_that_can_be_stored_passes_the_strict_check(document: Any) -> None:
    strict_json.check(json.dumps(document).encode())
    strict_json.check(json.dumps(document, ensure_ascii=False).encode())


@given(st.binary(max_size=60))
def test_the_strict_check_answers_every_input(body: bytes) -> None:
    try:
        strict_json.check(body)
    except errors.Refused as error:
        assert error.status in (400, 422)


def test_nul_in_the_address_is_refused(client: TestClient) -> None:
    is_problem(client.get("/v1/orders/1?cursor=a%00b"), 400)
    is_problem(client.get("/v1/orders/a%00b"), 400)


def test_a_body_over_the_limit_is_413_whether_announced_or_not() -> None:
    client = TestClient(app_with(limits=Limits(body_bytes_max=100)))
    assert client.post("/v1/raw", content=b"x" * 100).json() == 100
    is_problem(client.post("/v1/raw", content=b"x" * 101), 413)

    def chunks() -> Any:
        for _ in range(11):
            yield b"x" * 10

    is_problem(client.post("/v1/raw", content=chunks()), 413)
    is_problem(client.post("/v1/orders", content=chunks(), headers=JSON), 413)
    # The framework answers by itself when reading fails; the true reason must stand all the same.
    is_problem(client.post("/v1/orders", content=chunks(), headers={"Content-Type": "text/plain"}), 413)


def test_too_many_headers_or_too_long_an_address_are_refused(client: TestClient) -> None:
    is_problem(client.get("/healthz", headers={f"X-{n}": "1" for n in range(120)}), 431)
    is_problem(client.get("/healthz", headers={"X-Long": "x" * 20_000}), 431)
    is_problem(client.get("/v1/orders/1?cursor=" + "x" * 9_000), 414)


async def exchange(app: FastAPI, path: str, receive: Callable[[], Awaitable[Message]]) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/raw"])
async def test_a_body_that_trickles_in_is_408(path: str) -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    sent = await exchange(app_with(limits=Limits(body_seconds_max=0.1)), path, receive)
    assert sent[0]["status"] == 408 and (b"connection", b"close") in sent[0]["headers"]


async def test_a_caller_that_goes_away_gets_no_answer_and_no_error() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    assert await exchange(app_with(), "/v1/orders", receive) == []


async def test_a_body_that_was_checked_arrives_whole() -> None:
    parts = [b'{"title"', b': "x', b'"}']

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    seen = bytearray()

    async def inner(scope: Scope, receive: Any, send: Any) -> None:
        message = await receive()
        seen.extend(message["body"])
        await Response("ok")(scope, receive, send)

    await exchange(StrictJson(inner), "/", receive)  # type: ignore[arg-type]
    assert bytes(seen) == b'{"title": "x"}'
