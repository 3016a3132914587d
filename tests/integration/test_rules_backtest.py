"""Does a backtest over the real log equal what live emitted, and are its jobs run, watched, cancelled and survived?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest

from libs.common import clock, progress
from libs.common.events import ERASED, Change, EventResolved
from libs.common.kafka import History, Received, Record
from libs.common.runtime import App
from libs.common.topics import EVENT_RESOLVED, partition_of
from services.rules.backtest import jobs as backtest_jobs
from services.rules.backtest.running import run
from services.rules.backtest.shapes import Question, Task, Told
from tests.backtest_live import Given, database, emitted
from tests.rules_place import BASKET, UNITS, VISITS, Place, activate, client_of, opened, running

SECONDS_MAX = 60.0
ORIGIN = "profile.apply"
EMPTY = "the log holds nothing"
Document = dict[str, Any]
ANY_VISIT: Document = {
    "id": "any-visit",
    "name": "Any visit",
    "when": {"type": "event", "event": "visit"},
    "emit": {"trigger": "a.b"},
}
GOLD_VISIT: Document = {
    **ANY_VISIT,
    "id": "gold-visit",
    "when": {"type": "event", "event": "visit", "where": [{"field": "event.amount", "op": "exists"}]},
    "who": [{"field": "profile.tier", "op": "is", "value": "gold"}],
}


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


def unit_of(customer: str) -> int:
    return partition_of(customer.encode(), UNITS)


def record_of(event: EventResolved) -> Record:
    key = event.customer_id.encode()
    return Record(EVENT_RESOLVED.name, unit_of(event.customer_id), key, msgspec.json.encode(event), [])


def marks_of(at_ms: int) -> list[Record]:
    marks = [(progress.MARK, progress.stamp(f"{ORIGIN}/{unit}", at_ms)) for unit in range(UNITS)]
    return [Record(EVENT_RESOLVED.name, unit, None, None, [mark]) for unit in range(UNITS) for mark in marks]


def event_of(customer: str, kind: str, time_ms: int, received_ms: int, **more: Any) -> EventResolved:
    return EventResolved(
        event_id=str(clock.new_id()),
        customer_id=customer,
        person_id=more.pop("person_id", customer),
        type=kind,
        source="test",
        time=clock.from_ms(time_ms),
        received_ms=received_ms,
        data=msgspec.Raw(msgspec.json.encode(more.pop("data", {}))),
        profile=msgspec.Raw(msgspec.json.encode(more.pop("profile", {"consent_email": True}))),
        **more,
    )


async def asked(client: httpx2.AsyncClient, **question: Any) -> Document:
    answer = await client.post("/v1/rules/backtests", json={"from": "2020-01-01T00:00:00Z", **question})
    assert answer.status_code == 202, answer.text
    found: Document = answer.json()
    return found


async def until(client: httpx2.AsyncClient, id: str, *states: str) -> Document:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            found: Document = (await client.get(f"/v1/rules/backtests/{id}")).json()
            if found["state"] in states:
                return found
            await asyncio.sleep(0.05)


def jobs() -> set[int]:
    """The processes of jobs that this process has started, by what the system says."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        # Threads and processes come and go while this looks.
        with contextlib.suppress(OSError):
            for pid in (task / "children").read_text().split():
                if b"services.rules.backtest" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(int(pid))
    return found


async def frozen_job() -> int:
    """The process of the next job, stopped before it has done anything, as one that has very much to read."""
    async with asyncio.timeout(SECONDS_MAX):
        while not (found := jobs()):
            await asyncio.sleep(0.002)
    [process] = found
    os.kill(process, signal.SIGSTOP)
    return process


