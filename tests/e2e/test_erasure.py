"""Is somebody who was everywhere found nowhere any more within a minute, and left alone if they come back?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from libs.common.kafka import Publisher, Record, partition_counts, through
from libs.common.topics import (
    CATALOGUE,
    CONTACT_REQUESTED,
    EVENT_RECEIVED,
    EVENT_RESOLVED,
    PROFILE_UPDATED,
    all_dead_letters,
    partition_of,
)
from tests.caller import Caller, event, purchase, until
from tests.stack import SERVICES, Stack

ERASED_SECONDS_MAX = 60.0
NAME = "Kanarienvogel Zitronengelb"
CARD, PHONE, EMAIL = "ZG77-4419-0023", "+821044190023", "zitronengelb@canary.example"
HELD = {"loyalty_card": CARD, "phone": PHONE, "email": EMAIL}
STREET = "Hainbuchenallee 4419"
# However a source or a service may have written them.
WORDS = ("Kanarienvogel", "Zitronengelb", "zitronengelb", CARD, "ZG7744190023", "44190023", "4419-0023", "Hainbuchen")


async def bound(caller: Caller, name: str, on: str, channel: str, class_: str = "marketing") -> None:
    """A template that prints what is known of the customer, and what sends it."""
    body = "<p>{{ customer.name }}, {{ customer.street }}: {{ trigger.text }}</p>"
    body += '<a href="{{ message.unsubscribe_url }}">stop</a>' if channel == "email" else ""
    template = {"id": name, "channel": channel, "body": body}
    await caller.install("templates", {**template, "subject": "For you"} if channel == "email" else template)
    trigger = f"t.{name.replace('-', '_')}"
    campaign = {"id": name, "name": name, "trigger": trigger, "channel": channel, "template": name, "class": class_}
    # At night as well.
    await caller.install("campaigns", {**campaign, "quiet_hours": None})
    emit = {"trigger": trigger, "include": {"text": "event.text"}}
    await caller.install("rules", {"id": name, "name": name, "when": {"type": "event", "event": on}, "emit": emit})


async def known(caller: Caller) -> dict[str, Any]:
    """The canary with all that a customer may have: two records, a message, a task, a conflict, dead letters."""
    first = purchase(1_000, identifiers={"loyalty_card": CARD}, id="canary-1", data={"amount": 1, "currency": "KRW"})
    await caller.send("pos", first, purchase(5, identifiers={"phone": "010-4419-0023"}))
    traits = {"name": NAME, "street": STREET, "zone": "Asia/Seoul", "motto": f"{NAME} sings"}
    await caller.send(
        "web",
        event("identify", identifiers=HELD, data={"traits": traits}),
        event("consent_given", identifiers=HELD, data={"channels": ["email", "call"]}),
        # The law of Korea lets nobody call at night without it, whenever this runs.
        event("consent_given", identifiers=HELD, data={"channels": ["call"], "purpose": "night"}),
    )

    async def there() -> dict[str, Any] | None:
        found = await caller.customer(phone=PHONE)
        return found if found and len(found["records"]) == 2 and "name" in found["traits"] else None

    customer = await until(there, "the canary as one person of two records")
    text = f"{NAME} of {STREET} wants seed; call 010 4419 0023 or zitronengelb@canary.example"
    await caller.send("call-center", event("inquiry", identifiers=HELD, data={"topic": "seed", "text": text}))
    await caller.send("pos", {**first, "data": {"amount": 2, "currency": "KRW"}})
    return customer


async def bury(stack: Stack, record: str) -> None:
    """What two services cannot handle, with the canary in it."""
    publisher = Publisher(stack.kafka_bootstrap, prefix=stack.topic_prefix)
    await publisher.start()
    key = f"phone:{PHONE}".encode()
    broken = f'{{"id": 7, "note": "{NAME}", "identifiers": {{"phone": "010-4419-0023"}}}}'.encode()
    asked = f'{{"customer_id": "{record}", "values": {{"text": "Kanarienvogel Zitronengelb"}}}}'.encode()
    unit = partition_of(record.encode(), stack.partitions)
    await publisher.publish(
        [
            Record(EVENT_RECEIVED.name, partition_of(key, stack.partitions), key, broken),
            Record(CONTACT_REQUESTED.name, unit, record.encode(), asked),
        ]
    )
    await publisher.stop()


async def in_databases(stack: Stack, words: Sequence[str] = WORDS) -> list[str]:
    """Service, table and column of everything in which one of the words stands."""
    found = []
    for service in SERVICES:
        connection = await asyncpg.connect(stack.database_url_of(service))
        try:
            found += [f"{service}.{place}" for place in await _in_database(connection, words)]
        finally:
            await connection.close()
    return found


async def _in_database(connection: Any, words: Sequence[str]) -> list[str]:
    columns = await connection.fetch(
        "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
        " AND c.data_type IN ('text', 'bytea', 'json', 'jsonb', 'ARRAY', 'character varying')"
    )
    found = []
    for table, column, kind in columns:
        looked = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
        held = " OR ".join(f"position('{word}' IN {looked}) > 0" for word in words)
        if await connection.fetchval(f'SELECT count(*) FROM "{table}" WHERE {held}'):
            found.append(f"{table}.{column}")
    return found


async def in_topics(stack: Stack) -> set[str]:
    """The topics in which one of the words stands, in a value, a key or a header."""
    found = set()
    for name in [*(topic.name for topic in CATALOGUE), *all_dead_letters()]:
        async for _, message in through(
            stack.kafka_bootstrap, prefix=stack.topic_prefix, name=name, partitions=range(stack.partitions)
        ):
            said = [message.value or b"", message.key or b"", *(value for _, value in message.headers)]
            if any(word.encode() in each for word in WORDS for each in said):
                found.add(name)
                break
    return found


def on_disk(scratch: Path, stack: Stack, names: list[str]) -> list[str]:
    """The broker's own files of these topics in which one of the words stands."""
    folders = [each for name in names for each in (scratch / "kafka" / "data").glob(f"{stack.topic_prefix}{name}-*")]
    files = [file for folder in folders for file in folder.glob("*.log")]
    return [str(file) for file in files if any(word.encode() in file.read_bytes() for word in WORDS)]


