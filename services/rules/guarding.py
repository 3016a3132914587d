"""What has campaign told of the contacts that rules brought about? Counted, so that rules that do harm are stopped."""

from __future__ import annotations

from collections.abc import Sequence

from libs.common.documents import guarding
from libs.common.documents.guarding import Counted, GuardedKind
from libs.common.documents.limits import MEASURES
from libs.common.events import ContactsCounted, Fact
from libs.common.topics import CONTACTS_COUNTED
from libs.common.unit import Input, Message, UnitTx, WorkerSpec

WORKER = "rules.guard"


class Counting:
    """The handler of `rules.guard`: beside the matching, whose clock must not wait for what comes back from it."""

    def __init__(self, kind: GuardedKind) -> None:
        self._kind = kind

    async def on_counted(self, batch: Sequence[Message[ContactsCounted]], tx: UnitTx) -> Sequence[Fact]:
        counted = [
            Counted(message.event.rule_id, message.event.rule_version, message.event.at, measure, number)
            for message in batch
            for measure, number in message.event.counts.items()
            if measure in MEASURES
        ]
        await guarding.count(tx, self._kind.name, tx.unit, self._kind.zone, counted)
        return []


def spec_of(kind: GuardedKind) -> WorkerSpec:
    return WorkerSpec(WORKER, inputs=[Input(CONTACTS_COUNTED, Counting(kind).on_counted)], outputs=[])
