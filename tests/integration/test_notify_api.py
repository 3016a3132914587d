"""Does notify's API refuse what it should, say why, and let nobody in who may not?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from libs.common import clock
from services.notify import signing
from tests.notify_stage import SECRET, Stage, customer, request, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEMPLATE = {"id": "sale", "channel": "sms", "body": "Hi {{ customer.name }}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    name = f"t{clock.new_id().hex[-12:]}"
    async with stage(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("notify")) as made:
        await made.run_notify()
        yield made


async def test_a_template_lives_as_versions_and_an_edit_needs_what_was_read(on: Stage) -> None:
    assert (await on.call("POST", "/v1/templates", "marketer", json=TEMPLATE))[0] == 201
    assert (await on.call("POST", "/v1/templates", "marketer", json=TEMPLATE))[0] == 409
    edit = TEMPLATE | {"body": "Hello {{ customer.name }}"}
    assert (await on.call("PUT", "/v1/templates/sale", "marketer", json=edit))[0] == 428
    wrong, right = {"If-Match": '"7"'}, {"If-Match": '"1"'}
    assert (await on.call("PUT", "/v1/templates/sale", "marketer", json=edit, headers=wrong))[0] == 412
    assert (await on.call("PUT", "/v1/templates/sale", "marketer", json=edit, headers=right))[1]["version"] == 2
    assert (await on.call("POST", "/v1/templates/sale/activate", "marketer"))[1]["status"] == "active"
    _, found = await on.call("GET", "/v1/templates/sale/diff?from=1&to=2", "viewer")
    assert [each["pointer"] for each in found["items"]] == ["/body"]
    _, shown = await on.call("POST", "/v1/templates/sale/preview", "viewer", json={"customer": {"name": "Kim"}})
    assert shown["body"] == "Hello Kim"
    _, listed = await on.call("GET", "/v1/templates", "viewer")
    assert [(each["id"], each["live_status"]) for each in listed["items"]] == [("sale", "active")]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"body": "{{ costumer.name }}"}, "#/body"),
        ({"body": "{% if %}"}, "#/body"),
        ({"body": "{{ customer.nick }}", "sample": {"customer": {"name": "Kim"}}}, "#/body"),
        ({"body": ""}, "#/body"),
        ({"channel": "fax"}, "#/channel"),
        ({"colour": "red"}, "#/colour"),
        ({"id": "Not An Id"}, "#/id"),
    ],
)
async def test_a_template_that_cannot_work_is_refused_with_its_place(
    on: Stage, change: dict[str, object], pointer: str
) -> None:
    status, answer = await on.call("POST", "/v1/templates", "marketer", json=TEMPLATE | {"id": "bad"} | change)
    assert (status, answer["errors"][0]["pointer"]) == (422, pointer)


async def test_every_door_needs_its_role(on: Stage) -> None:
    doors = [
        ("POST", "/v1/templates", "marketer", "viewer"),
        ("POST", "/v1/templates/sale/retire", "approver", "viewer"),
        ("GET", "/v1/tasks", "agent", "marketer"),
        ("POST", "/v1/tasks/x/outcome", "agent", "viewer"),
    ]
    for method, path, welcome, stranger in doors:
        assert (await on.call(method, path, welcome))[0] not in (401, 403), path
        assert (await on.call(method, path, stranger))[0] == 403, path
        async with on.session.request(method, on.url + path) as answer:
            assert answer.status == 401, path


async def test_a_notice_without_a_true_signature_is_refused_and_a_bad_one_named(on: Stage) -> None:
    key = signing.derive(SECRET.encode(), "receipt")
    notice = {"message_id": "m", "event": "delivered", "at": "2026-11-21T10:00:00Z", "id": "1"}

    async def told(body: object, signature: str | None = None) -> tuple[int, str]:
        raw = json.dumps(body).encode()
        signed = signing.sign_body(key, raw, clock.now_ms() // 1000) if signature is None else signature
        headers = {signing.RECEIPT_HEADER: signed, "Content-Type": "application/json"}
        async with on.session.post(f"{on.url}/v1/receipts/local", data=raw, headers=headers) as answer:
            return answer.status, await answer.text()

    assert (await told(notice, ""))[0] == 401
    assert (await told(notice, "t=1,v1=00"))[0] == 401
    assert (await told([notice | {"event": "eaten"}]))[0] == 422
    assert (await told(notice | {"at": "2026-11-21T10:00:00"}))[0] == 422
    assert (await told({"hello": 1}))[0] == 422
    assert await told(notice) == (202, '{"new":0,"known":0,"ignored":1}')


async def test_notices_count_once_in_whatever_order_they_come(on: Stage) -> None:
    await on.add_template("note", "webhook", "x")
    kim = customer()
    asked = request(kim, "webhook", "note")
    await on.know(kim)
    await on.ask(asked)
    await on.reaches(asked.message_id, "DELIVERED")
    key = signing.derive(SECRET.encode(), "receipt")
    told = {"message_id": asked.message_id, "at": "2026-11-21T10:00:00Z"}
    story = [told | {"event": event} for event in ("bounced", "delivered")]
    for _ in range(2):
        raw = json.dumps(story).encode()
        headers = {signing.RECEIPT_HEADER: signing.sign_body(key, raw, clock.now_ms() // 1000)}
        async with on.session.post(f"{on.url}/v1/receipts/local", data=raw, headers=headers) as answer:
            assert answer.status == 202
    found = await on.reaches(asked.message_id, "BOUNCED")
    kinds = [each["type"] for each in found["responses"]]
    assert sorted(kinds) == ["message.accepted", "message.bounced", "message.delivered"]


async def test_lists_are_read_page_by_page_and_a_foreign_cursor_is_refused(on: Stage) -> None:
    await on.add_template("paged", "call", "x")
    kim = customer()
    asked = [request(kim, "call", "paged") for _ in range(5)]
    await on.know(kim)
    for each in asked:
        await on.ask(each)
        await on.reaches(each.message_id, "ACCEPTED")
    found: list[str] = []
    path = f"/v1/messages?customer_id={kim.customer_id}&limit=2"
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        _, page = await on.call("GET", path + (f"&cursor={page['next']}" if page["next"] else ""))
        found += [each["message_id"] for each in page["items"]]
    assert found == [each.message_id for each in reversed(asked)]
    assert (await on.call("GET", path + "&cursor=nonsense"))[0] == 400
    assert (await on.call("GET", "/v1/messages/nothing"))[0] == 404
