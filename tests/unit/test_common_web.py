"""Is every answer of an API of one form, and can no request break it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from libs.common import errors, logs
from libs.common.auth import Authenticator, public
from libs.common.metrics import Metrics
from libs.common.web import (
    Cursor,
    Document,
    IfMatch,
    Limit,
    Page,
    create_app,
    decode_cursor,
    encode_cursor,
    etag,
    expected_version,
    page_of,
    require_match,
)

SECRET = "a-secret-of-forty-characters-0123456789!"
FREE = public("only a test")
STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


class Item(Document):
    total: int


class Order(Document):
    title: str
    items: list[Item] = []


RAISED: dict[str, Exception] = {
    "refused": errors.Refused("no"),
    "invalid": errors.Invalid("no", [errors.Fault("/when/type", "unknown")]),
    "notfound": errors.NotFound("no"),
    "conflict": errors.Conflict("no"),
    "stale": errors.Stale("no"),
    "away": errors.StoreAway("postgresql://dangol:pw@127.0.0.1 is away"),
    "fenced": errors.Fenced("other owner"),
    "poison": errors.Poison("bad value 010-1234-5678"),
    "bug": ZeroDivisionError("secret detail"),
    "config": errors.Misconfigured("secret detail"),
}


def router() -> APIRouter:
    made = APIRouter(prefix="/v1")

    @made.post("/orders", status_code=201)
    @FREE
    async def create_order(order: Order) -> Order:
        return order

    @made.get("/orders")
    @FREE
    async def list_orders(limit: Limit = 2, cursor: Cursor = None) -> Page[int]:
        position = decode_cursor(cursor, tuple[int])
        first = 0 if position is None else position[0] + 1
        items, following = page_of(list(range(first, min(5, first + limit + 1))), limit, lambda item: (item,))
        return Page(items=items, next=following)

    @made.put("/orders/{order_id}")
    @FREE
    async def change(order_id: int, if_match: IfMatch = None) -> int | None:
        require_match(if_match, 3)
        return expected_version(if_match)

    @made.get("/raise/{name}")
    @FREE
    async def fail(name: str) -> None:
        raise RAISED[name]

    return made


def app_with(
    readiness: Callable[[], Awaitable[Sequence[str]]] | None = None,
) -> FastAPI:
    async def ready() -> Sequence[str]:
        return []

    app = create_app(
        "demo",
        authenticator=Authenticator([SECRET]),
        metrics=Metrics("demo", process=False),
        readiness=readiness or ready,
    )
    app.include_router(router())
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


def test_a_path_or_method_that_does_not_exist_is_a_problem(client: TestClient) -> None:
    assert "/v1/nothing" in is_problem(client.get("/v1/nothing"), 404)["detail"]
    assert "DELETE" in is_problem(client.delete("/v1/orders"), 405)["detail"]
    assert client.head("/v1/nothing").headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("refused", 400),
        ("invalid", 422),
        ("notfound", 404),
        ("conflict", 409),
        ("stale", 412),
        ("away", 503),
        ("fenced", 503),
        ("poison", 422),
        ("bug", 500),
        ("config", 500),
    ],
)
def test_each_branch_of_the_error_tree_has_its_status_and_no_internals(
    name: str, status: int, client: TestClient
) -> None:
    answer = client.get(f"/v1/raise/{name}")
    is_problem(answer, status)
    for secret in ("secret detail", "pw@", "010-1234", "other owner"):
        assert secret not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_fault_points_into_the_document(client: TestClient) -> None:
    told = is_problem(client.get("/v1/raise/invalid"), 422)
    assert told["errors"] == [{"pointer": "#/when/type", "detail": "unknown"}]


def test_a_field_that_is_wrong_missing_or_unknown_is_pointed_at(client: TestClient) -> None:
    told = is_problem(client.post("/v1/orders", json={"items": [{"total": "x"}], "a/b": 1}), 422)
    assert {error["pointer"] for error in told["errors"]} == {"#/title", "#/items/0/total", "#/a~1b"}
    told = is_problem(client.get("/v1/orders?limit=0"), 422)
    assert told["errors"][0]["pointer"] == "query/limit"


def test_a_refused_value_is_not_repeated(client: TestClient) -> None:
    assert "010-1234" not in client.post("/v1/orders", json={"title": ["010-1234-5678"]}).text


def test_the_correlation_id_of_the_caller_comes_back_and_a_harmful_one_does_not(client: TestClient) -> None:
    def answered(given: str) -> str:
        return client.get("/healthz", headers={"X-Correlation-Id": given}).headers["X-Correlation-Id"]

    assert answered("order-4711-abc") == "order-4711-abc"
    for harmful in ("010-1234-5678", "a b", "x" * 65, "short", "kim@example.com"):
        assert answered(harmful) not in ("", harmful)
    assert logs.correlation() == ""


def test_readiness_gives_the_reasons_and_health_does_not_depend_on_it() -> None:
    reasons = ["kafka: no broker"]

    async def readiness() -> Sequence[str]:
        return reasons

    app = app_with(readiness)
    client = TestClient(app)
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["reasons"] == ["kafka: no broker"]
    assert client.get("/healthz").status_code == 200 and client.head("/healthz").status_code == 200
    reasons.clear()
    assert client.get("/readyz").status_code == 200
    app.state.draining = "stopping"
    assert client.get("/readyz").json()["reasons"] == ["stopping"]


async def test_a_readiness_check_that_hangs_or_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from libs.common.web import application

    async def hangs() -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    async def fails() -> Sequence[str]:
        raise errors.StoreAway("no database")

    monkeypatch.setattr(application, "READINESS_SECONDS_MAX", 0.01)
    assert "did not end" in (await application.reasons_unready(app_with(), hangs))[0]
    assert "no database" in (await application.reasons_unready(app_with(), fails))[0]


def test_requests_are_measured_by_route_and_never_by_address(client: TestClient) -> None:
    client.get("/v1/raise/refused")
    client.get("/v1/customers/01923f0c")
    client.request("BREW", "/healthz")
    text = client.get("/metrics").text
    assert 'method="GET",route="/v1/raise/{name}",status="400"' in text
    assert 'route="unmatched",status="404"' in text and "01923f0c" not in text
    assert 'method="other"' in text and "BREW" not in text


def test_a_list_is_read_to_its_end_page_by_page(client: TestClient) -> None:
    items: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/v1/orders", params={"cursor": cursor} if cursor else {}).json()
        items, cursor = items + page["items"], page["next"]
    assert items == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "garbage", ["x", "!!!!", "bm9wZQ", "단골", encode_cursor("text"), encode_cursor(1, 2), "_" * 999]
)
def test_a_cursor_that_is_not_ours_is_400(garbage: str, client: TestClient) -> None:
    assert "cursor" in is_problem(client.get("/v1/orders", params={"cursor": garbage}), 400)["detail"]


@given(st.tuples(st.integers(-(2**63), 2**63 - 1), STORABLE))
def test_a_cursor_holds_any_position(position: tuple[int, str]) -> None:
    assert decode_cursor(encode_cursor(*position), tuple[int, str]) == position


def test_a_change_needs_the_version_that_was_read(client: TestClient) -> None:
    def put(tag: str | None) -> Any:
        return client.put("/v1/orders/1", headers={} if tag is None else {"If-Match": tag})

    is_problem(put(None), 428)
    is_problem(put(etag(2)), 412)
    is_problem(put("3"), 400)
    is_problem(put('W/"3"'), 400)
    assert put(etag(3)).json() == 3
    assert put("*").json() is None
    assert put('"2", "3"').status_code == 412


def test_the_description_of_the_api_shows_problems(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    answers = described["paths"]["/v1/orders"]["post"]["responses"]
    assert "application/problem+json" in answers["4XX"]["content"]