async def test_who_is_erased_is_found_nowhere_and_left_alone_when_they_come_back(
    stack: Stack, caller: Caller, scratch: Path
) -> None:
    await bound(caller, "canary-mail", "inquiry", "email")
    await bound(caller, "canary-call", "inquiry", "call")
    await bound(caller, "canary-receipt", "visit", "email", "transactional")
    customer = await known(caller)
    customer_id = customer["customer_id"]
    await bury(stack, customer_id)
    await everything_there(stack, caller)

    began = time.monotonic()
    body = {"reason": "asked for it", "request_id": f"letter-{customer_id}"}
    asked = await caller.call("POST", "profile", f"/v1/customers/{customer_id}/erase", role="privacy", body=body)

    async def done() -> dict[str, Any] | None:
        found = await caller.get("profile", f"/v1/erasures/{asked['erasure_id']}", role="privacy")
        return dict(found) if found["state"] == "done" else None

    proof = await until(done, "the end of the erasure", ERASED_SECONDS_MAX)
    assert time.monotonic() - began < ERASED_SECONDS_MAX
    where = {each["where"] for each in proof["erased"] if each["count"]}
    assert {"profile.timeline", "profile.conflict", "notify.message", "notify.task", "campaign.customer"} <= where
    assert {"topic profile.dead-letter.v1", "topic notify.dead-letter.v1"} <= where
    await nothing_left(stack, caller, scratch, {each["where"] for each in proof["remains"]})
    await left_alone(caller)


