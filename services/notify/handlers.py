"""What does notify do with what it hears? It keeps its copy of profiles and records what is to be sent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from msgspec.structs import replace

from libs.common.errors import Poison
from libs.common.events import CHANNELS_OF_CONTACT, ContactRequested, Fact, NotifyErased, ProfileUpdated
from libs.common.timers import Timer
from libs.common.unit import Message, UnitTx
from services.notify import delivery
from services.notify.recording import Change, record
from services.notify.store import customers, erasing, ledger, responses


class Handlers:
    """The handlers of `notify.plan`. Nothing is sent here: the senders find the rows by themselves."""

    def __init__(self) -> None:
        self.planned: set[str] = set()
        """Channels for which something may have been planned since the senders were last woken."""

    async def on_profiles(self, batch: Sequence[Message[ProfileUpdated]], tx: UnitTx) -> Sequence[Fact]:
        newest: dict[str, Message[ProfileUpdated]] = {}
        for message in batch:
            known = newest.get(message.event.customer_id)
            if known is None or known.event.version < message.event.version:
                newest[message.event.customer_id] = message
        rows = [(key, message.event.version, message.value) for key, message in newest.items()]
        await customers.save_profiles(tx, tx.unit, rows)
        return ()

    async def on_erased(self, customer_ids: Sequence[str], tx: UnitTx) -> Sequence[Fact]:
        """What is planned is dropped first, for campaign waits for its answer; then nothing names anybody any more."""
        known = await erasing.erase_profiles(tx, tx.unit, customer_ids)
        if not known:
            return ()
        entries = await ledger.lock(tx, await erasing.planned_of(tx, known))
        reason = f"suppressed:{erasing.REASON}"
        ended = [replace(each, standing=delivery.ended(each.standing, "DROPPED", reason)) for each in entries]
        await record(tx, tx.now, [Change(*each) for each in zip(entries, ended, strict=True)])
        counts = await erasing.blank(tx, known)
        return [NotifyErased(each, tx.now, {"customer": known[each], **counts[each]}) for each in sorted(known)]

    async def on_contacts(self, batch: Sequence[Message[ContactRequested]], tx: UnitTx) -> Sequence[Fact]:
        wanted = {message.event.message_id: message.event for message in batch}
        for request in wanted.values():
            _check(request)
        await ledger.plan(tx, tx.unit, tx.now, list(wanted.values()))
        self.planned.update(request.channel for request in wanted.values())
        return ()

    async def on_timers(self, batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        del tx
        return [responses.told(timer) for timer in batch]


def _check(request: ContactRequested) -> None:
    if request.channel not in CHANNELS_OF_CONTACT:
        raise Poison(f"no such channel: {request.channel!r}; there are {', '.join(CHANNELS_OF_CONTACT)}")
    try:
        canonical = str(uuid.UUID(request.message_id))
    except ValueError:
        canonical = ""
    if canonical != request.message_id:
        raise Poison("message_id is not a UUID in its usual form")
