"""Does a message go out over the real protocols, once, and does the answer come home?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from msgspec.structs import replace

from libs.common import clock
from libs.common.events import Conditions, Consent
from tests.notify_stage import Stage, customer, request, stage, until

EMAIL = """<p>Hello {{ customer.name }}, {{ trigger.amount }}!</p>
<a href="{{ 'https://shop.example.org/a?b=1' | track }}">shop</a> <a href="{{ message.unsubscribe_url }}">stop</a>"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One for all tests of this file: each has customers of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with stage(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("notify")) as made:
        await made.run_notify()
        await made.add_template("hello", "email", EMAIL, "For {{ customer.name }}")
        await made.add_template("text", "sms", "Hi {{ customer.name }} {{ message.unsubscribe_url }}")
        await made.add_template("hook", "webhook", "Hi {{ customer.name }}")
        await made.add_template("script", "call", "Ask {{ customer.name }} about {{ trigger.amount }}")
        yield made


async def test_a_message_goes_out_by_each_channel_and_its_delivery_comes_home(on: Stage) -> None:
    kim = customer("Kim <b>")
    asked = [
        request(kim, channel, template)
        for channel, template in (("email", "hello"), ("sms", "text"), ("webhook", "hook"))
    ]
    await on.know(kim)
    await on.ask(*asked)
    for each in asked:
        await on.reaches(each.message_id, "DELIVERED")
        assert on.sent(each.message_id) == 1

    async def told() -> bool:
        seen = {(found["message_id"], found["type"]) for found in await on.responses()}
        return all(
            {(each.message_id, "message.accepted"), (each.message_id, "message.delivered")} <= seen for each in asked
        )

    await until(told)
    settled = {found["message_id"]: found for found in await on.settled()}
    assert {settled[each.message_id]["status"] for each in asked} == {"accepted"}
    status, inbox = await on.call("GET", f"/v1/inbox?customer_id={kim.customer_id}&channel=email", role="viewer")
    assert status == 200
    (mail,) = inbox["items"]
    assert mail["recipient"] == kim.contacts["email"]
    assert mail["subject"] == "For Kim <b>"
    assert "Hello Kim &lt;b&gt;, 5!" in mail["body"]


async def test_a_repeated_request_has_no_second_effect(on: Stage) -> None:
    kim = customer()
    asked = request(kim, "email", "hello")
    await on.know(kim)
    await on.ask(asked, asked)
    await on.reaches(asked.message_id, "DELIVERED")
    await on.ask(asked)
    await asyncio.sleep(1.5)
    assert on.sent(asked.message_id) == 1
    told = [found["type"] for found in await on.responses() if found["message_id"] == asked.message_id]
    assert told.count("message.accepted") == 1