async def killed(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    async with asyncio.timeout(SECONDS_MAX):
        while process in jobs():
            await asyncio.sleep(0.002)


async def another_turn(place: Place, running_id: str) -> None:
    """The service has looked for work: it renews what runs, then claims, so between two renewals it has claimed."""
    async with database(place) as connection, asyncio.timeout(SECONDS_MAX):
        leases = set[Any]()
        while len(leases) < 3:
            leases.add(await connection.fetchval("SELECT lease_until FROM backtest WHERE id = $1", UUID(running_id)))
            await asyncio.sleep(0.02)


# --- parity ----------------------------------------------------------------------------------------------------------

KINDS: list[Document] = [
    {"type": "event", "event": "visit", "where": [{"field": "event.amount", "op": "at_least", "value": 60}]},
    {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "3d"}}, "reaches": 3},
    {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "1h"},
    {
        "type": "absence",
        "after": {"event": "visit"},
        "no": {"event": "visit"},
        "for": "6h",
        "restart": "only_when_idle",
    },
    {"type": "change", "field": "profile.tier", "to": ["gold"]},
    {"type": "sequence", "steps": [{"event": "visit"}, {"event": "purchase"}], "within": "1d"},
    {"type": "dormancy", "no": {"event": "purchase"}, "for": "12h"},
    {"type": "date", "field": "profile.card_ends", "at": "09:00"},
    {
        "type": "deviation",
        "measure": {"of": "count", "event": "visit", "over": {"last": "1d"}},
        "against": {"periods": 2},
        "direction": "rise",
        "by_percent": 50,
        "check": "on_event",
    },
]


def rules_of_each_kind() -> list[Document]:
    limits: list[Document] = [{}, {"cooldown": "6h"}, {"max": {"times": 2, "per": "2d"}}]
    rules: list[Document] = [
        {"id": f"rule-{number}", "name": "x", "when": when, "emit": {"trigger": "a.b"}, "limits": limits[number % 3]}
        for number, when in enumerate(KINDS)
    ]
    rules[2]["who"] = [{"field": "profile.tier", "op": "is", "value": "gold"}]
    return rules


