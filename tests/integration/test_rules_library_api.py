"""Do ready triggers become rules of the company's own, and does it see which it has and what is newer?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from libs.common.runtime import App
from services.rules.library import library
from tests.rules_place import Place, client_of, opened, running

LEFT = "basket-abandoned"


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def installed(client: httpx2.AsyncClient, trigger: str = LEFT) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"/v1/library/{trigger}")).json()["installed"]
    return found


async def test_an_installed_trigger_is_a_draft_that_lives_like_any_other_rule(place: Place) -> None:
    async with running(place) as client:
        answer = await client.post(f"/v1/library/{LEFT}/install", json={"as": "basket-web"})
        assert (answer.status_code, answer.headers["ETag"]) == (201, '"1"')
        assert answer.headers["Location"] == "/v1/rules/basket-web"
        written = answer.json()
        assert (written["id"], written["version"], written["status"]) == ("basket-web", 1, "draft")
        assert written["document"] == {**library()[LEFT].document, "id": "basket-web"}
        assert (await client.post("/v1/rules/basket-web/activate", json={})).json()["status"] == "active"
        assert (await client.post(f"/v1/library/{LEFT}/install")).json()["id"] == LEFT


async def test_a_rule_that_is_there_is_never_written_over(place: Place) -> None:
    async with running(place) as client:
        await client.post(f"/v1/library/{LEFT}/install")
        again = await client.post(f"/v1/library/{LEFT}/install", json={})
        assert again.status_code == 409 and LEFT in again.json()["detail"]
        assert (await client.post("/v1/library/birthday/install", json={"as": LEFT})).status_code == 409
        rule = (await client.get(f"/v1/rules/{LEFT}")).json()
        assert (rule["version"], rule["document"]["name"]) == (1, library()[LEFT].name)


async def test_what_is_asked_for_wrongly_is_told_where(place: Place) -> None:
    async with running(place) as client:
        assert (await client.post("/v1/library/no-such/install")).status_code == 404
        assert (await client.get("/v1/library/no-such")).status_code == 404
        for wrong, pointer in (({"as": "No Id"}, "#/as"), ({"id": "basket-web"}, "#/id")):
            answer = await client.post(f"/v1/library/{LEFT}/install", json=wrong)
            assert answer.status_code == 422
            assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
        assert (await client.get("/v1/library?subject=astrology")).status_code == 422
        app = App(client._transport.app)  # type: ignore[attr-defined]
        async with client_of(app, "approver") as approver:
            assert (await approver.post(f"/v1/library/{LEFT}/install")).status_code == 403
            assert (await approver.get(f"/v1/library/{LEFT}")).status_code == 200


async def test_the_list_is_read_page_by_page_and_subject_by_subject(place: Place) -> None:
    async with running(place) as client:
        page = (await client.get("/v1/library?limit=40")).json()
        found = [each["id"] for each in page["items"]]
        while page["next"] is not None:
            page = (await client.get("/v1/library", params={"limit": 40, "cursor": page["next"]})).json()
            found += [each["id"] for each in page["items"]]
        assert found == list(library())
        dates = (await client.get("/v1/library?subject=dates")).json()["items"]
        assert {each["subject"] for each in dates} == {"dates"}
        (birthday,) = [each for each in dates if each["id"] == "birthday"]
        assert (birthday["kind"], birthday["traits"], birthday["installed"]) == ("date", ["celebrates_on"], [])
        assert birthday["sentence"] == library()["birthday"].sentence


async def test_the_list_shows_which_copies_there_are_and_what_is_newer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(place) as client:
        await client.post(f"/v1/library/{LEFT}/install")
        await client.post(f"/v1/library/{LEFT}/install", json={"as": "basket-web"})
        edited = {**library()[LEFT].document, "name": "Our own words"}
        await client.put(f"/v1/rules/{LEFT}", json=edited, headers={"If-Match": '"1"'})
        text = library()[LEFT].text
        assert await installed(client) == [
            {"rule": LEFT, "version": 1, "text": text, "has_newer": False},
            {"rule": "basket-web", "version": 1, "text": text, "has_newer": False},
        ]
    newer = library()[LEFT]._replace(text="0123456789ab")
    monkeypatch.setattr("services.rules.api.library.library", lambda: {**library(), LEFT: newer})
    async with running(place) as client:
        assert [each["has_newer"] for each in await installed(client)] == [True, True]
        assert (await client.get(f"/v1/rules/{LEFT}")).json()["document"]["name"] == "Our own words"
        note = (await client.get(f"/v1/library/{LEFT}")).json()["note"]
        taken = await client.put(
            f"/v1/rules/{LEFT}", json=edited, headers={"If-Match": '"2"'}, params={"note": f"{note}; with our name"}
        )
        assert taken.status_code == 200
        assert [(each["version"], each["has_newer"]) for each in await installed(client)] == [(3, False), (1, True)]


COMPLAINS = "best-customer-complains"
RESTS_ON = ["best-customers", "regulars"]


async def test_the_segments_of_a_trigger_are_copied_with_it_where_there_are_none(place: Place) -> None:
    async with running(place) as client:
        shown = (await client.get(f"/v1/library/{COMPLAINS}")).json()
        assert shown["segments"] == [each["id"] for each in shown["rests_on"]] == RESTS_ON
        answer = await client.post(f"/v1/library/{COMPLAINS}/install")
        assert answer.status_code == 201, answer.text
        written = answer.json()
        assert (written["status"], written["segments"], written["copied"]) == ("draft", RESTS_ON, RESTS_ON)
        early = await client.post(f"/v1/rules/{COMPLAINS}/activate", json={})
        assert "best-customers is not in force; activate it first" in early.text
        for segment in reversed(RESTS_ON):
            found = (await client.get(f"/v1/segments/{segment}")).json()
            assert (found["version"], found["status"], found["note"][:17]) == (1, "draft", "From the library:")
            assert (await client.post(f"/v1/segments/{segment}/activate", json={})).status_code == 200
        assert (await client.post(f"/v1/rules/{COMPLAINS}/activate", json={})).status_code == 200
        again = (await client.post("/v1/library/became-a-regular/install")).json()
        assert (again["segments"], again["copied"]) == (["regulars"], [])
        assert (await client.get("/v1/segments/regulars")).json()["version"] == 1


async def test_a_segment_of_the_companys_own_is_left_as_it_is_and_has_to_fit_the_trigger(place: Place) -> None:
    own = {"id": "regulars", "name": "Ours", "who": [{"field": "profile.grade", "op": "is", "value": "gold"}]}
    async with running(place) as client:
        assert (await client.post("/v1/segments", json=own)).status_code == 201
        answer = await client.post("/v1/library/became-a-best-customer/install")
        assert answer.status_code == 409, answer.text
        assert "Here regulars means something else than in the library" in answer.json()["detail"]
        assert answer.json()["errors"][0]["pointer"].startswith("#/tests/")
        assert (await client.get("/v1/rules/became-a-best-customer")).status_code == 404
        assert (await client.get("/v1/segments/best-customers")).status_code == 404, "nothing was written by half"
        assert (await client.get("/v1/segments/regulars")).json()["document"] == own
