"""What happened to a customer's last event, gate by gate? `python -m deploy.demo.explain CUSTOMER`."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from deploy.demo import story
from deploy.demo.calls import Calls
from deploy.demo.settings import Access, access
from deploy.demo.story import Story
from deploy.local.failure import StackFailure
from deploy.local.steps import write

_PATIENCE_SECONDS = 3.0
_LINES_MAX = 500
_PHONE = re.compile(r"^\+?[0-9][0-9 .()-]{7,19}$")

Found = Mapping[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo.explain", description=__doc__)
    parser.add_argument("customer", help="customer id, phone, e-mail address, loyalty card or account")
    options = parser.parse_args(arguments)
    if not options.customer.strip():
        sys.stderr.write("explain: name a customer: make explain CUSTOMER=8801-0001\n")
        return 2
    try:
        return asyncio.run(_explain(access(), options.customer.strip()))
    except StackFailure as failure:
        sys.stderr.write(f"explain: {failure}\n")
        return 1


async def _explain(found: Access, named: str) -> int:
    async with Calls(found, patience_seconds=_PATIENCE_SECONDS) as calls:
        customer = await _customer(calls, named)
        lines = (await calls.get("profile", f"/v1/customers/{customer['customer_id']}/timeline", limit=_LINES_MAX))[
            "items"
        ]
        outside = [line for line in lines if story.is_outside(line)]
        if not outside:
            raise StackFailure("nothing has happened to this customer yet")
        last = await _story(calls, customer, outside[0], lines)
        if last.decisions or last.settings:
            _write("The last event", last)
            return 0
        _write("The last event, which caused nothing", last)
        earlier = await _last_with_a_trigger(calls, customer, outside[1:])
        if earlier is None:
            write("\nNo earlier event of this customer caused anything either.")
        else:
            _write("The last event that caused something", await _story(calls, customer, earlier, lines))
    return 0


def _write(title: str, found: Story) -> None:
    day = datetime.fromisoformat(str(found.event["time"])).astimezone()
    write(f"\n{title} ({day:%Y-%m-%d}, times of this machine)\n")
    for line in story.tell(found):
        write(line)


async def _customer(calls: Calls, named: str) -> Found:
    for kind in _kinds(named):
        if kind == "customer_id":
            by_id: Found | None = await calls.find("profile", f"/v1/customers/{named}")
            if by_id is not None:
                return by_id
        else:
            items: Sequence[Found] = (await calls.get("profile", "/v1/customers", **{kind: named}))["items"]
            if items:
                return items[0]
    raise StackFailure(f"nobody is known by {named!r}: name a customer id, phone, e-mail address or loyalty card")


def _kinds(named: str) -> list[str]:
    """What a name can be, the likeliest first."""
    if "@" in named:
        return ["email"]
    try:
        uuid.UUID(named)
    except ValueError:
        phone = ["phone"] if _PHONE.match(named) else []
        return ["loyalty_card", *phone, "account", "cookie", "device"]
    return ["customer_id", "account"]


async def _story(calls: Calls, customer: Found, event: Found, lines: Sequence[Found]) -> Story:
    own = set(customer["records"])
    decisions, messages, listed = await asyncio.gather(
        calls.get("campaign", "/v1/decisions", event_id=event["id"], limit=200),
        calls.get("notify", "/v1/messages", event_id=event["id"], limit=200),
        calls.get("rules", "/v1/rules", status="active", limit=500),
    )
    # Another source may have used the same id for an event of somebody else.
    mine = [each for each in decisions["items"] if each["customer_id"] in own]
    stories = [
        await calls.get("notify", f"/v1/messages/{each['message_id']}")
        for each in messages["items"]
        if each["customer_id"] in own
    ]
    documents = {rule["id"]: rule["document"] for rule in listed["items"]}
    triggers = {f"set:{each['trigger_id']}" for each in mine}
    return Story(
        customer,
        event,
        mine,
        stories,
        documents,
        [each for each in documents.values() if event["type"] in story.types_of(each)],
        [line for line in lines if line["id"] in triggers],
    )


async def _last_with_a_trigger(calls: Calls, customer: Found, lines: Sequence[Found]) -> Found | None:
    decided: list[Found] = []
    for record in customer["records"]:
        decided += (await calls.get("campaign", "/v1/decisions", customer_id=record, limit=50))["items"]
    by_id = {line["id"]: line for line in reversed(lines)}
    newest = sorted(decided, key=lambda each: str(each["decided_at"]), reverse=True)
    return next((by_id[each["event_id"]] for each in newest if each["event_id"] in by_id), None)


if __name__ == "__main__":
    sys.exit(main())
