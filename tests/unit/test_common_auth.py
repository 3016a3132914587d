"""Does a token open what its roles allow, and nothing else?"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Annotated, Any

import pytest
import time_machine
from fastapi import APIRouter, Depends, FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.testclient import TestClient

from libs.common import auth, clock
from libs.common.auth import Authenticator, Principal, issue_token, public, requires
from libs.common.errors import Misconfigured, Unauthenticated
from libs.common.metrics import Metrics
from libs.common.web import create_app, require_guarded

SECRET = "a-secret-of-forty-characters-0123456789!"
OTHER = SECRET[::-1]


def verify(token: str) -> Principal:
    return Authenticator([SECRET]).verify(token)


def signed(claims: dict[str, Any], *, algorithm: str = "HS256", secret: str = SECRET) -> str:
    return jwt.encode({"alg": algorithm}, claims, OctKey.import_key(secret), algorithms=[algorithm])


CLAIMS: dict[str, Any] = {"aud": "dangol", "sub": "ops", "roles": ["viewer"]}


def test_a_token_says_who_and_which_roles_and_which_branch() -> None:
    token = issue_token(SECRET, subject="ops-1", roles=["agent", "viewer"], branch="gangnam")
    assert verify(token) == Principal("ops-1", frozenset({"agent", "viewer"}), "gangnam")


def test_a_token_of_a_retired_secret_passes_until_the_secret_is_dropped() -> None:
    token = issue_token(OTHER, subject="ops", roles=["viewer"])
    assert Authenticator([SECRET, OTHER]).verify(token).subject == "ops"
    with pytest.raises(Unauthenticated):
        Authenticator([SECRET]).verify(token)


def test_a_token_ends_with_its_lifetime() -> None:
    with time_machine.travel("2026-11-22T00:00:00Z", tick=False) as traveller:
        token = issue_token(SECRET, subject="ops", roles=["viewer"], lifetime=timedelta(minutes=5))
        traveller.shift(timedelta(minutes=4, seconds=59))
        assert verify(token).subject == "ops"
        traveller.shift(timedelta(seconds=1))
        with pytest.raises(Unauthenticated, match="expired"):
            verify(token)


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, CLAIMS]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "ü.ü.ü",
        "x" * 10_000,
        unsigned(),
        signed(CLAIMS, algorithm="HS512"),
        signed(CLAIMS, secret=OTHER),
        signed({**CLAIMS, "aud": "elsewhere"}),
        signed({"aud": "dangol", "roles": ["viewer"]}),
        signed({**CLAIMS, "roles": []}),
        signed({**CLAIMS, "roles": ["root"]}),
        signed({**CLAIMS, "roles": "admin"}),
        signed({**CLAIMS, "roles": [["admin"]]}),
        signed({**CLAIMS, "branch": 7}),
        signed({**CLAIMS, "exp": "tomorrow"}),
        signed({**CLAIMS, "nbf": clock.now_ms() // 1000 + 86_400}),
        issue_token(SECRET, subject="ops", roles=["viewer"]).rpartition(".")[0] + "." + "A" * 43,
    ],
)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(token)


def test_a_weak_or_missing_secret_is_a_misconfiguration() -> None:
    for secrets in ([], ["short"]):
        with pytest.raises(Misconfigured):
            Authenticator(secrets)


def test_an_unknown_role_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="markter"):
        requires("markter")
    with pytest.raises(ValueError, match="markter"):
        issue_token(SECRET, subject="ops", roles=["markter"])


def test_a_principal_with_a_branch_covers_that_branch_alone() -> None:
    scoped = Principal("a", frozenset({"agent"}), "gangnam")
    assert scoped.covers("gangnam") and not scoped.covers("mapo") and not scoped.covers(None)
    assert Principal("b", frozenset({"agent"})).covers("mapo")


def app_with(router: APIRouter) -> FastAPI:
    async def ready() -> list[str]:
        return []

    app = create_app(
        "demo", authenticator=Authenticator([SECRET]), metrics=Metrics("demo", process=False), readiness=ready
    )
    app.include_router(router)
    return app


def guarded_router() -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/rules")
    async def list_rules(who: Annotated[Principal, Depends(requires("viewer", "marketer"))]) -> str:
        return who.subject

    @router.post("/rules", dependencies=[Depends(requires("marketer"))])
    async def create_rule() -> str:
        return "made"

    @router.get("/anybody", dependencies=[Depends(requires())])
    async def anybody() -> str:
        return "in"

    @router.get("/open")
    @public("the page has nothing to hide")
    async def open_page() -> str:
        return "open"

    return router


ENDPOINTS = [
    ("GET", "/v1/rules", {"viewer", "marketer"}),
    ("POST", "/v1/rules", {"marketer"}),
    ("GET", "/v1/anybody", set(auth.ROLES)),
]


@pytest.mark.parametrize("role", auth.ROLES)
def test_each_role_passes_where_it_is_named_and_admin_everywhere(role: str) -> None:
    client = TestClient(app_with(guarded_router()))
    headers = {"Authorization": f"Bearer {issue_token(SECRET, subject='me', roles=[role])}"}
    for method, path, allowed in ENDPOINTS:
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == (200 if role in allowed or role == "admin" else 403), (method, path)


def test_a_missing_token_is_401_with_a_challenge_and_a_missing_role_says_which() -> None:
    client = TestClient(app_with(guarded_router()))
    nobody = client.post("/v1/rules")
    assert nobody.status_code == 401 and nobody.headers["WWW-Authenticate"].startswith("Bearer")
    assert nobody.headers["Content-Type"] == "application/problem+json"
    token = issue_token(SECRET, subject="me", roles=["viewer"])
    viewer = client.post("/v1/rules", headers={"Authorization": f"Bearer {token}"})
    assert viewer.status_code == 403 and "marketer" in viewer.json()["detail"]
    assert client.get("/v1/rules", headers={"Authorization": "Basic YTpi"}).status_code == 401
    assert client.get("/v1/open").status_code == 200


def test_an_open_route_is_found_and_keeps_the_service_from_starting() -> None:
    router = guarded_router()

    @router.delete("/rules/{rule_id}")
    async def forgotten(rule_id: str) -> str:
        return rule_id

    app = app_with(router)
    assert auth.unguarded(app) == ["DELETE /v1/rules/{rule_id}"]
    with pytest.raises(Misconfigured, match="DELETE /v1/rules"):
        require_guarded(app)
    with pytest.raises(Misconfigured), TestClient(app):
        pass


def test_routes_of_nested_routers_and_mounts_are_seen() -> None:
    outer, inner = APIRouter(prefix="/v1"), APIRouter(prefix="/deep")

    @inner.get("/hole")
    async def hole() -> str:
        return ""

    outer.include_router(inner)
    app = app_with(outer)
    app.mount("/v1/files", FastAPI())
    assert auth.unguarded(app) == ["GET /v1/deep/hole", "* /v1/files/*"]


def test_a_guard_on_a_whole_router_counts() -> None:
    router = APIRouter(prefix="/v1", dependencies=[Depends(requires("operator"))])

    @router.get("/switches")
    async def switches() -> str:
        return "off"

    app = app_with(router)
    assert auth.unguarded(app) == []
    assert [access.roles for access in auth.routes(app)] == [(("operator",),)]


def test_public_needs_a_reason() -> None:
    with pytest.raises(TypeError):
        public(lambda: None)  # type: ignore[arg-type]
