"""What becomes of somebody's wish to be forgotten, or to be told, that comes as an event? A line in a list.

Whoever may send events may claim to speak for a person, and what is erased does not come back: so a person with the
role decides, and has until then to do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from libs.common.clock import derived_id, from_ms
from libs.common.unit import UnitTx
from services.profile.holding import Held
from services.profile.projecting import Happened
from services.profile.store import privacy as store

TYPE: Final = "privacy.request"
KINDS: Final = ("access", "erasure")
DAYS_TO_DECIDE: Final = 10
"""Korea's law gives ten days, Europe's a month."""

_REFERENCE_LENGTH_MAX = 200


class PrivacyRequests:
    """A projection: the wishes among what happened."""

    async def keep(self, tx: UnitTx, changed: Sequence[Held], happened: Sequence[Happened]) -> None:
        del changed
        rows = []
        for each in happened:
            event = each.event
            if event.type != TYPE or event.data.get("request") not in KINDS or event.data.get("of") == "shop":
                continue
            asked_at = from_ms(event.received_ms or event.at_ms)
            rows.append(
                (
                    str(derived_id("privacy.request", event.source, event.id)),
                    each.customer_id,
                    str(event.data["request"]),
                    event.source,
                    str(event.data.get("reference") or "")[:_REFERENCE_LENGTH_MAX],
                    asked_at,
                    asked_at + timedelta(days=DAYS_TO_DECIDE),
                )
            )
        if rows:
            await store.add_requests(tx, rows)
