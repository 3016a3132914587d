"""Does an event become a message, and the reaction to it an event? Through every service, over public doors alone."""

from __future__ import annotations

import re
import time
import zlib
from typing import Any

from tests.caller import Caller, event, purchase, until

MESSAGE_SECONDS_MAX = 2.0


def rule(name: str, trigger: str, when: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "when": when, "emit": {"trigger": trigger}, **more}


async def bound(caller: Caller, name: str, when: dict[str, Any], **campaign: Any) -> None:
    """A template, a campaign and a rule called `name`, in force."""
    body = "<p>Hello {{ customer.name }}: <a href=\"{{ 'https://shop.example/x' | track }}\">look</a></p>"
    body += '<a href="{{ message.unsubscribe_url }}">stop</a>'
    await caller.install("templates", {"id": name, "channel": "email", "subject": "For you", "body": body})
    whole = {"id": name, "name": name, "trigger": f"t.{name.replace('-', '_')}", "channel": "email", "template": name}
    await caller.install("campaigns", {**whole, **campaign})
    await caller.install("rules", rule(name, whole["trigger"], when))


async def customer(caller: Caller, name: str) -> str:
    """Somebody who has a name, an e-mail address and consents to mail; the customer id once that is known."""
    held = {"email": f"{name}@mail.example", "phone": f"+8210{zlib.crc32(name.encode()) % 9_000_000 + 20_000_000}"}
    await caller.send(
        "web",
        event("identify", identifiers=held, data={"traits": {"name": name.title(), "zone": "Asia/Seoul"}}),
        event("consent_given", identifiers=held, data={"channel": "email"}),
    )

    async def known() -> str | None:
        found = await caller.customer(email=held["email"])
        if found is None or "consent_email" not in found["profile"] or "name" not in found["traits"]:
            return None
        return str(found["customer_id"])

    return await until(known, f"the customer {name}")


async def delivered(caller: Caller, **filters: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        states = ("ACCEPTED", "DELIVERED")
        return next((each for each in await caller.inbox(**filters) if each["state"] in states), None)

    return await until(look, f"a message {filters}")


def link(message: dict[str, Any], purpose: str) -> str:
    found = re.search(rf'"(http://[^"]*/t/{purpose}/[^"]*)"', message["body"])
    assert found is not None, message["body"]
    return found[1]


async def test_one_event_becomes_a_message_and_the_click_on_it_an_event_of_the_timeline(caller: Caller) -> None:
    await bound(caller, "loop-thanks", {"type": "event", "event": "purchase"})
    customer_id = await customer(caller, "loop-mina")
    bought = purchase(45_000, identifiers={"email": "LOOP-MINA@mail.example "})
    began = time.monotonic()
    await caller.send("web", bought)
    message = await delivered(caller, event_id=bought["id"], campaign_id="loop-thanks")
    seconds = time.monotonic() - began
    assert seconds < MESSAGE_SECONDS_MAX
    assert message["recipient"] == "loop-mina@mail.example"
    assert "Hello Loop-Mina" in message["body"]

    async with caller.session.get(link(message, "c"), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "https://shop.example/x")

    async def clicked() -> list[dict[str, Any]]:
        return [line for line in await caller.timeline(customer_id) if line["type"] == "message.clicked"]

    (line,) = await until(clicked, "the click in the timeline")
    assert line["data"]["message_id"] == message["message_id"]
    types = {each["type"] for each in await caller.timeline(customer_id)}
    assert {"purchase", "message.accepted", "message.clicked"} <= types


async def test_who_unsubscribes_gets_no_further_message_and_the_trace_says_why(caller: Caller) -> None:
    await bound(caller, "loop-stop", {"type": "event", "event": "search"})
    customer_id = await customer(caller, "loop-stopper")
    held = {"email": "loop-stopper@mail.example"}
    first = event("search", identifiers=held, data={"query": "tea"})
    await caller.send("web", first)
    message = await delivered(caller, event_id=first["id"])

    async with caller.session.post(link(message, "u")) as answer:
        assert answer.status == 200

    async def withdrawn() -> bool:
        found = await caller.customer(email=held["email"])
        return found is not None and found["profile"]["consent_email"] is False

    await until(withdrawn, "the withdrawal in the profile")
    second = event("search", identifiers=held, data={"query": "cups"})
    await caller.send("web", second)

    async def decided() -> list[dict[str, Any]]:
        return await caller.decisions(customer_id=customer_id, event_id=second["id"])

    (decision,) = await until(decided, "a decision on the second search")
    assert (decision["outcome"], decision["gate"]) == ("denied", "consent")
    assert await caller.inbox(event_id=second["id"]) == []


async def test_an_absence_fires_after_its_span_unless_what_is_awaited_comes(caller: Caller) -> None:
    when = {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "3s"}
    await bound(caller, "loop-basket", when)
    await customer(caller, "loop-leaver")
    await customer(caller, "loop-buyer")
    left = event("cart_add", identifiers={"email": "loop-leaver@mail.example"}, data={"product": "tea"})
    kept = event("cart_add", identifiers={"email": "loop-buyer@mail.example"}, data={"product": "tea"})
    began = time.monotonic()
    await caller.send("web", left, kept)
    await caller.send("web", purchase(9_000, identifiers={"email": "loop-buyer@mail.example"}))
    await delivered(caller, event_id=left["id"], campaign_id="loop-basket")
    assert time.monotonic() - began >= 3.0
    # Both waits were due at the same time, so the buyer's has run out or been ended by now.
    assert await caller.decisions(event_id=kept["id"], campaign_id="loop-basket") == []


async def test_one_event_makes_two_known_customers_one_person(caller: Caller) -> None:
    await caller.send(
        "pos",
        purchase(1_000, identifiers={"loyalty_card": "loop-card-1"}),
        purchase(2_000, identifiers={"phone": "+821099990001"}),
    )

    async def both() -> bool:
        found = [await caller.customer(loyalty_card="loop-card-1"), await caller.customer(phone="+821099990001")]
        return all(each is not None and each["profile"]["purchase_count"] == 1 for each in found)

    await until(both, "two customers")
    held = {"loyalty_card": "loop-card-1", "phone": "010-9999-0001"}
    await caller.send("pos", purchase(4_000, identifiers=held))

    async def one() -> bool:
        found = [await caller.customer(loyalty_card="loop-card-1"), await caller.customer(phone="+821099990001")]
        views = [
            (each["person_id"], each["profile"]["purchase_count"], each["purchases"]["spent"])
            for each in found
            if each is not None
        ]
        return len(views) == 2 and views[0] == views[1] and views[0][1:] == (3, {"KRW": "7000"})

    await until(one, "one person with three purchases")


async def test_history_builds_the_profile_and_causes_nothing(caller: Caller) -> None:
    await bound(caller, "loop-history", {"type": "event", "event": "purchase"})
    customer_id = await customer(caller, "loop-elder")
    held = {"email": "loop-elder@mail.example"}
    old = purchase(5_000, identifiers=held, time="2019-05-04T10:00:00+09:00", history=True)
    fresh = purchase(7_000, identifiers=held)
    await caller.send("web", old)
    await caller.send("web", fresh)
    await delivered(caller, event_id=fresh["id"], campaign_id="loop-history")
    found = await caller.customer(email=held["email"])
    assert found is not None and found["purchases"]["spent"] == {"KRW": "12000"}
    assert await caller.decisions(customer_id=customer_id, event_id=old["id"]) == []
