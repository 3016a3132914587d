"""Does the whole loop lose or double anything when its processes are killed and its servers go away?

Customers buy while services die, by kill -9 at random and at named points. When all is healed, a checker
(tests/oracles/loop.py) that reads only the raw log and the provider's ledger says what should have come of it: every
acknowledged event is in the log, profiles are the fold of the log, everybody who agreed got one text for each dear
purchase, nobody else got anything, and no mail went twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.local.broker import KafkaBroker
from deploy.local.postgres import PostgresServer
from libs.common import clock
from tests import soaking
from tests.caller import Caller
from tests.oracles import loop as oracle
from tests.stack import SERVICES, Stack

PEOPLE = 30
ACCOUNTS = [f"{answer}{number}" for answer in ("yes", "no") for number in range(PEOPLE // 2)]
PHONES = {account: f"+8210{number:08d}" for number, account in enumerate(ACCOUNTS, start=11_111_111)}
EMAILS = {account: f"{account}@example.com" for account in ACCOUNTS}
EMAIL_IN_FLIGHT_MAX = 16
ROUNDS_MAX = 4
"""A busy machine starts processes slowly and makes few batches: when too few have died, trade goes on."""

patient = pytest.mark.timeout(0 if soaking.soaks() else 420)


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        "rules",
        {
            "id": "dear",
            "name": "A dear purchase",
            "when": {
                "type": "event",
                "event": "purchase",
                "where": [{"field": "event.amount", "op": "at_least", "value": int(oracle.DEAR)}],
            },
            "limits": {"repeat": "always"},
            "emit": {"trigger": "offer.dear", "include": {"amount": "event.amount"}},
        },
    )
    for channel in ("sms", "email"):
        subject = {"subject": "Thank you"} if channel == "email" else {}
        yield "templates", {"id": f"dear-{channel}", "channel": channel, "body": "{{ trigger.amount }}", **subject}
        yield (
            "campaigns",
            {
                "id": f"dear-{channel}",
                "name": "A dear purchase",
                "trigger": "offer.dear",
                "class": "marketing",
                "channel": channel,
                "template": f"dear-{channel}",
                "quiet_hours": None,
                "cap": {"times": 1000, "per": "1d"},
                "holdout_percent": 0,
                "valid_for": "1d",
                "priority": 50,
                "cost": "0",
            },
        )


@dataclass
class Shop:
    """Sends purchases until each is acknowledged, some of them twice, and remembers what was acknowledged."""

    caller: Caller
    acknowledged: set[str] = field(default_factory=set)
    number: int = 0

    async def introduce(self) -> None:
        now = clock.now().isoformat()
        for account in ACCOUNTS:
            names = {"account": account, "phone": PHONES[account], "email": EMAILS[account]}
            known = {"source": "web", "time": now, "identifiers": names}
            events = [{**known, "id": f"i-{account}", "type": "identify", "data": {"traits": {"zone": "Asia/Seoul"}}}]
            if account.startswith("yes"):
                agreed = {"id": f"c-{account}", "type": "consent_given", "data": {"channels": ["sms", "email"]}}
                # The law of Korea lets nobody send a text at night without it, whenever this runs.
                by_night = {"channels": ["sms"], "purpose": "night"}
                nights = {"id": f"n-{account}", "type": "consent_given", "data": by_night}
                events += [{**known, **agreed}, {**known, **nights}]
            await self.caller.send("web", *events)
        for account in ACCOUNTS:
            await self._until_known(account)

    async def _until_known(self, account: str) -> None:
        async with asyncio.timeout(30):
            while True:
                found = await self.caller.customer(account=account)
                if found and found["profile"].get("consent_sms_night") is (True if account.startswith("yes") else None):
                    return
                await asyncio.sleep(0.1)

    async def trade(self, seconds: float, per_second: int = 40) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            events = [self._purchase() for _ in range(per_second // 4)]
            await self._deliver(events)
            if random.random() < 0.2:
                await self._deliver(events)
            await asyncio.sleep(0.25)

    def _purchase(self) -> dict[str, Any]:
        self.number += 1
        return {
            "id": f"p-{self.number}",
            "source": f"store/{self.number % 3}",
            "type": "purchase",
            "time": clock.now().isoformat(),
            "identifiers": {"account": random.choice(ACCOUNTS)},
            "data": {"amount": random.choice([5_000, 5_000, 150_000]), "currency": "KRW", "items": []},
        }

    async def _deliver(self, events: list[dict[str, Any]]) -> None:
        """As a till does: the same events again until they are acknowledged."""
        url = f"{self.caller.stack.urls['ingest']}/v1/events"
        headers = {"Authorization": f"Bearer {self.caller.stack.write_keys['pos']}"}
        while True:
            try:
                async with self.caller.session.post(url, json=events, headers=headers) as answer:
                    if answer.status == 202:
                        self.acknowledged |= {f"{event['source']} {event['id']}" for event in events}
                        return
                    assert answer.status == 503, (answer.status, await answer.text())
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)


@pytest.fixture
def stack(postgres: PostgresServer, broker: KafkaBroker, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(
        tmp_path,
        database_url=postgres.url,
        kafka_bootstrap=broker.bootstrap,
        variables={"DANGOL_MARKETING_CAP_TIMES": "100000"},
    )
    try:
        made.start()
        yield made
    finally:
        made.discard()


async def verdict(stack: Stack, shop: Shop, kills_of_notify: int, seconds: float = 60.0) -> None:
    """Waits for the loop to come to rest, then compares it with what the checker makes of the raw log."""
    log = await oracle.raw_log(stack.kafka_bootstrap, f"{stack.topic_prefix}ingest.event-received.v1", stack.partitions)
    arrived = {f"{event['source']} {event['id']}" for event in log}
    assert shop.acknowledged <= arrived, "an acknowledged event is not in the log"
    expected = oracle.fold(log)
    until = time.monotonic() + seconds
    texts, twice = read_ledger(stack, "sms", PHONES)
    while time.monotonic() < until and texts != expected.messages:
        await asyncio.sleep(0.5)
        texts, twice = read_ledger(stack, "sms", PHONES)
    # Whatever would come too much has had its chance to come.
    await asyncio.sleep(3)
    texts, twice = read_ledger(stack, "sms", PHONES)
    assert texts == expected.messages
    assert twice == []
    mails, twice = read_ledger(stack, "email", EMAILS)
    assert twice == []
    assert mails <= expected.messages, "somebody got a mail that they should not have got"
    missing = expected.messages.total() - mails.total()
    assert missing <= kills_of_notify * EMAIL_IN_FLIGHT_MAX, f"{missing} mails are missing"
    for account in ACCOUNTS:
        found = await shop.caller.customer(account=account)
        assert found is not None
        assert found["profile"]["purchase_count"] == expected.purchases[account]
        assert found["purchases"]["spent"].get("KRW", "0") == str(expected.spent[account])


def read_ledger(stack: Stack, channel: str, recipients: dict[str, str]) -> Any:
    lines = stack.ledger_file.read_text("utf-8").splitlines() if stack.ledger_file.exists() else []
    return oracle.accepted(lines, channel, recipients)


async def open_shop(stack: Stack, caller: Caller) -> Shop:
    for kind, document in documents():
        await caller.install(kind, document)
    shop = Shop(caller)
    await shop.introduce()
    return shop


@patient
async def test_kill_9_of_any_service_and_both_servers_loses_nothing_and_doubles_nothing(
    stack: Stack, postgres: PostgresServer, broker: KafkaBroker
) -> None:
    async with Caller(stack) as caller:
        shop = await open_shop(stack, caller)
        kills = dict.fromkeys(SERVICES, 0)
        start = time.monotonic()
        outages: list[tuple[float, KafkaBroker | PostgresServer]] = [(12.0, broker), (26.0, postgres)]
        for _ in range(ROUNDS_MAX):
            trading = asyncio.create_task(shop.trade(soaking.seconds(40)))
            while not trading.done():
                await asyncio.sleep(random.uniform(1.0, 2.5))
                victim = random.choice(SERVICES)
                kills[victim] += 1
                stack.kill(victim)
                stack.launch(victim)
                if outages and time.monotonic() - start > outages[0][0]:
                    _, server = outages.pop(0)
                    await asyncio.to_thread(server.kill)
                    await asyncio.sleep(5 if server is broker else 0)
                    await asyncio.to_thread(server.start)
                relaunch_the_dead(stack)
            await trading
            if sum(kills.values()) >= 12 and not outages:
                break
        assert outages == []
        relaunch_the_dead(stack)
        await asyncio.to_thread(stack.wait_ready, *SERVICES)
        await verdict(stack, shop, kills["notify"] + len(SERVICES))
        assert sum(kills.values()) >= 12
        assert len(shop.acknowledged) > 200


@patient
async def test_death_at_named_points_in_every_service_leaves_no_trace(stack: Stack) -> None:
    crash = {"DANGOL_CRASHPOINTS": "before_commit:0.01,after_commit:0.01,after_publish:0.01"}
    async with Caller(stack) as caller:
        shop = await open_shop(stack, caller)
        deaths = dict.fromkeys(SERVICES, 0)
        stack.stop(*SERVICES)
        stack.launch(*SERVICES, **crash)
        for _ in range(ROUNDS_MAX):
            trading = asyncio.create_task(shop.trade(30))
            while not trading.done():
                await asyncio.sleep(0.2)
                for name in relaunch_the_dead(stack, **crash):
                    deaths[name] += 1
            await trading
            if sum(deaths.values()) >= 5:
                break
        await asyncio.to_thread(stack.stop, *SERVICES)
        stack.launch(*SERVICES)
        await asyncio.to_thread(stack.wait_ready, *SERVICES)
        await verdict(stack, shop, deaths["notify"] + 1)
        assert sum(deaths.values()) >= 5, deaths


def relaunch_the_dead(stack: Stack, **variables: str) -> list[str]:
    dead = [name for name in SERVICES if stack.pid(name) is None]
    for name in dead:
        stack.kill(name)
        stack.launch(name, **variables)
    return dead