class Traffic:
    """Random events of some people, a third of them late, with three days between the first and now."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.people = sorted((str(clock.new_id()) for _ in range(40)), key=unit_of)
        # Some have two records. Both in one unit: what units see of one another depends on which of them is faster.
        pairs = [self.people[at : at + 2] for at in (0, 4, 8, 30, 34)]
        self.linked = {each: sorted(pair) for pair in pairs for each in pair if len(set(map(unit_of, pair))) == 1}

    def event(self, now_ms: int) -> EventResolved:
        customer = self.random.choice(self.people)
        late_ms = self.random.choice((0, 0, 600_000, 4 * 3_600_000, 30 * 3_600_000))
        tier = self.random.choice(("basic", "gold"))
        changed = {"tier": Change("basic", tier)} if self.random.random() < 0.2 else {}
        if self.random.random() < 0.1:
            ends = clock.from_ms(now_ms + self.random.choice((-1, 0, 1)) * 86_400_000).date().isoformat()
            changed["card_ends"] = Change(None, ends)
        linked = self.linked.get(customer, [])
        return event_of(
            customer,
            self.random.choice(("visit", "purchase", "cart_add", "search")),
            now_ms - late_ms,
            now_ms,
            data={"amount": self.random.randrange(100)},
            profile={"tier": tier},
            changed=changed,
            person_id=linked[0] if linked else customer,
            linked=linked,
            history=self.random.random() < 0.03,
        )


async def test_a_backtest_of_every_kind_equals_what_live_emitted(place: Place) -> None:
    """Live is let finish what was given before the clock is moved on: events that come in after a clock are late."""
    rules, traffic = rules_of_each_kind(), Traffic(7)
    begins, given = clock.now_ms() - 3 * 86_400_000, Given(place)
    async with running(place) as client:
        await activate(client, *rules)
        for batch in range(12):
            now_ms = begins + batch * 5 * 3_600_000
            await given.publish([record_of(traffic.event(now_ms + number)) for number in range(250)])
            await given.settled()
            await given.publish(marks_of(now_ms))
            await given.settled(now_ms)
        live = await emitted(place)
        found = [await asked(client, rule=rule, overlap=False, examples=0) for rule in rules]
        whole = [await until(client, each["id"], "finished", "failed") for each in found]
    assert {each["id"] for each in rules} == {each.rule_id for each in live}, "a kind that never fires proves nothing"
    for rule, answer in zip(rules, whole, strict=True):
        expected = sorted(each.trigger_id for each in live if each.rule_id == rule["id"])
        assert await trigger_ids(place, rule) == expected, rule["id"]
        assert answer["report"]["fires"] == len(expected)


async def trigger_ids(place: Place, rule: Document) -> list[str]:
    """All of them, of which the API shows the newest alone."""
    told: list[Told] = []
    await run(task_of(place, rule), told.append)
    return sorted(each.trigger_id for each in told[-1].examples)


def task_of(place: Place, rule: Document) -> Task:
    question = Question(
        rule=msgspec.Raw(msgspec.json.encode(rule)),
        since=clock.from_ms(0),
        until=clock.now() + timedelta(minutes=1),
        company_zone=place.settings.company_zone,
        examples=1_000_000,
        grace_seconds=0,
    )
    return Task(question, place.settings.kafka_bootstrap, place.settings.topic_prefix, EVENT_RESOLVED.name, UNITS, 256)


# --- jobs ------------------------------------------------------------------------------------------------------------


async def test_the_answer_says_what_the_rule_would_have_done_and_beside_which_live_rules(place: Place) -> None:
    one, two, three = (str(clock.new_id()) for _ in range(3))
    other = {**ANY_VISIT, "id": "live-one"}
    async with running(place) as client:
        await activate(client, other)
        for customer in (one, one, two):
            await place.give(customer, "visit", data={"amount": 7}, profile={"tier": "gold"})
        await place.give(three, "search")
        found = await asked(client, rule=GOLD_VISIT, note="why not")
        assert (found["rule_id"], found["version"], found["note"]) == ("gold-visit", 0, "why not")
        whole = await until(client, found["id"], "finished", "failed")
        listed = (await client.get("/v1/rules/backtests?rule_id=gold-visit")).json()["items"]
        nothing = (await client.get("/v1/rules/backtests?rule_id=another")).json()["items"]
    report = whole["report"]
    assert (report["fires"], report["customers"], report["outcomes"]) == (3, 2, {"fired": 3})
    assert report["repeats"] == [{"times": 1, "customers": 1}, {"times": 2, "customers": 1}]
    assert sum(day["fires"] for day in report["per_day"]) == 3
    [overlap] = report["overlap"]
    assert (overlap["rule_id"], overlap["version"], overlap["customers"], overlap["share"]) == ("live-one", 1, 2, 1.0)
    assert (report["events_read"], whole["progress"]["events_read"]) == (4, 4)
    newest = whole["examples"][0]
    assert newest["customer_id"] in (one, two) and newest["values"] == {"event.amount": 7, "profile.tier": "gold"}
    assert [each["id"] for each in listed] == [found["id"]] and nothing == []


async def test_a_stored_version_is_tested_as_it_was_written(place: Place) -> None:
    customer = str(clock.new_id())
    async with running(place) as client:
        await client.post("/v1/rules", json=ANY_VISIT)
        changed = {**ANY_VISIT, "when": {"type": "event", "event": "search"}}
        await client.put("/v1/rules/any-visit", json=changed, headers={"If-Match": '"1"'})
        await place.give(customer, "visit")
        fires = {}
        for version in (1, 2, None):
            found = await asked(client, rule_id="any-visit", version=version, overlap=False)
            fires[version, found["version"]] = (await until(client, found["id"], "finished"))["report"]["fires"]
    assert fires == {(1, 1): 1, (2, 2): 0, (None, 2): 0}


async def test_what_cannot_be_answered_is_refused_at_once(place: Place) -> None:
    wrong = {**BASKET, "when": {**BASKET["when"], "for": "2 fortnights"}}  # type: ignore[dict-item]
    cases: list[tuple[Document, int, str]] = [
        ({"rule": wrong}, 422, "#/rule/when/for"),
        ({}, 422, "#/rule"),
        ({"rule": VISITS, "rule_id": "x"}, 422, "#/rule"),
        ({"rule": VISITS, "version": 1}, 422, "#/version"),
        ({"rule_id": "not-there"}, 404, ""),
        ({"rule": VISITS, "from": "2030-01-01T00:00:00Z"}, 422, "#/from"),
        ({"rule": VISITS, "from": "2020-01-01T00:00:00Z", "to": "2019-01-01T00:00:00Z"}, 422, "#/from"),
        ({"rule": VISITS, "from": "2020-01-01T00:00:00"}, 422, "#/from"),
        ({"rule": VISITS, "examples": 101}, 422, "#/examples"),
        ({"rule": VISITS, "form": 1}, 422, "#/form"),
    ]
    async with running(place) as client:
        for question, status, pointer in cases:
            body = {"from": "2020-01-01T00:00:00Z", **question}
            answer = await client.post("/v1/rules/backtests", json=body)
            assert answer.status_code == status, (question, answer.text)
            assert not pointer or pointer in [each["pointer"] for each in answer.json()["errors"]], answer.text
        missing = await client.get(f"/v1/rules/backtests/{clock.new_id()}")
        assert missing.status_code == 404
        assert (await client.get("/v1/rules/backtests")).json()["items"] == []
        async with client_of(App(client._transport.app), "viewer") as viewer:  # type: ignore[attr-defined]
            answer = await viewer.post("/v1/rules/backtests", json={"rule": VISITS, "from": "2020-01-01T00:00:00Z"})
            assert answer.status_code == 403


async def test_a_cancelled_job_ends_within_two_seconds_and_stays_cancelled(place: Place) -> None:
    async with running(place) as client:
        found = await asked(client, rule=ANY_VISIT)
        process = await frozen_job()
        assert (await client.get(f"/v1/rules/backtests/{found['id']}")).json()["state"] == "running"
        began = asyncio.get_running_loop().time()
        answer = await client.post(f"/v1/rules/backtests/{found['id']}/cancel")
        assert answer.json()["state"] == "cancelled"
        while process in jobs():
            await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() - began < 2.0
        again = await client.post(f"/v1/rules/backtests/{found['id']}/cancel")
        assert again.status_code == 409
        # Its place is free for the next.
        other = await asked(client, rule=ANY_VISIT)
        await until(client, other["id"], "finished")
        assert (await client.get(f"/v1/rules/backtests/{found['id']}")).json()["state"] == "cancelled"


async def test_no_more_run_at_once_than_may(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"backtests_running_max": 1})
    async with running(place) as client:
        first = await asked(client, rule=ANY_VISIT)
        process = await frozen_job()
        second = await asked(client, rule=ANY_VISIT)
        await another_turn(place, first["id"])
        assert (await client.get(f"/v1/rules/backtests/{second['id']}")).json()["state"] == "queued"
        assert jobs() == {process}
        os.kill(process, signal.SIGCONT)
        for each in (first, second):
            await until(client, each["id"], "finished")


async def test_a_job_survives_the_service_and_the_death_of_its_process(place: Place) -> None:
    await place.give(str(clock.new_id()), "visit")
    async with running(place) as client:
        found = await asked(client, rule=ANY_VISIT)
        await frozen_job()
    assert jobs() == set(), "a service that stops leaves no process behind"
    async with running(place) as client:
        await killed(await frozen_job())
        whole = await until(client, found["id"], "finished", "failed")
    assert (whole["state"], whole["report"]["fires"]) == ("finished", 1)


async def test_a_job_whose_process_dies_again_and_again_has_failed_and_says_so(place: Place) -> None:
    async with running(place) as client:
        found = await asked(client, rule=ANY_VISIT)
        for _ in range(3):
            await killed(await frozen_job())
        whole = await until(client, found["id"], "finished", "failed")
    assert whole["state"] == "failed" and "its process ended 3 times" in whole["error"]


async def test_a_job_that_comes_no_further_is_ended_and_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(place) as client:
        found = await asked(client, rule=ANY_VISIT)
        process = await frozen_job()
        await another_turn(place, found["id"])
        assert jobs() == {process}, "it is given its time"
        monkeypatch.setattr(backtest_jobs, "SILENCE_SECONDS_MAX", 0.0)
        whole = await until(client, found["id"], "finished", "failed")
    assert whole["state"] == "failed" and "came no further" in whole["error"]


async def test_a_job_of_a_service_that_is_gone_is_taken_over(place: Place) -> None:
    async with running(place) as client:
        found = await asked(client, rule=ANY_VISIT)
        await until(client, found["id"], "finished")
        async with database(place) as connection:
            await connection.execute(
                "UPDATE backtest SET state = 'running', owner = 'gone', lease_until = clock_timestamp(), report = NULL"
            )
        assert (await until(client, found["id"], "finished"))["report"] is not None


async def test_a_job_that_remembers_too_much_fails_with_what_it_has_found(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"backtest_memory_mb": 16})
    now_ms = clock.now_ms()
    customers = [str(clock.new_id()) for _ in range(6_000)]
    # So long that each of them takes four kilobytes in a state.
    events = [event_of(each, "visit", now_ms, now_ms, person_id=each + "p" * 4_000) for each in customers]
    await place.publisher.publish([record_of(event) for event in events])
    async with running(place) as client:
        found = await asked(client, rule={**ANY_VISIT, "limits": {"repeat": "once"}}, overlap=False)
        whole = await until(client, found["id"], "failed", "finished")
    assert whole["state"] == "failed" and "than 16 MB hold" in whole["error"]
    assert 0 < whole["report"]["fires"] < 6_000


async def test_a_process_that_nobody_listens_to_ends(place: Place) -> None:
    await place.give(str(clock.new_id()), "visit")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.rules.backtest",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    await process.communicate(msgspec.json.encode(task_of(place, ANY_VISIT)) + b"\n")
    assert process.returncode == 1


async def test_whoever_is_erased_is_no_example_any_more_and_becomes_none_again(place: Place) -> None:
    stays, goes = str(clock.new_id()), str(clock.new_id())
    async with running(place) as client:
        for customer in (stays, goes):
            await place.give(customer, "visit")
        before_ms = clock.now_ms()
        found = await asked(client, rule=ANY_VISIT)
        whole = await until(client, found["id"], "finished")
        assert {each["customer_id"] for each in whole["examples"]} == {stays, goes}
        await place.give(goes, ERASED)
        async with asyncio.timeout(SECONDS_MAX):
            while len(whole["examples"]) > 1:
                whole = (await client.get(f"/v1/rules/backtests/{found['id']}")).json()
                await asyncio.sleep(0.05)
        again = await asked(client, rule=ANY_VISIT, to=clock.from_ms(before_ms).isoformat())
        whole = await until(client, again["id"], "finished")
    assert [each["customer_id"] for each in whole["examples"]] == [stays]
    assert whole["report"]["fires"] == 2, "that it would have fired stays true"


async def test_answers_are_kept_for_ninety_days(place: Place) -> None:
    async with running(place) as client:
        old, new = [(await asked(client, rule=ANY_VISIT))["id"] for _ in range(2)]
        for each in (old, new):
            await until(client, each, "finished")
        async with database(place) as connection:
            sql = "UPDATE backtest SET created_at = now() - $2::interval WHERE id = $1"
            await connection.execute(sql, UUID(old), timedelta(days=90, minutes=1))
            await connection.execute(sql, UUID(new), timedelta(days=89))
    async with running(place) as client:
        async with asyncio.timeout(SECONDS_MAX):
            while (await client.get(f"/v1/rules/backtests/{old}")).status_code != 404:
                await asyncio.sleep(0.05)
        assert (await client.get(f"/v1/rules/backtests/{new}")).status_code == 200


# --- the log ---------------------------------------------------------------------------------------------------------


async def read(place: Place, since_ms: int, until_ms: int) -> tuple[History, list[tuple[int, int, Received]]]:
    history = History(
        place.settings.kafka_bootstrap,
        prefix=place.settings.topic_prefix,
        name=EVENT_RESOLVED.name,
        partitions=UNITS,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    async with history:
        return history, [
            (append_ms, partition, message)
            async for chunk in history.chunks()
            for append_ms, partition, messages in chunk
            for message in messages
        ]


async def test_partitions_are_read_as_one_stream_in_the_order_of_appending(place: Place) -> None:
    customers = [next(each for each in map(str, range(99)) if unit_of(each) == unit) for unit in range(UNITS)]
    given = random.Random(1).choices(customers, k=30)
    assert len(set(given)) == UNITS
    instants = []
    for customer in given:
        await place.give(customer, "visit")
        _, entries = await read(place, 0, 1 << 50)
        instants.append(entries[-1][0])
        await asyncio.sleep(0.002)
    history, entries = await read(place, 0, 1 << 50)
    assert [partition for _, partition, _ in entries] == [unit_of(customer) for customer in given]
    assert (history.span.messages, history.span.log_begins_ms) == (30, instants[0])
    middle, last = instants[10], instants[20]
    _, between = await read(place, middle, last)
    assert [append_ms for append_ms, _, _ in between] == [each for each in instants if middle <= each < last]
    _, nothing = await read(place, instants[-1] + 1, 1 << 50)
    assert nothing == []


async def test_an_empty_log_is_an_answer(place: Place) -> None:
    async with running(place) as client:
        whole = await until(client, (await asked(client, rule=ANY_VISIT))["id"], "finished", "failed")
    assert (whole["state"], whole["report"]["fires"], whole["report"]["warnings"]) == ("finished", 0, [EMPTY])
