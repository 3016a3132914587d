"""Are rules written as versions, by those who may, and refused with every fault?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from libs.common.runtime import App
from tests.rules_place import BASKET, VISITS, Place, client_of, opened, running


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def test_rules_are_written_as_versions_and_nobody_overwrites_an_edit(place: Place) -> None:
    async with running(place) as client:
        created = await client.post("/v1/rules", json=VISITS)
        assert created.headers["ETag"] == '"1"'
        assert (await client.post("/v1/rules", json=VISITS)).status_code == 409
        edited = {**VISITS, "name": "Three visits"}
        assert (await client.put("/v1/rules/three-visits", json=edited)).status_code == 428
        second = await client.put("/v1/rules/three-visits", json=edited, headers={"If-Match": '"1"'})
        assert second.json()["version"] == 2
        stale = await client.put("/v1/rules/three-visits", json=edited, headers={"If-Match": '"1"'})
        assert stale.status_code == 412
        diff = (await client.get("/v1/rules/three-visits/diff?from=1&to=2")).json()["items"]
        assert diff == [{"pointer": "/name", "was": "Three visits in a week", "now": "Three visits"}]
        versions = (await client.get("/v1/rules/three-visits/versions")).json()["items"]
        assert [each["version"] for each in versions] == [2, 1]
        missing = await client.put("/v1/rules/not-there", json={**VISITS, "id": "not-there"}, headers={"If-Match": "*"})
        assert missing.status_code == 404


async def test_a_faulty_document_is_refused_with_every_fault_and_its_place(place: Place) -> None:
    faulty = {**BASKET, "id": "x", "when": {**BASKET["when"], "for": "2 fortnights"}}  # type: ignore[dict-item]
    async with running(place) as client:
        answer = await client.post("/v1/rules", json=faulty)
        assert answer.status_code == 422
        places = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
        assert places["#/when/for"] == '"2 fortnights" is not a span; e.g. 14d'
        assert "#/id" in places
        validity = (await client.post("/v1/rules/validate", json=faulty)).json()
        assert validity["valid"] is False
        assert {error["pointer"] for error in validity["errors"]} == set(places)


async def test_a_viewer_reads_and_an_approver_activates_but_neither_writes(place: Place) -> None:
    async with running(place) as client:
        await client.post("/v1/rules", json=VISITS)
        app = App(client._transport.app)  # type: ignore[attr-defined]
        async with client_of(app, "viewer") as viewer, client_of(app, "approver") as approver:
            assert (await viewer.get("/v1/rules/three-visits")).status_code == 200
            assert (await viewer.post("/v1/rules", json=VISITS)).status_code == 403
            assert (await viewer.post("/v1/rules/three-visits/activate", json={})).status_code == 403
            assert (await approver.post("/v1/rules", json=VISITS)).status_code == 403
            assert (await approver.post("/v1/rules/three-visits/activate", json={})).status_code == 200
