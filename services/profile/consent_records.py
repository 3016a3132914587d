"""What is written beside a profile when somebody speaks of consent? The ledger, and what is owed to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from libs.common.clock import from_ms
from libs.common.unit import UnitTx
from services.profile.holding import Held
from services.profile.person import Definitions, Moment
from services.profile.person.consents.duties import KINDS, done_ms, owed, place_of
from services.profile.person.consents.speech import READERS, TEXT_MAX, statements
from services.profile.person.folding import bit_of
from services.profile.projecting import Happened
from services.profile.store import consents as store
from services.profile.store.consents import Debt, Entry


class ConsentRecords:
    """Ledger and duties, kept in the transaction that keeps the states."""

    def __init__(self, definitions: Callable[[], Definitions]) -> None:
        self._definitions = definitions
        self._concern = bit_of("consents") | bit_of("traits")

    async def keep(self, tx: UnitTx, changed: Sequence[Held], happened: Sequence[Happened]) -> None:
        definitions = self._definitions()
        spoken = [each for each in happened if each.event.type in READERS]
        if spoken:
            await store.add_entries(tx, tx.unit, [entry for each in spoken for entry in entries(each, definitions)])
        # The duties follow from the country as well.
        concerned = [held for held in changed if held.touched & self._concern and held.customer.consents is not None]
        if concerned:
            await store.set_debts(tx, tx.unit, [debt for held in concerned for debt in debts(held, definitions)])


def entries(happened: Happened, definitions: Definitions) -> Iterator[Entry]:
    """The rows of the ledger that follow from one event, at the time that it states."""
    event = happened.event
    reason = event.data.get("reason")
    for said in statements(event, definitions):
        yield Entry(
            happened.customer_id,
            event.id,
            event.source[:TEXT_MAX],
            event.type,
            said.channel,
            said.purpose,
            said.word,
            said.wording,
            said.proof,
            reason[:TEXT_MAX] if isinstance(reason, str) else "",
            from_ms(event.at_ms),
            from_ms(event.received_ms or event.at_ms),
        )


def debts(held: Held, definitions: Definitions) -> Iterator[Debt]:
    """What is owed to one record by itself; who it belongs to is looked at when it is asked for."""
    consents = held.customer.consents
    if consents is None:
        return
    at = Moment(held.day, definitions)
    due = {each.duty: each for each in owed(consents, place_of([held.customer], definitions), at)}
    for duty in KINDS:
        done = done_ms(consents, duty)
        yield Debt(
            held.id,
            duty,
            date.fromordinal(due[duty].due_day) if duty in due else None,
            date.fromordinal(definitions.day_of(done)) if done is not None else None,
        )
