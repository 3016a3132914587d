"""Do the tests of rules leave the rest of the process its processor, however many people ask for them at once?"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx2
import pytest

from libs.common.auth import Authenticator, issue_token
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.metrics import Metrics
from libs.common.web import create_app
from services.rules.api import rules
from services.rules.document import rule_tests
from services.rules.engine.snapshot import compile_snapshot

SECRET = "a-unit-test-signs-with-this-0123456789abcdef"
ZONE = "Asia/Seoul"
VISIT: dict[str, Any] = {
    "id": "any-visit",
    "name": "Any visit",
    "when": {"type": "event", "event": "visit"},
    "emit": {"trigger": "a.b"},
    "tests": [{"name": "t", "given": [{"type": "visit", "time": "2026-03-02T10:00:00Z"}], "expect": [{}]}],
}


async def ready() -> list[str]:
    return []


@pytest.fixture
def client() -> httpx2.AsyncClient:
    """Whoever checks a document without keeping it; no database is asked."""
    metrics, database = Metrics("rules"), Database("postgresql://127.0.0.1:1/none", application="test")
    watcher = SnapshotWatcher("rule", database.connection, lambda _: compile_snapshot([], ZONE), metrics)
    app = create_app("rules", authenticator=Authenticator([SECRET]), metrics=metrics, readiness=ready)
    app.include_router(rules.make_router(database, watcher, ApprovalPolicy(), ZONE), prefix="/v1")
    token = issue_token(SECRET, subject="viewer", roles=["viewer"])
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://rules", headers=headers)


async def test_one_rule_is_tested_at_a_time_and_not_where_everything_else_runs(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[threading.Thread] = []
    seen: list[tuple[int, bool]] = []
    run = rule_tests.results

    def watched(*given: Any, **named: Any) -> Any:
        running.append(threading.current_thread())
        time.sleep(0.02)
        seen.append((len(running), threading.main_thread() in running))
        running.remove(threading.current_thread())
        return run(*given, **named)

    monkeypatch.setattr(rule_tests, "results", watched)
    calls = [client.post("/v1/rules/validate", json=VISIT) for _ in range(4)]
    calls += [client.post("/v1/rules/any-visit/test", json={"document": VISIT}) for _ in range(4)]
    answers = await asyncio.gather(*calls)
    assert [each.status_code for each in answers] == [200] * 8
    assert seen == [(1, False)] * 8


async def test_a_document_whose_tests_cost_too_much_is_told_where(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rule_tests.results
    monkeypatch.setattr(rule_tests, "results", lambda rule, body, zone, **named: run(rule, body, zone, 0, **named))
    found = (await client.post("/v1/rules/validate", json=VISIT)).json()
    assert found["valid"] is False
    assert [each["pointer"] for each in found["errors"]] == ["#/tests/0"]
    assert "was stopped" in found["errors"][0]["detail"]
