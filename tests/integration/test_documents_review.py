"""Do campaigns and templates need a second person as rules do, where the company asks for one?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from libs.common import migrations
from libs.common.auth import issue_token
from libs.common.db import Database
from libs.common.runtime import App
from services.campaign import app as campaign
from services.campaign.settings import CampaignSettings
from services.notify import app as notify
from services.notify.settings import Settings

SECRET = "a secret of the tests, long enough 0123456789"
ROLES = {"anna": "marketer", "cleo": "approver"}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "campaigns": {
        "id": "welcome",
        "name": "Welcome",
        "trigger": "offer.welcome",
        "channel": "sms",
        "template": "welcome-text",
    },
    "templates": {"id": "welcome", "channel": "sms", "body": "Welcome, {{ customer.name }}"},
}


@pytest.fixture(params=["campaigns", "templates"])
def plural(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def app(postgres_url: str, fresh_name: str, plural: str) -> AsyncIterator[App]:
    """The API of the service that has such documents, in a company that asks for approval above 10 %."""
    name = "campaign" if plural == "campaigns" else "notify"
    given: dict[str, Any] = {
        "database_url": postgres_url,
        "database_prefix": f"{fresh_name}_",
        "token_secret": SECRET,
        "port": 0,
        "approval_above_percent": 10,
        "works": False,
    }
    made: App
    if name == "campaign":
        made = await campaign.build(CampaignSettings(**given))
    else:
        made = await notify.build(Settings(**given, demo=True, public_url="http://127.0.0.1:1"))
    await migrations.upgrade(name, Settings(**given, demo=True).database_url_of(name))
    database = made.resources[0]
    assert isinstance(database, Database)
    await database.start()
    yield made
    await database.stop()
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{fresh_name}_{name}" WITH (FORCE)')
    await server.close()


async def test_a_document_of_unknown_or_large_reach_needs_a_second_person(app: App, plural: str) -> None:
    async def call(who: str, path: str = "", **body: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {issue_token(SECRET, subject=who, roles=[ROLES[who]])}"}
        transport = httpx2.ASGITransport(app=app.web)
        async with httpx2.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
            return await client.post(f"/v1/{plural}{path}", json=body)

    written = await call("anna", **DOCUMENTS[plural])
    assert written.status_code == 201, written.text
    unknown = await call("anna", "/welcome/activate")
    assert unknown.status_code == 409
    assert [each["pointer"] for each in unknown.json()["errors"]] == ["#/reach_percent", "#/version"]
    assert (await call("anna", "/welcome/activate", reach_percent=11)).status_code == 409
    assert (await call("anna", "/welcome/submit")).json()["status"] == "review"
    assert (await call("cleo", "/welcome/approve", version=1, note="good")).json()["review"] == "approved"
    assert (await call("anna", "/welcome/activate", reach_percent=11)).json()["status"] == "active"
    assert (await call("anna", "/welcome/rollback")).status_code == 409


async def test_a_document_of_small_reach_needs_nobody(app: App, plural: str) -> None:
    headers = {"Authorization": f"Bearer {issue_token(SECRET, subject='anna', roles=['marketer'])}"}
    transport = httpx2.ASGITransport(app=app.web)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
        await client.post(f"/v1/{plural}", json=DOCUMENTS[plural])
        answer = await client.post(f"/v1/{plural}/welcome/activate", json={"reach_percent": 10})
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
