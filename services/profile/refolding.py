"""How is a profile folded again from its timeline? In the customer's own unit, and it must equal the live one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from libs.common.clock import derived_id, to_ms
from libs.common.events import Change, CommandIssued, Fact
from libs.common.unit import UnitTx
from services.profile import person
from services.profile.cabinet import Cabinet
from services.profile.defining import defined_at
from services.profile.holding import Held, forget_views, note_delivery, seen
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.projecting import Projection
from services.profile.resolving import resolved
from services.profile.restoring import APART, CUSTOMERS_AT_ONCE, fold
from services.profile.store import refolds as refold_store
from services.profile.timeline import Line, Origin, line

KIND: Final = "refold"
SOURCE: Final = "dangol/profile/refold"


class Order(Struct):
    """What a refold is asked to do: `job` 0 is a single one, `verify` compares and changes nothing.

    `announce` lets rules react to what changes; without it the change is told as history. `since` is the number of the
    definitions by which the profiles were told before: what follows from newer ones is a change then.
    """

    job: int = 0
    verify: bool = False
    announce: bool = False
    since: int | None = None


_order: Final = msgspec.json.Decoder(Order).decode


def of_job(command: CommandIssued) -> bool:
    return _order(command.body).job > 0


class Refolding:
    """Handles commands of the kind refold."""

    def __init__(self, definitions: Callable[[], Definitions], projections: Sequence[Projection] = ()) -> None:
        self._definitions = definitions
        self._projections = projections
        self._earlier: dict[int, Definitions] = {}

    async def run(self, commands: Sequence[CommandIssued], tx: UnitTx) -> list[Fact]:
        """Folds them a hundred customers at a time; the timelines are read as a stream."""
        facts: list[Fact] = []
        some: dict[str, CommandIssued] = {}
        for command in commands:
            # Of two jobs over one customer each is counted.
            if command.customer_id in some or len(some) >= CUSTOMERS_AT_ONCE:
                facts += await self._fold(some, tx)
                some = {}
            some[command.customer_id] = command
        return facts + await self._fold(some, tx)

    async def _fold(self, commands: dict[str, CommandIssued], tx: UnitTx) -> list[Fact]:
        cabinet = Cabinet(tx, self._definitions(), self._projections)
        await cabinet.open(commands)
        orders = {customer_id: _order(command.body) for customer_id, command in commands.items()}
        # A state of another form is folded already, by being opened.
        fresh = {each: Customer(cabinet[each].customer.person_id) for each in commands if each not in cabinet.anew}
        await fold(tx, fresh, cabinet.definitions)
        fresh |= {each: cabinet[each].customer for each in cabinet.anew}
        earlier = {each.since: await self._defined(each.since, tx) for each in orders.values()}
        facts: list[Fact] = []
        timeline: list[Line] = []
        counts: dict[int, list[int]] = {}
        for customer_id, order in orders.items():
            held = cabinet[customer_id]
            # A job's command that is repeated by whoever publishes them counts once.
            if order.job and held.customer.refold_job >= order.job:
                continue
            # Who was erased stays empty, whatever is left of the timeline at this moment.
            erased = held.customer.erased
            differs = not erased and not same(held.customer, fresh[customer_id])
            count = counts.setdefault(order.job, [0, 0])
            count[0] += 1
            count[1] += differs
            if not order.verify and not erased:
                told_by = earlier[order.since]
                found = self._replace(cabinet, held, fresh[customer_id], told_by)
                if found is not None:
                    fact, told = _told(commands[customer_id], order, held, *found)
                    facts.append(fact)
                    timeline.append(told)
            held.customer.refold_job, held.dirty = max(order.job, held.customer.refold_job), True
        facts += await cabinet.close(commands, (), timeline)
        by_job = {job: (done, differed) for job, (done, differed) in counts.items() if job}
        await refold_store.count(tx, tx.unit, by_job, tx.now)
        return facts

    async def _defined(self, number: int | None, tx: UnitTx) -> Definitions:
        """Those of a number, or those in force."""
        if number is None:
            return self._definitions()
        if number not in self._earlier:
            self._earlier = {number: await defined_at(tx.connection, self._definitions().zone, number)}
        return self._earlier[number]

    @staticmethod
    def _replace(
        cabinet: Cabinet, held: Held, fresh: Customer, told_by: Definitions
    ) -> tuple[dict[str, Change], bytes] | None:
        """Put the folded state in the place of the live one; what that changes in the view, if it does."""
        live, others = held.customer, cabinet.others(held)
        # As of today: what new definitions make of the days until now is told at once, and by no timer afterwards.
        # Where a day has come and waits for its timer, of whichever record, that one is still to tell it and what
        # follows: then it is as of the day before.
        today = max(held.day, told_by.day_of(to_ms(cabinet.tx.now)))
        pending = [each.due_day - 1 for each in (live, *others) if each.passed_day < each.due_day <= today]
        day = min(pending, default=today)
        held.day, live.passed_day = max(held.day, day), max(live.passed_day, day)
        note_delivery(held, told_by, cabinet.tx.now)
        before = person.view([live, *others], Moment(day, told_by))
        held.customer = taking_place(live, fresh)
        held.touched, held.dirty = person.EVERYTHING, True
        forget_views(held)
        after, encoded = seen(held, Moment(day, cabinet.definitions), others)
        changed = person.differences(before, after)
        changed.pop("version", None)
        return (changed, encoded) if changed else None


def _told(
    command: CommandIssued, order: Order, held: Held, changed: dict[str, Change], encoded: bytes
) -> tuple[Fact, Line]:
    at_ms = to_ms(command.issued_at)
    origin = Origin(command.issued_at, SOURCE, "", None, msgspec.Raw(b"{}"), at_ms, history=not order.announce)
    event = Occurrence("profile.refolded", at_ms, SOURCE, str(derived_id("refold", command.command_id)))
    return resolved(held, event, origin, changed, encoded), line(held.id, event, origin, changed)


def same(live: Customer, fresh: Customer) -> bool:
    """Whether two states hold the same of what follows from events."""
    return all(getattr(live, name) == getattr(fresh, name) for name in Customer.__struct_fields__ if name not in APART)


def taking_place(live: Customer, fresh: Customer) -> Customer:
    """`fresh` with what is not folded as it is in `live`, and a version of its own when it says something else."""
    changes = {name: getattr(live, name) for name in APART}
    changes["version"] = live.version + (not same(live, fresh))
    return msgspec.structs.replace(fresh, **changes)
