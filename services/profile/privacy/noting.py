"""What have the other services made of an erasure? Their last word on each record is kept for the proof."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from libs.common.events import CampaignErased, Fact, NotifyErased, RulesErased
from libs.common.topics import CAMPAIGN_ERASED, NOTIFY_ERASED, RULES_ERASED
from libs.common.unit import Input, Message, UnitTx
from services.profile.normal import record_id_in
from services.profile.store import erasing as store

_OWNERS = {topic.event: topic.owner for topic in (RULES_ERASED, CAMPAIGN_ERASED, NOTIFY_ERASED)}


async def on_erased(
    batch: Sequence[Message[RulesErased | CampaignErased | NotifyErased]], tx: UnitTx
) -> Sequence[Fact]:
    rows = {
        (record, _OWNERS[type(each.event)]): (msgspec.json.encode(each.event.counts).decode(), each.event.erased_at)
        for each in batch
        if (record := record_id_in(each.event.customer_id))
    }
    if rows:
        await store.keep_notes(tx, [(*key, *value) for key, value in rows.items()])
    return ()


def inputs() -> list[Input]:
    """They follow from what we said ourselves, so they drive no clock."""
    return [Input(topic, on_erased, feedback=True) for topic in (RULES_ERASED, CAMPAIGN_ERASED, NOTIFY_ERASED)]
