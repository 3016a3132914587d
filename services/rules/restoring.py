"""What is remembered of customers, whatever release has packed it?

A state of another form is not read. What rules watch they learn anew from the log, as rules that are new do; what only
the past firings themselves tell is in the log of triggers, and who was in a segment in the list of its members.
"""

from __future__ import annotations

from collections.abc import Iterable

from libs.common import clock
from libs.common.db import Tx
from services.rules import store
from services.rules.engine import segments, state
from services.rules.engine.state import DAY_MS, FORM, Memory, State
from services.rules.keeping import DAYS_KEPT
from services.rules.membership import store as membership


async def load(tx: Tx, customer_ids: Iterable[str]) -> dict[str, State]:
    """By customer; nobody of whom nothing is remembered."""
    found = {}
    for customer_id, form, body in await store.load(tx, customer_ids):
        found[customer_id] = state.decode(body) if form == FORM else None
    unreadable = {customer_id for customer_id, held in found.items() if held is None}
    restored = await _restored(tx, unreadable) if unreadable else {}
    return {customer_id: held or restored[customer_id] for customer_id, held in found.items()}


async def _restored(tx: Tx, customer_ids: set[str]) -> dict[str, State]:
    found = {each: State(each) for each in customer_ids}
    for customer_id, rule_id, at in await store.fired(tx, customer_ids):
        memory = found[customer_id].memories.setdefault(rule_id, Memory())
        memory.fired_ms.append(clock.to_ms(at))
        memory.until_ms = clock.to_ms(at) + DAYS_KEPT * DAY_MS
    for customer_id, segment_id, inside, since, judged_ms, version in await membership.listed(tx, customer_ids):
        found[customer_id].memberships[segment_id] = segments.as_listed(inside, clock.to_ms(since), judged_ms, version)
    return found
