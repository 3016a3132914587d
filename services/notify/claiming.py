"""Which messages go out now, and what do they say? Asked in one transaction, which ends before anything is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from libs.common.db import Tx
from libs.common.events import ProfileUpdated
from services.notify import delivery, permission, reporting
from services.notify.content import Compiled, Links, Rendered, Shelf, Unrenderable
from services.notify.permission import End, Request, Send, Suppression, Wait
from services.notify.providers.port import Outgoing
from services.notify.recording import Change, record
from services.notify.store import customers, ledger, responses
from services.notify.store.ledger import Due, Entry, Taken

TEMPLATE_SECONDS = 3.0
"""A template that was activated just now may not have reached this process yet."""
TEMPLATE_STEP_SECONDS = 0.5
_BLOCKING_SECONDS_MAX = 0.25


class Ready(NamedTuple):
    taken: Taken
    outgoing: Outgoing


class Known(NamedTuple):
    """What notify knows of the customers of a batch."""

    people: dict[str, list[ProfileUpdated]]
    suppressions: list[Suppression]
    read_up_to: dict[int, datetime]


class Claimer:
    """Takes what is due on one channel, and turns away what may not go."""

    def __init__(
        self,
        channel: str,
        provider: str,
        key_seconds: int,
        shelf: Callable[[], Shelf | None],
        links: Callable[[str], Links],
        *,
        profile_age_seconds_max: float,
    ) -> None:
        self._channel = channel
        self._provider = provider
        self._key_seconds = key_seconds
        self._shelf = shelf
        self._links = links
        self._age_seconds_max = profile_age_seconds_max

    async def claim(
        self, tx: Tx, owner: str, lease_seconds: float, now: datetime, count_max: int
    ) -> tuple[int, list[Ready]]:
        """How many were looked at, and those that are to be handed over before the lease ends."""
        shelf = self._shelf()
        if shelf is None:
            return 0, []
        waiting = await ledger.due(tx, self._channel, now, count_max)
        if not waiting:
            return 0, []
        known = await self._known(tx, [each.entry.customer_id for each in waiting])
        ready: list[Ready] = []
        turned: list[Change] = []
        until = time.perf_counter() + _BLOCKING_SECONDS_MAX
        for each in waiting:
            # What is not reached in time stays as it is, for the next claim: rendering must not stop the loop for long.
            if time.perf_counter() > until:
                break
            made = self._decide(each, known, shelf, now)
            if isinstance(made, Ready):
                ready.append(made)
            else:
                turned.append(Change(each.entry, replace(each.entry, standing=made)))
        await record(tx, now, turned)
        if ready:
            await self._take(tx, owner, lease_seconds, now, waiting, ready)
        return len(waiting), ready

    async def _take(
        self, tx: Tx, owner: str, lease_seconds: float, now: datetime, waiting: list[Due], ready: list[Ready]
    ) -> None:
        await ledger.take(tx, owner, lease_seconds, now, [each.taken for each in ready])
        before = {each.entry.message_id: each.entry for each in waiting}
        steps = [reporting.step(before[each.outgoing.message_id], each.taken.entry, now) for each in ready]
        await ledger.add_steps(tx, [step for step in steps if step is not None])

    async def _known(self, tx: Tx, customer_ids: list[str]) -> Known:
        people = await customers.load_profiles(tx, set(customer_ids))
        everybody = {record.customer_id for records in people.values() for record in records} | set(customer_ids)
        return Known(
            people,
            await customers.load_suppressions(tx, everybody, self._channel),
            await customers.read_up_to(tx, responses.WORKER),
        )

    def _decide(self, each: Due, known: Known, shelf: Shelf, now: datetime) -> Ready | delivery.Standing:
        entry = each.entry
        if not delivery.key_is_alive(entry.standing, now, self._key_seconds):
            return delivery.ended(entry.standing, "UNKNOWN", "the provider has forgotten the key")
        records = known.people.get(entry.customer_id, [])
        verdict = permission.judge(
            Request(self._channel, entry.standing.class_, each.conditions, each.planned_at),
            permission.person_of(records),
            _of_person(known.suppressions, entry.customer_id, records),
            now,
            known.read_up_to.get(entry.unit),
            self._age_seconds_max,
        )
        if isinstance(verdict, Send):
            return self._write(each, records, verdict.recipient, shelf, now)
        return _turned(entry, verdict)

    def _write(
        self,
        each: Due,
        records: list[ProfileUpdated],
        recipient: str,
        shelf: Shelf,
        now: datetime,
    ) -> Ready | delivery.Standing:
        standing = each.entry.standing
        template = shelf.get(each.template)
        if template is None and now - each.planned_at < timedelta(seconds=TEMPLATE_SECONDS):
            until = now + timedelta(seconds=TEMPLATE_STEP_SECONDS)
            return _turned(each.entry, Wait(until, f"template_missing:{each.template}"))
        if fault := _fault_of(template, each.template, self._channel):
            return delivery.ended(standing, "REJECTED", fault)
        assert isinstance(template, Compiled)
        links = self._links(each.entry.message_id)
        try:
            rendered = template.render(records[0].attributes, each.values, links)
        except Unrenderable as error:
            return delivery.ended(standing, "REJECTED", f"template_failed: {error}")
        return self._ready(each, recipient, template.version, rendered, links, now)

    def _ready(self, each: Due, recipient: str, version: int, rendered: Rendered, links: Links, now: datetime) -> Ready:
        entry = replace(
            each.entry,
            standing=delivery.submitting(each.entry.standing, now),
            recipient=recipient,
            provider=self._provider,
        )
        outgoing = Outgoing(
            message_id=entry.message_id,
            channel=self._channel,
            class_=entry.standing.class_,
            campaign_id=entry.campaign_id,
            customer_id=entry.customer_id,
            recipient=recipient,
            subject=rendered.subject,
            body=rendered.body,
            unsubscribe_url=links.unsubscribe_url,
            possible_duplicate=entry.standing.possible_duplicate,
            values=each.values,
        )
        return Ready(Taken(entry, version, rendered.subject, rendered.body, rendered.links), outgoing)


def _of_person(suppressions: list[Suppression], customer_id: str, records: list[ProfileUpdated]) -> list[Suppression]:
    theirs = {customer_id, *(record.customer_id for record in records)}
    return [each for each in suppressions if each.customer_id in theirs]


def _turned(entry: Entry, verdict: Wait | End) -> delivery.Standing:
    if isinstance(verdict, Wait):
        return replace(entry.standing, not_before=verdict.until, reason=verdict.reason)
    return delivery.ended(entry.standing, verdict.state, verdict.reason)


def _fault_of(template: Compiled | str | None, name: str, channel: str) -> str:
    if template is None:
        return f"template_missing:{name}"
    if isinstance(template, str):
        return f"template_broken:{name}: {template}"
    if template.channel != channel:
        return f"template_of_another_channel:{name} is for {template.channel}"
    return ""
