"""How do webhooks of shops and tills come in? `POST /v1/hooks/{provider}/{source}`, signed by who sends them.

A provider whose deliveries fail repeats them for hours and then forgets us, so 200 says that it is kept: as events, or,
when the mapping or the schema refuses it, among the rejects, from where it comes in once that is mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from libs.common import clock
from libs.common.errors import BrokerAway, NotFound, StoreAway, Unauthenticated
from libs.common.metrics import Metrics
from services.ingest.doors.visit import Reply, Visit
from services.ingest.hooks import signatures
from services.ingest.hooks.book import HookBook
from services.ingest.hooks.endpoints import PATH, Hook
from services.ingest.hooks.examination import context_of, examine, to_keep
from services.ingest.hooks.signatures import Delivery, TooOld
from services.ingest.intake import Accepted, Outcome, Rejected, Terms
from services.ingest.mapping.shelf import Mappings
from services.ingest.reception import Reception
from services.ingest.refusals import NotPossible
from services.ingest.replies import JSON

# A mapping does far more with a byte than a decoder does, so even middling bodies go where they hold up nobody.
_WORK_PER_BYTE: Final = 8
_OTHER: Final = "other"
_ENCODER = msgspec.json.Encoder()


class HookRefusal(Struct, frozen=True):
    """One event of a webhook that was not accepted, and is kept; `type` is the reason."""

    index: int
    id: str
    type: str
    detail: str
    pointer: str


class HookReceipt(Struct, frozen=True):
    """No event at all means that the mapping has no use for this webhook."""

    accepted: int
    rejected: list[HookRefusal]


class HookMeters:
    """What the door counts, by provider; the names of addresses that nobody made count as one."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter(
            "hook_requests_total", "Webhooks, by what became of them.", ["provider", "result"]
        )

    def count(self, provider: str, result: str) -> None:
        self._requests.labels(provider if provider in signatures.PROVIDERS else _OTHER, result).inc()


class HooksDoor:
    def __init__(self, reception: Reception, book: HookBook, mappings: Mappings, meters: HookMeters) -> None:
        self._reception = reception
        self._book = book
        self._mappings = mappings
        self._meters = meters

    async def answer(self, visit: Visit) -> Reply:
        if visit.method != "POST":
            raise NotPossible(f"{visit.method} is not possible at {PATH}; webhooks come by POST.")
        provider, _, source = visit.path.removeprefix(PATH).partition("/")
        hook = self._hook_at(provider, source)
        body = await self._reception.read(visit.receive, visit.head.encoding)
        visit.read = True
        terms = self._reception.terms(hook.key, hook.door, context_of(visit.headers))
        self._verify(hook, Delivery(body, visit.header, hook.stored.notification_url))
        mapping = self._mappings.get(hook.stored.mapping)
        outcome = await self._reception.examine(
            len(body) * _WORK_PER_BYTE, examine, body, terms.context, hook, mapping, terms
        )
        try:
            await self._keep(outcome, terms)
        except (BrokerAway, TimeoutError):
            self._meters.count(provider, "broker_away")
            raise
        self._count(provider, outcome)
        return Reply(200, JSON, _ENCODER.encode(receipt_of(outcome)))

    def again(self, body: bytes, context: Mapping[str, str], terms: Terms) -> Outcome:
        """The verdict on a webhook that was kept, by today's mapping of its endpoint."""
        hook = self._book.hooks.of(terms.key.key_id)
        if hook is None:
            raise NotFound("The endpoint that it came by was deleted.")
        return examine(body, context, hook, self._mappings.get(hook.stored.mapping), terms)

    async def _keep(self, outcome: Outcome, terms: Terms) -> None:
        """Returns when Kafka has all of it; BrokerAway as well when what it does not have are refusals alone."""
        if not outcome.verdicts:
            return
        await self._reception.take(to_keep(outcome), terms)
        # Said of what was given to Kafka last, which is this: nobody else had a turn since.
        if not self._reception.acknowledged:
            raise BrokerAway("a refused webhook could not be kept")

    def _hook_at(self, provider: str, source: str) -> Hook:
        hook = self._book.hooks.at(provider, source)
        if hook is not None:
            return hook
        if not self._book.loaded:
            raise StoreAway("the endpoints of webhooks have not been read yet")
        self._meters.count(provider, "unknown")
        raise NotFound("Nobody expects webhooks at this address; make it by POST /v1/hook-endpoints.")

    def _verify(self, hook: Hook, delivery: Delivery) -> None:
        provider = hook.stored.provider
        if hook.stored.secrets and not hook.keys:
            raise StoreAway("no secret of this endpoint can be opened")
        try:
            signatures.verify(provider, delivery, hook.keys, clock.now())
        except TooOld:
            self._meters.count(provider, "too_old")
            raise
        except Unauthenticated:
            self._meters.count(provider, "bad_signature")
            raise

    def _count(self, provider: str, outcome: Outcome) -> None:
        refused = any(isinstance(verdict, Rejected) for verdict in outcome.verdicts)
        self._meters.count(provider, "refused" if refused else "accepted" if outcome.verdicts else "ignored")


def receipt_of(outcome: Outcome) -> HookReceipt:
    refused = [verdict for verdict in outcome.verdicts if isinstance(verdict, Rejected)]
    accepted = sum(isinstance(verdict, Accepted) for verdict in outcome.verdicts)
    return HookReceipt(
        accepted, [HookRefusal(each.index, each.id, each.reason, each.detail, each.pointer) for each in refused]
    )
