"""How is a customer's state had from its row, or from the timeline where the row has a form that is no more?"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Set
from typing import Final, NamedTuple

import msgspec

from libs.common.db import Tx
from services.profile import holding, person
from services.profile.person import Customer, Definitions
from services.profile.person.state import FORM
from services.profile.store import customers as store
from services.profile.store import points_reading as points_store
from services.profile.timeline import occurrence_of

CUSTOMERS_AT_ONCE: Final = 100
"""The timelines of so many are read as one stream."""

_OWN: Final = frozenset(
    "person_id version linked links_revision due_day passed_day refold_job filed portrayed erased".split()
)
APART: Final = _OWN | {"dues", "points"}
"""What is not folded from events: who belongs to the person, how far time and refolds have come, and what is copied
from a ledger."""


class States(NamedTuple):
    """States by record, and which of them are not as their rows say, but folded anew."""

    known: dict[str, Customer]
    anew: Set[str]


async def load(tx: Tx, customer_ids: Collection[str], definitions: Definitions) -> States:
    """The states of these records, as far as there are any, whatever release has written them.

    To fold one anew costs its whole timeline each time, until its owner or a refold has written it.
    """
    known: dict[str, Customer] = {}
    anew: dict[str, Customer] = {}
    for customer_id, (form, body) in (await store.load_customers(tx, customer_ids)).items():
        known[customer_id] = holding.restored(body) if form == FORM else _without_chapters(body)
        if form != FORM:
            anew[customer_id] = known[customer_id]
    # Who was erased stays empty, whatever is left of the timeline at this moment.
    if folded := {customer_id: each for customer_id, each in anew.items() if not each.erased}:
        await fold(tx, folded, definitions)
        for customer_id, standing in (await points_store.standings(tx.connection, list(folded))).items():
            folded[customer_id].points = standing
    return States(known, anew.keys())


def _without_chapters(body: bytes) -> Customer:
    """What no event says, in which no form may ever differ; the rest is not even looked at."""
    said = msgspec.msgpack.decode(body)
    return msgspec.convert({name: value for name, value in said.items() if name in _OWN}, Customer)


async def fold(tx: Tx, customers: Mapping[str, Customer], definitions: Definitions) -> None:
    """Apply all events of their timelines to these records, whose chapters are empty; versions stay as they are."""
    ids = sorted(customers)
    versions = {customer_id: each.version for customer_id, each in customers.items()}
    # A stream needs a transaction, which those who only read have none of.
    within = contextlib.nullcontext() if tx.connection.is_in_transaction() else tx.connection.transaction()
    async with within:
        for start in range(0, len(ids), CUSTOMERS_AT_ONCE):
            async for row in store.timeline_of(tx, ids[start : start + CUSTOMERS_AT_ONCE]):
                event = occurrence_of(row, decoded=person.has_effect(row["type"]))
                person.apply(customers[str(row["customer_id"])], event, definitions)
    for customer_id, version in versions.items():
        customers[customer_id].version = version