async def test_opens_clicks_and_unsubscriptions_come_home_and_a_get_never_unsubscribes(on: Stage) -> None:
    kim = customer()
    asked = request(kim, "email", "hello")
    await on.know(kim)
    await on.ask(asked)
    await on.reaches(asked.message_id, "DELIVERED")
    _, inbox = await on.call("GET", f"/v1/inbox?customer_id={kim.customer_id}")
    body = inbox["items"][0]["body"]
    click, leave, pixel = (re.search(rf'"({on.url}/t/{kind}/[^"]+)"', body) for kind in "cuo")
    assert click is not None and leave is not None and pixel is not None
    for _ in range(2):
        async with on.session.get(click[1], allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://shop.example.org/a?b=1")
        async with on.session.get(pixel[1]) as answer:
            assert (answer.status, answer.content_type) == (200, "image/gif")
    async with on.session.get(leave[1]) as answer:
        assert answer.status == 200 and "<form" in await answer.text()
    second = request(kim, "email", "hello")
    await on.ask(second)
    await on.reaches(second.message_id, "DELIVERED")
    async with on.session.post(leave[1], data={"List-Unsubscribe": "One-Click"}, allow_redirects=False) as answer:
        assert answer.status == 200
    third, receipt = request(kim, "email", "hello"), request(kim, "email", "hello", "transactional")
    await on.ask(third, receipt)
    assert (await on.reaches(third.message_id, "DROPPED"))["reason"] == "suppressed:unsubscribed:email"
    await on.reaches(receipt.message_id, "DELIVERED")

    async def told() -> bool:
        kinds = [found["type"] for found in await on.responses() if found["message_id"] == asked.message_id]
        return sorted(kinds) == sorted(
            f"message.{each}" for each in ("accepted", "delivered", "opened", "clicked", "unsubscribed")
        )

    await until(told)


async def test_links_that_nobody_signed_are_not_found(on: Stage) -> None:
    for path in ("/t/c/x", "/t/u/" + "A" * 40, "/t/o/" + "A" * 40 + ".gif"):
        async with on.session.get(on.url + path, allow_redirects=False) as answer:
            assert answer.status == 404
            assert answer.content_type == "text/html"


async def test_what_is_not_allowed_at_the_moment_of_sending_is_dropped(on: Stage) -> None:
    silent = customer(consents=("email",))
    erased = customer(suppressed=["erased"])
    nobody = customer(contacts={})
    cases = [
        (request(silent, "sms", "text"), "no_consent:sms"),
        (request(erased, "email", "hello", "transactional"), "suppressed:erased"),
        (request(nobody, "email", "hello"), "no_contact_point:email"),
    ]
    await on.know(silent, erased, nobody)
    await on.ask(*(asked for asked, _ in cases))
    for asked, reason in cases:
        assert (await on.reaches(asked.message_id, "DROPPED"))["reason"] == reason
        assert on.sent(asked.message_id) == 0
    late = request(silent, "email", "hello", valid_until=clock.now() - timedelta(seconds=1))
    await on.ask(late)
    await on.reaches(late.message_id, "EXPIRED")

    async def told() -> bool:
        found = {each["message_id"]: each for each in await on.settled()}
        return all(found.get(asked.message_id, {}).get("contacted") is False for asked, _ in cases) and (
            found.get(late.message_id, {}).get("status") == "expired"
        )

    await until(told)


async def test_a_consent_that_is_withdrawn_before_sending_counts(on: Stage) -> None:
    kim = customer()
    await on.know(kim)
    await on.know(replace(kim, version=3, consents={}))
    await on.know(replace(kim, version=2))
    asked = request(kim, "sms", "text")
    await on.ask(asked)
    assert (await on.reaches(asked.message_id, "DROPPED"))["reason"] == "no_consent:sms"


async def test_a_message_out_of_hours_waits(on: Stage) -> None:
    kim = customer()
    local = clock.now()
    minute = (local.hour * 60 + local.minute + 120) % 1440
    conditions = Conditions(local + timedelta(days=2), ["sms"], "UTC", minute, (minute + 60) % 1440)
    asked = request(kim, "sms", "text", conditions=conditions)
    await on.know(kim)
    await on.ask(asked)

    async def waits() -> bool:
        _, found = await on.call("GET", f"/v1/messages/{asked.message_id}")
        return bool(found.get("reason") == "outside the lawful hours")

    await until(waits)
    _, found = await on.call("GET", f"/v1/messages/{asked.message_id}")
    assert found["state"] == "PLANNED"
    assert found["not_before"][11:16] == f"{minute // 60:02}:{minute % 60:02}"
    assert on.sent(asked.message_id) == 0


async def test_a_bounce_suppresses_the_address_and_a_dead_number_is_rejected(on: Stage) -> None:
    kim = customer(contacts={"email": "kim+bounce@example.org", "phone": "+82100000000"})
    mail, text = request(kim, "email", "hello"), request(kim, "sms", "text")
    await on.know(kim)
    await on.ask(mail, text)
    await on.reaches(mail.message_id, "BOUNCED")
    assert (await on.reaches(text.message_id, "REJECTED"))["reason"] == "invalid_number"
    again = [request(kim, "email", "hello", "transactional"), request(kim, "sms", "text", "transactional")]
    await on.ask(*again)
    for each, channel in zip(again, ("email", "sms"), strict=True):
        assert (await on.reaches(each.message_id, "DROPPED"))["reason"] == f"suppressed:bounced:{channel}"
    await on.know(replace(kim, version=2, contacts={"email": "kim@example.org"}))
    moved = request(kim, "email", "hello", "transactional")
    await on.ask(moved)
    await on.reaches(moved.message_id, "DELIVERED")


async def test_a_call_becomes_a_task_and_its_outcome_comes_home(on: Stage) -> None:
    kim = customer()
    asked = request(kim, "call", "script")
    await on.know(kim)
    await on.ask(asked)
    await on.reaches(asked.message_id, "ACCEPTED")
    status, queue = await on.call("GET", "/v1/tasks", role="agent")
    assert status == 200
    (task,) = [each for each in queue["items"] if each["customer_id"] == kim.customer_id]
    assert (task["script"], task["phone"]) == ("Ask Kim about 5", kim.contacts["phone"])
    path, done = f"/v1/tasks/{task['task_id']}/outcome", {"outcome": "bought", "note": "happy"}
    assert (await on.call("POST", path, role="viewer", json=done))[0] == 403
    assert (await on.call("POST", path, role="agent", json=done))[0] == 200
    assert (await on.call("POST", path, role="agent", json=done))[0] == 200
    assert (await on.call("POST", path, role="agent", json={"outcome": "refused"}))[0] == 409
    assert (await on.call("GET", "/v1/tasks", role="agent"))[1]["items"] == []

    async def told() -> bool:
        found = [each for each in await on.responses() if each["type"] == "task.done"]
        return [each["data"] for each in found] == [{"outcome": "bought"}]

    await until(told)


async def test_a_template_that_breaks_on_its_data_rejects_the_message_and_nothing_else(on: Stage) -> None:
    await on.add_template("broken", "sms", "{{ 1 | divided_by: trigger.amount }}")
    kim = customer()
    bad = request(kim, "sms", "broken", values={"amount": 0})
    good = request(kim, "sms", "broken", values={"amount": 1})
    missing = request(kim, "sms", "nothing-of-that-name")
    await on.know(kim)
    await on.ask(bad, good, missing)
    assert "template_failed" in (await on.reaches(bad.message_id, "REJECTED"))["reason"]
    await on.reaches(good.message_id, "DELIVERED")
    assert "template_missing" in (await on.reaches(missing.message_id, "REJECTED"))["reason"]


async def test_after_people_were_taken_apart_the_refusal_of_one_binds_nobody_else(on: Stage) -> None:
    kim, lee = customer("Kim"), customer("Lee", consents=())
    refusal = {"sms": Consent(False, clock.now())}
    both = {"person_id": kim.customer_id, "linked": [kim.customer_id, lee.customer_id]}
    await on.know(replace(kim, **both), replace(lee, **both, consents=refusal))
    refused = request(kim, "sms", "text")
    await on.ask(refused)
    await on.reaches(refused.message_id, "DROPPED")
    await on.know(replace(kim, version=2), replace(lee, version=2, consents=refusal))
    asked = [request(kim, "sms", "text"), request(lee, "sms", "text")]
    await on.ask(*asked)
    await on.reaches(asked[0].message_id, "DELIVERED")
    await on.reaches(asked[1].message_id, "DROPPED")
