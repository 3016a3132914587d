"""Does a rule live as its page says: tested, agreed to by a second person, in force, taken back, never overwritten?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI

from libs.common.auth import issue_token
from libs.common.db import Database
from services.rules.app import build
from tests.rules_place import SECRET, VISITS, Place, opened

VISIT = {"type": "visit", "time": "2026-03-02T10:00:00+09:00"}
TESTED = {**VISITS, "tests": [{"name": "one is not enough", "given": [VISIT], "expect": []}]}
FAILING = {**VISITS, "tests": [{"name": "one is enough", "given": [VISIT], "expect": [{"event": "1"}]}]}


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


class People:
    """The API as several people see it: `await people("anna", "POST", "/three-visits/activate", version=1)`."""

    ROLES = {"anna": ["marketer"], "ben": ["marketer", "approver"], "cleo": ["approver"], "dan": ["admin"]}

    def __init__(self, web: FastAPI) -> None:
        self._web = web

    async def __call__(
        self, who: str, method: str, path: str = "", if_match: int | None = None, /, **body: Any
    ) -> httpx2.Response:
        token = issue_token(SECRET, subject=who, roles=self.ROLES[who])
        headers = {"Authorization": f"Bearer {token}"}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        transport = httpx2.ASGITransport(app=self._web)
        async with httpx2.AsyncClient(transport=transport, base_url="http://rules") as client:
            return await client.request(
                method, f"/v1/rules{path}", headers=headers, json=None if method == "GET" else body
            )


@asynccontextmanager
async def people_of(place: Place, **settings: Any) -> AsyncIterator[People]:
    """The API without the worker: what is in force is what the database says."""
    app = await build(place.settings.model_copy(update={"works": False, **settings}))
    database = app.resources[0]
    assert isinstance(database, Database)
    await database.start()
    try:
        yield People(app.web)
    finally:
        await database.stop()


async def in_force(people: People) -> tuple[int, int] | None:
    answer = await people("cleo", "GET", "/three-visits?which=active")
    return None if answer.status_code == 404 else (answer.json()["version"], answer.json()["ramp_percent"])


async def test_a_version_goes_through_review_by_somebody_else(place: Place) -> None:
    async with people_of(place, approval_above_percent=0) as people:
        await people("ben", "POST", **VISITS)
        refused = await people("ben", "POST", "/three-visits/activate", reach_percent=0)
        assert refused.status_code == 409
        assert "needs approval, as every activation does here" in refused.json()["detail"]
        [missing] = refused.json()["errors"]
        assert missing["pointer"] == "#/version"
        assert "by somebody else than ben: submit it first" in missing["detail"]
        early = await people("cleo", "POST", "/three-visits/approve", version=1)
        assert early.status_code == 409 and "not in review" in early.json()["detail"]
        submitted = (await people("ben", "POST", "/three-visits/submit", note="please")).json()
        assert (submitted["status"], submitted["review"]) == ("review", "asked")
        waiting = (await people("cleo", "GET", "?status=review")).json()["items"]
        assert [(each["id"], each["review_version"]) for each in waiting] == [("three-visits", 1)]
        assert (await people("cleo", "GET", "?status=draft")).json()["items"] == []
        own = await people("ben", "POST", "/three-visits/approve", version=1)
        assert own.status_code == 403 and "is your own" in own.json()["detail"]
        assert (await people("anna", "POST", "/three-visits/approve", version=1)).status_code == 403
        assert (await people("cleo", "POST", "/three-visits/approve", version=1, note="good")).status_code == 200
        assert (await people("ben", "POST", "/three-visits/activate", version=1)).json()["status"] == "active"
        told = (await people("anna", "GET", "/three-visits/reviews")).json()["items"]
        assert [(each["verdict"], each["author"], each["note"]) for each in told] == [
            ("approved", "cleo", "good"),
            ("asked", "ben", "please"),
        ]


async def test_an_approval_is_of_one_version_and_a_rejection_needs_a_reason(place: Place) -> None:
    async with people_of(place, approval_above_percent=0) as people:
        await people("anna", "POST", **VISITS)
        await people("anna", "POST", "/three-visits/submit")
        await people("cleo", "POST", "/three-visits/approve", version=1)
        await people("anna", "PUT", "/three-visits", 1, **{**VISITS, "name": "Another"})
        assert (await people("anna", "POST", "/three-visits/activate", version=2)).status_code == 409
        await people("anna", "POST", "/three-visits/submit")
        assert (await people("cleo", "POST", "/three-visits/reject", version=2)).status_code == 422
        rejected = await people("cleo", "POST", "/three-visits/reject", version=2, note="too many")
        assert (rejected.json()["status"], rejected.json()["review"]) == ("draft", "rejected")
        refused = await people("anna", "POST", "/three-visits/activate", version=2)
        assert "it was rejected" in refused.json()["errors"][0]["detail"]
        assert (await people("anna", "POST", "/three-visits/activate", version=1)).status_code == 200


async def test_whoever_approves_names_the_version_that_they_have_looked_at(place: Place) -> None:
    async with people_of(place) as people:
        await people("anna", "POST", **VISITS)
        await people("anna", "POST", "/three-visits/submit")
        await people("anna", "PUT", "/three-visits", 1, **{**VISITS, "name": "Another"})
        await people("anna", "POST", "/three-visits/submit", version=2)
        late = await people("cleo", "POST", "/three-visits/approve", version=1)
        assert late.status_code == 409
        told = (await people("anna", "GET", "/three-visits/reviews")).json()["items"]
        assert [(each["version"], each["verdict"]) for each in told] == [(2, "asked"), (1, "withdrawn"), (1, "asked")]
        await people("anna", "POST", "/three-visits/retire")
        assert (await people("cleo", "GET", "?status=review")).json()["items"] == []


async def test_approval_is_needed_above_a_reach_and_the_answer_says_what_is_missing(place: Place) -> None:
    async with people_of(place, approval_above_percent=10) as people:
        await people("anna", "POST", **VISITS)
        unknown = (await people("anna", "POST", "/three-visits/activate")).json()
        assert [each["pointer"] for each in unknown["errors"]] == ["#/reach_percent", "#/version"]
        many = await people("anna", "POST", "/three-visits/activate", reach_percent=10.5)
        assert many.status_code == 409
        assert "would reach 10.5 % of the customers; above 10 %" in many.json()["detail"]
        some = await people("anna", "POST", "/three-visits/activate", reach_percent=40, ramp_percent=25)
        assert some.status_code == 200
        more = await people("anna", "POST", "/three-visits/activate", reach_percent=40, ramp_percent=26)
        assert more.status_code == 409 and "26 % of 40 %" in more.json()["detail"]
        assert (await people("anna", "POST", "/three-visits/activate", ramp_percent=5)).status_code == 200
        await people("anna", "POST", "/three-visits/submit")
        await people("cleo", "POST", "/three-visits/approve", version=1)
        assert (await people("anna", "POST", "/three-visits/activate")).status_code == 200
        assert await in_force(people) == (1, 100)
        reaches = (await people("anna", "GET", "/three-visits/changes")).json()["items"]
        assert [each["reach_percent"] for each in reaches] == [None, None, 40]


async def test_a_backtest_counts_more_than_an_estimate(place: Place) -> None:
    async with people_of(place, approval_above_percent=10) as people:
        await people("anna", "POST", **VISITS)
        for hit, seen in ((30, 200), (10, 200)):
            connection = await asyncpg.connect(place.settings.database_url_of("rules"))
            # As it is kept when it has ended; of the newest one the figures count.
            await connection.execute(
                "INSERT INTO backtest (id, state, rule_id, version, document, since, until, overlap, in_force_before,"
                " ignore_valid, examples, actor, note, created_at, ended_at, report)"
                " VALUES (gen_random_uuid(), 'finished', 'three-visits', 1, '{}', now() - interval '30 days', now(),"
                " false, false, false, 0, 'anna', '', now(), now(), $1)",
                f'{{"customers": {hit}, "customers_seen": {seen}}}',
            )
            await connection.close()
            answer = await people("anna", "POST", "/three-visits/activate", reach_percent=1)
            if hit == 30:
                assert answer.status_code == 409 and "would reach 15 %" in answer.json()["detail"]
        assert answer.status_code == 200
        [change] = (await people("anna", "GET", "/three-visits/changes")).json()["items"]
        assert change["reach_percent"] == 5


async def test_nobody_is_asked_where_the_company_does_not_ask(place: Place) -> None:
    async with people_of(place) as people:
        await people("anna", "POST", **VISITS)
        assert (await people("anna", "POST", "/three-visits/activate")).status_code == 200


async def test_one_call_puts_back_what_was_in_force_before(place: Place) -> None:
    async with people_of(place, approval_above_percent=0) as people:
        await people("anna", "POST", **VISITS)
        assert (await people("anna", "POST", "/three-visits/rollback")).status_code == 409
        for version in (1, 2, 3):
            if version > 1:
                await people("anna", "PUT", "/three-visits", version - 1, **{**VISITS, "name": f"Number {version}"})
            if version != 2:
                await people("anna", "POST", "/three-visits/submit")
                await people("cleo", "POST", "/three-visits/approve", version=version)
                await people("anna", "POST", "/three-visits/activate", ramp_percent=30 if version == 1 else 100)
                if version == 1:
                    alone = await people("anna", "POST", "/three-visits/rollback")
                    assert alone.status_code == 409 and "nothing to go back to" in alone.json()["detail"]
        await people("anna", "POST", "/three-visits/pause")
        back = await people("anna", "POST", "/three-visits/rollback")
        assert (back.status_code, back.json()["version"], back.json()["status"]) == (200, 1, "active")
        assert await in_force(people) == (1, 30)
        [newest, *_] = (await people("anna", "GET", "/three-visits/changes")).json()["items"]
        assert (newest["was_version"], newest["author"], newest["note"]) == (3, "anna", "Back from version 3.")


async def test_a_failing_test_refuses_the_version_with_what_fired_instead(place: Place) -> None:
    async with people_of(place) as people:
        refused = await people("anna", "POST", **FAILING)
        assert refused.status_code == 422
        [error] = refused.json()["errors"]
        assert error["pointer"] == "#/tests/0/expect"
        assert error["detail"].startswith("one is enough: nothing fired for customer by event 1; it did not fire")
        assert (await people("anna", "GET", "/three-visits")).status_code == 404
        validity = (await people("cleo", "POST", "/validate", **FAILING)).json()
        assert (validity["valid"], validity["errors"]) == (False, [error])
        assert (await people("anna", "POST", **TESTED)).status_code == 201
        assert (await people("anna", "PUT", "/three-visits", 1, **FAILING)).status_code == 422
        tried = (await people("cleo", "POST", "/three-visits/test", document=FAILING)).json()
        assert (tried["passed"], tried["items"][0]["fired"], tried["items"][0]["error"]) == (False, [], error)
        assert (await people("cleo", "POST", "/three-visits/test")).json()["passed"] is True


async def test_tests_are_run_once_more_when_a_version_is_put_in_force(place: Place) -> None:
    async with people_of(place) as people:
        await people("anna", "POST", **TESTED)
        # As if the engine had learned otherwise since it was written.
        connection = await asyncpg.connect(place.settings.database_url_of("rules"))
        await connection.execute("UPDATE document SET body = replace(body::text, '[]', '[{\"event\":\"1\"}]')::json")
        await connection.close()
        refused = await people("anna", "POST", "/three-visits/activate")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "#/tests/0/expect"
        assert await in_force(people) is None


async def test_a_valid_rule_that_never_fires_is_valid_with_a_warning(place: Place) -> None:
    never = {**VISITS, "valid": {"until": "2020-01-01T00:00:00Z"}}
    async with people_of(place) as people:
        validity = (await people("cleo", "POST", "/validate", **never)).json()
        assert validity["valid"] is True and validity["errors"] == []
        assert [each["pointer"] for each in validity["warnings"]] == ["#/valid/until"]
        assert (await people("cleo", "POST", "/validate", **VISITS)).json()["warnings"] == []


async def test_an_edit_of_what_somebody_else_edited_names_them_and_when(place: Place) -> None:
    async with people_of(place) as people:
        await people("anna", "POST", **VISITS)
        theirs = await people("ben", "PUT", "/three-visits", 1, **{**VISITS, "name": "Ben's"})
        assert theirs.status_code == 200
        stale = await people("anna", "PUT", "/three-visits", 1, **{**VISITS, "name": "Anna's"})
        when = theirs.json()["created_at"][:19]
        assert stale.status_code == 412
        assert f"is at version 2 by now, not 1, written by ben at {when}Z" in stale.json()["detail"]
        taken = await people("anna", "POST", **VISITS)
        assert taken.status_code == 409 and "written by ben at" in taken.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        (
            "when",
            {"type": "event", "event": "e", "where": [{"field": "event.a", "op": "is", "value": 1}] * 2_000},
            "",
        ),
        (
            "who",
            [{"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {}}}}}}}}}}],
            "#/who/0" + "/not" * 8,
        ),
        ("who", [{"field": "profile.a", "op": "matches", "value": "(a+)+$"}], "#/who/0/op"),
        ("valid", {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "#/valid/until"),
    ],
    ids=["many", "deep", "regex", "validity"],
)
async def test_a_hostile_document_is_refused_at_its_place_over_http(
    place: Place, field: str, value: Any, pointer: str
) -> None:
    async with people_of(place) as people:
        answer = await people("anna", "POST", **{**VISITS, field: value})
        assert answer.status_code == 422
        assert pointer in [each["pointer"] for each in answer.json()["errors"]], answer.json()
