"""What is kept beside the states of customers, in the same transaction: ledgers, search, reports?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from libs.common.unit import UnitTx
from services.profile.holding import Held
from services.profile.person import Occurrence


class Happened(msgspec.Struct, gc=False):
    """One thing that happened to one customer, as a projection sees it."""

    customer_id: str
    event: Occurrence


class Projection(Protocol):
    """Rows that follow from what happened. Called once for each batch, before the states are written.

    `changed` are the customers whose state the batch changed: `Held.touched` has a bit for each chapter that did
    (`person.folding.bit_of`). What does not concern a projection must cost it next to nothing.
    """

    async def keep(self, tx: UnitTx, changed: Sequence[Held], happened: Sequence[Happened]) -> None: ...
