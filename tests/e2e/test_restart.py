"""Does everything go on where it was after it was killed?"""

from __future__ import annotations

from typing import Any

from tests.caller import Caller, purchase, until
from tests.stack import SERVICES, Stack

CARD = {"loyalty_card": "restart-card"}
COUNT = 60


async def bought(caller: Caller, times: int) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found = await caller.customer(**CARD)
        return found if found is not None and found["profile"]["purchase_count"] >= times else None

    return await until(look, f"{times} purchases", seconds=40)


async def test_services_that_were_killed_continue_where_they_were(stack: Stack, caller: Caller) -> None:
    first = [purchase(100, identifiers=CARD) for _ in range(COUNT)]
    await caller.send("pos", *first)
    stack.kill(*SERVICES)
    stack.launch(*SERVICES)
    stack.wait_ready(*SERVICES)
    # The same events again, as a till sends them that saw no answer, and new ones.
    await caller.send("pos", *first)
    await caller.send("pos", *(purchase(100, identifiers=CARD) for _ in range(COUNT)))
    found = await bought(caller, 2 * COUNT)
    assert found["profile"]["purchase_count"] == 2 * COUNT
    assert found["purchases"]["spent"] == {"KRW": str(2 * COUNT * 100)}
    lines = [each["id"] for each in await caller.timeline(found["customer_id"])]
    assert len(lines) == len(set(lines)) == 2 * COUNT


async def test_services_that_are_stopped_in_peace_end_in_time_and_continue(stack: Stack, caller: Caller) -> None:
    before = await caller.customer(**CARD)
    count = before["profile"]["purchase_count"] if before else 0
    stack.restart(*SERVICES)
    await caller.send("pos", purchase(100, identifiers=CARD))
    found = await bought(caller, count + 1)
    assert found["profile"]["purchase_count"] == count + 1