async def everything_there(stack: Stack, caller: Caller) -> None:
    async def there() -> bool:
        places = set(await in_databases(stack)) | await in_topics(stack)
        return {
            *("profile.identifier.key", "profile.timeline.body", "profile.conflict.body", "notify.message.body"),
            *("notify.task.script", "profile.dead-letter.v1", "notify.dead-letter.v1", PROFILE_UPDATED.name),
        } <= places

    await until(there, "the canary in all places", 30)
    messages = await caller.inbox(campaign_id="canary-mail")
    assert [NAME in each["body"] for each in messages] == [True], await caller.decisions(campaign_id="canary-mail")
    assert not {EVENT_RESOLVED.name, "campaign.decided.v1"} & await in_topics(stack)


async def nothing_left(stack: Stack, caller: Caller, scratch: Path, remains: set[str]) -> None:
    assert await in_databases(stack) == []
    left = await in_topics(stack)
    assert left <= remains, "what is still there must be named in the proof"
    assert EVENT_RECEIVED.name in left, "the search would find something"
    gone = [PROFILE_UPDATED.name, EVENT_RESOLVED.name, "campaign.decided.v1", *all_dead_letters()]
    assert not left.intersection(gone)
    existing = await partition_counts(stack.kafka_bootstrap, stack.topic_prefix, gone)

    async def off_disk() -> bool:
        return not on_disk(scratch, stack, list(existing))

    await until(off_disk, "the broker to delete the files that it has replaced")
    logs = [stack.log(service) for service in SERVICES]
    assert not [log.name for log in logs if any(word in log.read_text("utf-8", "replace") for word in WORDS)]
    assert await caller.customer(phone=PHONE) is None


async def left_alone(caller: Caller) -> None:
    """Not even what needs no consent is sent to somebody who comes back."""
    visit = event("visit", identifiers={"phone": "010-4419-0023", "email": EMAIL}, data={"text": "back"})
    await caller.send("web", visit)

    async def decided() -> list[dict[str, Any]]:
        return await caller.decisions(event_id=visit["id"], campaign_id="canary-receipt")

    (decision,) = await until(decided, "a decision on the visit")
    assert (decision["outcome"], decision["gate"]) == ("denied", "suppression")
    await asyncio.sleep(1.0)
    assert await caller.inbox(event_id=visit["id"]) == []


async def test_an_erasure_goes_on_where_it_was_when_its_service_is_killed(stack: Stack, caller: Caller) -> None:
    held = {"phone": "+821044190099"}
    await caller.send("web", event("identify", identifiers=held, data={"traits": {"name": "Limonengruen"}}))

    async def there() -> dict[str, Any] | None:
        return await caller.customer(**held)

    customer_id = (await until(there, "the customer"))["customer_id"]
    body = {"reason": "asked for it", "request_id": f"letter-{customer_id}"}
    path = f"/v1/customers/{customer_id}/erase"
    asked = await caller.call("POST", "profile", path, role="privacy", body=body)
    stages = set()
    for _ in range(2):
        stack.kill("profile")
        stack.launch("profile")
        stack.wait_ready("profile")
        found = await caller.get("profile", f"/v1/erasures/{asked['erasure_id']}", role="privacy")
        stages.add(found["stage"])
    assert stages - {"done"}, "it was killed before the end"

    async def done() -> dict[str, Any] | None:
        proof = await caller.get("profile", f"/v1/erasures/{asked['erasure_id']}", role="privacy")
        return dict(proof) if proof["state"] == "done" else None

    proof = await until(done, "the end of the erasure", 2 * ERASED_SECONDS_MAX)
    counts = {each["where"]: each["count"] for each in proof["erased"]}
    assert counts["profile.identifier"] == counts["profile.record"] == counts["profile.customer"] == 1
    again = await caller.call("POST", "profile", path, role="privacy", body=body)
    assert again["erasure_id"] == asked["erasure_id"]
    assert await in_databases(stack, ("Limonengruen", "44190099")) == []
