"""Do points add up on the real service, whoever spends them at once, and are they told, once, to all who look?"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventReceived
from libs.common.topics import partition_of
from services.profile import holding
from services.profile.person import Customer
from services.profile.person.points import Points
from tests.profile_place import UNITS, Profile, happened, running

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


def earned(
    points: int, /, at: datetime | None = None, expires_on: str | None = None, **identifiers: str
) -> EventReceived:
    data: dict[str, Any] = {"points": points, "business_unit": "bakery"}
    return happened("points.earned", data | ({"expires_on": expires_on} if expires_on else {}), at=at, **identifiers)


def spent(points: int, /, at: datetime | None = None, **identifiers: str) -> EventReceived:
    return happened("points.spent", {"points": points, "business_unit": "store"}, at=at, **identifiers)


async def id_of(profile: Profile, key: str) -> str:
    found = await profile.until(key, lambda c: True)
    return str(found["customer_id"])


async def balance(profile: Profile, customer_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await profile.told("GET", f"/v1/customers/{customer_id}/points")
    return found


async def until(profile: Profile, customer_id: str, **wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            found = await balance(profile, customer_id)
            if all(found[name] == value for name, value in wanted.items()):
                return found
            await asyncio.sleep(0.05)


async def two_cards_of_one_person(profile: Profile, one: int = 600, other: int = 800) -> tuple[str, str]:
    """Two records in two units, which then prove to be one person; their points were earned before."""
    [pair] = await people_with_two_cards(profile, 1, one, other)
    return pair


async def people_with_two_cards(profile: Profile, count: int, one: int, other: int) -> list[tuple[str, str]]:
    names = [f"c{n}" for n in range(10 + 6 * count)]
    await profile.send(*[happened("visit", loyalty_card=name) for name in names])
    ids = {name: await id_of(profile, f"loyalty_card:{name}") for name in names}
    in_unit = [[name for name in names if partition_of(ids[name].encode(), UNITS) == unit] for unit in (0, 1)]
    pairs = list(zip(*in_unit, strict=False))[:count]
    assert len(pairs) == count
    await profile.send(*[earned(one, loyalty_card=first) for first, _ in pairs])
    await profile.send(*[earned(other, loyalty_card=second) for _, second in pairs])
    for first, second in pairs:
        await until(profile, ids[first], balance=one)
        await until(profile, ids[second], balance=other)
        await profile.told("POST", f"/v1/customers/{ids[first]}/merge", {"with": ids[second], "reason": "one person"})
    found = [(ids[first], ids[second]) for first, second in pairs]
    for pair in found:
        for customer_id in pair:
            await knows_records(profile, customer_id, 2)
    return found


async def knows_records(profile: Profile, customer_id: str, count: int) -> None:
    """Wait until the record's own unit knows of so many records of the person."""
    async with asyncio.timeout(60):
        while len((await state_of(profile, customer_id)).linked or [customer_id]) != count:
            await asyncio.sleep(0.05)


async def state_of(profile: Profile, customer_id: str) -> Customer:
    """The state of a record, which may be identified a moment before anything is kept of it."""
    async with asyncio.timeout(60):
        while True:
            body = await profile.connection.fetchval("SELECT body FROM customer WHERE customer_id = $1", customer_id)
            if body is not None:
                return holding.restored(body)
            await asyncio.sleep(0.05)


async def audit(profile: Profile) -> None:
    """What a bookkeeper finds in the tables: lots, accounts, postings, totals and liabilities say the same."""
    query = profile.connection.fetchval
    assert await query("SELECT count(*) FROM points_lot WHERE left_points < 0 OR expired < 0") == 0
    assert (
        await query(
            """
        SELECT count(*) FROM points_lot FULL JOIN (
            SELECT customer_id, expires_on, business_unit, sum(points) AS points FROM points_posting GROUP BY 1, 2, 3
        ) AS p USING (customer_id, expires_on, business_unit)
        WHERE coalesce(left_points, 0) <> coalesce(points, 0)
        """
        )
        == 0
    )
    assert (
        await query(
            """
        SELECT count(*) FROM points_account a WHERE balance <> coalesce(
            (SELECT sum(left_points) FROM points_lot l WHERE l.customer_id = a.customer_id), 0)
        """
        )
        == 0
    )
    assert (
        await query(
            "SELECT count(*) FROM points_entry e WHERE moved <>"
            " coalesce((SELECT sum(points) FROM points_posting p WHERE p.entry_id = e.entry_id), 0)"
        )
        == 0
    )
    outstanding = await query("SELECT coalesce(sum(left_points), 0) FROM points_lot")
    assert await query("SELECT coalesce(sum(points), 0) FROM points_total") == outstanding
    assert await query("SELECT coalesce(sum(points), 0) FROM points_liability") == outstanding


async def spend(profile: Profile, customer_id: str, points: int, key: str = "") -> int:
    body = {"kind": "spend", "points": points, "business_unit": "store"}
    headers = {"Idempotency-Key": key or str(clock.new_id())}
    while True:
        answer = await profile.asked("POST", f"/v1/customers/{customer_id}/points", body, role="agent", headers=headers)
        # Not seen in time: with its key it is asked again, and happens once.
        if answer.status_code != 503:
            return answer.status_code


async def test_points_come_and_go_by_events_and_every_effect_is_told(profile: Profile) -> None:
    await profile.send(earned(450, loyalty_card="c"))
    customer_id = await id_of(profile, "loyalty_card:c")
    await until(profile, customer_id, balance=450)
    first = spent(300, loyalty_card="c")
    await profile.send(first, first)
    await profile.send(first, earned(1, loyalty_card="c"))
    found = await until(profile, customer_id, balance=151)
    assert found["by_business_unit"] == {"bakery": 151}
    seen = await profile.until("loyalty_card:c", lambda c: c["profile"].get("points_balance") == 151)
    assert seen["profile"]["points_earned_365d"] == 451 and seen["points"]["owed"] == 0
    told = [(each.type, each.changed["points_balance"]) for each in await profile.resolved()]
    assert [(kind, change.was, change.now) for kind, change in told] == [
        ("points.earned", None, 450),
        ("points.spent", 450, 150),
        ("points.earned", 150, 151),
    ]
    await audit(profile)


async def test_two_cards_of_one_person_that_spend_at_once_never_spend_the_same_points(profile: Profile) -> None:
    one, other = await two_cards_of_one_person(profile)
    answers = await asyncio.gather(*[spend(profile, (one, other)[n % 2], 90, key=f"k-{n}") for n in range(40)])
    assert answers.count(201) == 1400 // 90
    assert answers.count(409) == 40 - 1400 // 90
    found = await balance(profile, one)
    assert found["balance"] == 1400 - 90 * (1400 // 90) and found["owed"] == 0
    await audit(profile)
    again = await asyncio.gather(*[spend(profile, (one, other)[n % 2], 90, key=f"k-{n}") for n in range(40)])
    assert again == answers
    assert (await balance(profile, one)) == found


async def test_a_spend_from_the_other_card_is_seen_everywhere_and_stays_where_it_was_taken(profile: Profile) -> None:
    one, other = await two_cards_of_one_person(profile, 100, 500)
    assert await spend(profile, one, 550) == 201
    found = await balance(profile, other)
    assert (found["balance"], found["by_record"]) == (50, {other: 50})
    [told] = [each for each in await profile.resolved() if each.type == "points.spent"]
    assert (told.customer_id, told.changed["points_balance"].was, told.changed["points_balance"].now) == (one, 600, 50)
    # The unit of the other card writes its record again, so that each has its own when they are taken apart.
    async with asyncio.timeout(10):
        while await own_balance(profile, other) != 50:
            await asyncio.sleep(0.05)
    assert await own_balance(profile, one) == 0
    ledger = await profile.told("GET", f"/v1/customers/{other}/points/ledger")
    assert [(each["kind"], each["moved"]) for each in ledger["items"]][0] == ("spend", -550)
    assert sorted(each["moved"] for each in ledger["items"]) == [-550, 100, 500]
    told_of = [each.type for each in await profile.resolved() if "points_balance" in each.changed]
    assert sorted(each for each in told_of if each != "profile.linked") == ["points.earned"] * 2 + ["points.spent"]
    await audit(profile)


async def own_balance(profile: Profile, customer_id: str) -> int:
    points = (await state_of(profile, customer_id)).points
    return points.balance if points is not None else 0


async def test_taken_apart_again_each_has_what_is_its_own(profile: Profile) -> None:
    one, other = await two_cards_of_one_person(profile, 100, 500)
    assert await spend(profile, one, 250) == 201
    await profile.told("POST", f"/v1/customers/{one}/unmerge", {"records": [other], "reason": "two after all"})
    for customer_id in (one, other):
        await knows_records(profile, customer_id, 1)
    alone, parted = await balance(profile, one), await balance(profile, other)
    assert (alone["balance"], parted["balance"]) == (0, 350)
    assert await spend(profile, one, 1) == 409
    assert await spend(profile, other, 350) == 201
    for customer_id in (one, other):
        seen = await profile.told("GET", f"/v1/customers/{customer_id}")
        assert seen["profile"]["points_balance"] == 0
    await audit(profile)


async def test_what_is_given_back_after_people_were_taken_apart_is_again_whose_it_was(profile: Profile) -> None:
    one, other = await two_cards_of_one_person(profile, 100, 500)
    purchase = spent(250, customer_id=one)
    await profile.send(purchase)
    await until(profile, one, balance=350)
    await profile.told("POST", f"/v1/customers/{one}/unmerge", {"records": [other], "reason": "two after all"})
    for customer_id in (one, other):
        await knows_records(profile, customer_id, 1)
    await profile.send(happened("points.reversed", {"event": purchase.id}, customer_id=one))
    await until(profile, one, balance=100)
    assert (await balance(profile, other))["balance"] == 500
    async with asyncio.timeout(20):
        while await own_balance(profile, other) != 500:
            await asyncio.sleep(0.05)
    ledger = await profile.told("GET", f"/v1/customers/{other}/points/ledger")
    moved = {each["kind"]: [posting["points"] for posting in each["postings"]] for each in ledger["items"]}
    assert moved == {"earn": [500], "spend": [-150], "reverse": [150]}
    await audit(profile)
    # Of somebody who is erased meanwhile nothing can come back.
    again = spent(80, customer_id=one)
    await profile.send(again)
    await until(profile, one, balance=20)
    await profile.told("POST", f"/v1/customers/{other}/erase", {"reason": "x", "request_id": "r"}, role="privacy")
    async with asyncio.timeout(20):
        while (await profile.told("GET", "/v1/points/summary"))["outstanding"] != 20:
            await asyncio.sleep(0.05)
    await profile.send(happened("points.reversed", {"event": again.id}, customer_id=one))
    await until(profile, one, balance=100)
    assert (await profile.told("GET", "/v1/points/summary"))["outstanding"] == 100


async def test_a_record_that_is_seen_as_its_account_is_is_written_though_nothing_happened_to_it(
    profile: Profile,
) -> None:
    """Two records of one unit: what another unit has spent of the second one is noticed with an event of the first."""
    first, second = await two_cards_of_one_unit(profile)
    row = await profile.connection.fetchval("SELECT summary FROM points_account WHERE customer_id = $1", second)
    summary = msgspec.structs.replace(msgspec.msgpack.decode(row, type=Points), balance=7)
    await profile.connection.execute(
        "UPDATE points_account SET balance = 7, summary = $2 WHERE customer_id = $1",
        second,
        msgspec.msgpack.encode(summary),
    )
    await profile.send(happened("visit", {"page": "noticed"}, customer_id=first))
    async with asyncio.timeout(20):
        while not await profile.connection.fetchval("SELECT count(*) FROM timeline WHERE body LIKE '%noticed%'::bytea"):
            await asyncio.sleep(0.05)
    assert await own_balance(profile, second) == 7


async def two_cards_of_one_unit(profile: Profile) -> tuple[str, str]:
    names = [f"c{n}" for n in range(UNITS + 1)]
    await profile.send(*[earned(100, loyalty_card=name) for name in names])
    ids = [await id_of(profile, f"loyalty_card:{name}") for name in names]
    first, second = next(
        pair
        for pair in itertools.combinations(ids, 2)
        if len({partition_of(each.encode(), UNITS) for each in pair}) == 1
    )
    await profile.told("POST", f"/v1/customers/{first}/merge", {"with": second, "reason": "one person"})
    for customer_id in (first, second):
        await knows_records(profile, customer_id, 2)
        assert await own_balance(profile, customer_id) == 100
    return first, second


async def test_a_hundred_spends_that_never_came_true_do_not_keep_one_of_today_from_its_points(profile: Profile) -> None:
    spends = [spent(1_000_000, loyalty_card="c") for _ in range(120)]
    await profile.send(*spends)
    customer_id = await id_of(profile, "loyalty_card:c")
    await opens(profile, customer_id, 120)
    await profile.connection.execute("UPDATE points_open SET until_on = '2020-01-01'")
    await profile.send(spent(300, loyalty_card="c"))
    await opens(profile, customer_id, 121)
    await profile.send(earned(450, loyalty_card="c"))
    await until(profile, customer_id, balance=150)
    await audit(profile)


async def opens(profile: Profile, customer_id: str, count: int) -> None:
    query = "SELECT count(*) FROM points_open WHERE customer_id = $1 AND state = 'open'"
    async with asyncio.timeout(20):
        while await profile.connection.fetchval(query, customer_id) != count:
            await asyncio.sleep(0.05)


async def test_many_people_spend_at_once_by_both_cards_and_by_events_and_all_is_accounted_for(
    profile: Profile,
) -> None:
    people = await people_with_two_cards(profile, 6, 300, 400)
    cards = [card for pair in people for card in pair]
    orders = [spend(profile, cards[n % len(cards)], 40, key=f"k-{n}") for n in range(150)]
    events = [spent(40, customer_id=cards[n % len(cards)]) for n in range(48)]
    answers, _ = await asyncio.gather(asyncio.gather(*orders), profile.send(*events))
    async with asyncio.timeout(20):
        while (
            await profile.connection.fetchval("SELECT count(*) FROM points_entry WHERE actor = $1", "store-1/pos-1")
            < 12 + 48
        ):
            await asyncio.sleep(0.1)
    left = [(await balance(profile, one))["balance"] for one, _ in people]
    assert all(0 <= each < 40 for each in left)
    taken = await profile.connection.fetchval("SELECT -sum(moved) FROM points_entry WHERE kind = 'spend'")
    assert taken == 6 * 700 - sum(left)
    by_events = await profile.connection.fetchval(
        "SELECT count(*) FROM points_entry WHERE kind = 'spend' AND status = 'done' AND actor = $1", "store-1/pos-1"
    )
    assert answers.count(201) + by_events == taken // 40
    await audit(profile)


async def test_a_spend_before_its_points_waits_and_is_listed_until_they_come(profile: Profile) -> None:
    await profile.send(spent(300, loyalty_card="c"))
    customer_id = await id_of(profile, "loyalty_card:c")
    await until(profile, customer_id, balance=0, owed=300)
    listed = await profile.told("GET", "/v1/points/discrepancies")
    assert [(each["kind"], each["points"], each["state"]) for each in listed["items"]] == [("spend", 300, "open")]
    await profile.send(earned(450, loyalty_card="c"))
    await until(profile, customer_id, balance=150, owed=0)
    assert not (await profile.told("GET", "/v1/points/discrepancies"))["items"]
    settled = await profile.told("GET", "/v1/points/discrepancies", state="settled")
    ledger = (await profile.told("GET", f"/v1/customers/{customer_id}/points/ledger"))["items"]
    assert [each["settles"] for each in ledger if each["settles"]] == [settled["items"][0]["entry_id"]]
    await audit(profile)


async def test_an_earn_that_is_taken_back_after_it_was_spent_leaves_a_debt_that_can_be_written_off(
    profile: Profile,
) -> None:
    first = earned(450, loyalty_card="c")
    await profile.send(first, spent(400, loyalty_card="c"))
    customer_id = await id_of(profile, "loyalty_card:c")
    await until(profile, customer_id, balance=50)
    await profile.send(happened("points.reversed", {"event": first.id}, loyalty_card="c"))
    await until(profile, customer_id, balance=0, owed=400)
    [debt] = (await profile.told("GET", "/v1/points/discrepancies"))["items"]
    path = f"/v1/points/discrepancies/{debt['entry_id']}/settle"
    done = await profile.told("POST", path, {"reason": "goodwill"}, role="operator")
    assert (done["state"], done["note"]) == ("written_off", "goodwill")
    await profile.told("POST", path, {"reason": "goodwill"}, role="operator")
    await until(profile, customer_id, balance=0, owed=0)
    await audit(profile)


async def test_points_end_with_their_day_and_rules_hear_of_it(profile: Profile) -> None:
    yesterday = (clock.now().astimezone(SEOUL) - timedelta(days=1)).date().isoformat()
    long_ago = clock.now() - timedelta(days=20)
    await profile.send(earned(70, at=long_ago, expires_on=yesterday, loyalty_card="c"), earned(5, loyalty_card="c"))
    customer_id = await id_of(profile, "loyalty_card:c")
    await until(profile, customer_id, balance=5)
    await profile.until("loyalty_card:c", lambda c: c["profile"].get("points_balance") == 5)
    gone = [each for each in await profile.resolved() if each.type == "points.expired"]
    assert [(each.changed["points_balance"].was, each.changed["points_balance"].now) for each in gone] == [(75, 5)]
    assert gone[0].time.astimezone(SEOUL).hour == 0
    # A spend of before that is told now finds what was written off.
    await profile.send(spent(60, at=clock.now() - timedelta(days=3), loyalty_card="c"))
    async with asyncio.timeout(20):
        while (await profile.told("GET", f"/v1/customers/{customer_id}/points/ledger"))["items"][0]["kind"] != "spend":
            await asyncio.sleep(0.05)
    ledger = (await profile.told("GET", f"/v1/customers/{customer_id}/points/ledger"))["items"]
    assert (ledger[0]["status"], ledger[0]["moved"]) == ("done", 0)
    await audit(profile)


async def test_the_api_gives_takes_and_reverses_once_by_its_key(profile: Profile) -> None:
    await profile.send(happened("visit", loyalty_card="c"))
    customer_id = await id_of(profile, "loyalty_card:c")
    path = f"/v1/customers/{customer_id}/points"
    gift = {"kind": "adjust", "points": 100, "business_unit": "bakery", "reason": "the till was down"}
    first = await profile.asked("POST", path, gift, role="operator", headers={"Idempotency-Key": "k1"})
    again = await profile.asked("POST", path, gift, role="operator", headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() and first.json()["balance"] == 100
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await profile.asked("POST", path, gift | {"points": 99}, role="operator", headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422
    short = await profile.asked("POST", path, {"kind": "spend", "points": 101}, role="agent")
    assert short.status_code == 409 and "the balance is 100" in short.json()["detail"]
    undo = {"kind": "reverse", "entry": first.json()["entry"]["entry_id"]}
    assert (await profile.told("POST", path, undo, role="agent"))["balance"] == 0
    assert (await profile.asked("POST", path, undo, role="agent")).status_code == 409
    await audit(profile)


NONSENSE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"kind": "spend"}, "#/points"),
    ({"kind": "earn", "points": -1}, "#/points"),
    ({"kind": "adjust", "points": 5}, "#/reason"),
    ({"kind": "reverse"}, "#/entry"),
    ({"kind": "spend", "points": 5, "expires_on": "2027-01-01"}, "#/expires_on"),
    ({"kind": "spend", "points": 5, "colour": "red"}, "#/colour"),
)


async def test_what_makes_no_sense_is_refused_with_its_place(profile: Profile) -> None:
    for body, pointer in NONSENSE:
        answer = await profile.asked("POST", f"/v1/customers/{clock.new_id()}/points", body, role="agent")
        assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, [pointer])
    unknown = await profile.asked(
        "POST", f"/v1/customers/{clock.new_id()}/points", {"kind": "spend", "points": 5}, role="agent"
    )
    assert unknown.status_code == 404


async def test_the_company_sees_what_each_business_unit_owes(profile: Profile) -> None:
    await profile.send(
        earned(450, loyalty_card="a", expires_on="2031-05-31"),
        earned(30, loyalty_card="b"),
        spent(50, loyalty_card="a"),
    )
    await until(profile, await id_of(profile, "loyalty_card:a"), balance=400)
    await until(profile, await id_of(profile, "loyalty_card:b"), balance=30)
    found = await profile.told("GET", "/v1/points/summary", role="viewer")
    assert found == {
        "outstanding": 430,
        "business_units": [
            {
                "business_unit": "bakery",
                "outstanding": 430,
                "moved": {"earn": 480, "spend": -50},
                "spent_at": {"store": 50},
                "expires": {"2031-05": 400, "never": 30},
            }
        ],
    }


async def test_a_long_ledger_is_read_page_by_page(profile: Profile) -> None:
    await profile.send(*[earned(n + 1, loyalty_card="c") for n in range(25)])
    customer_id = await id_of(profile, "loyalty_card:c")
    await until(profile, customer_id, balance=25 * 13)
    seen: list[int] = []
    cursor = None
    while True:
        query = {"limit": 10} | ({"cursor": cursor} if cursor else {})
        page = await profile.told("GET", f"/v1/customers/{customer_id}/points/ledger", **query)
        seen += [each["points"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == list(range(1, 26))


async def test_a_refold_leaves_the_points_alone(profile: Profile) -> None:
    await profile.send(earned(450, loyalty_card="c"), spent(50, loyalty_card="c"))
    customer_id = await id_of(profile, "loyalty_card:c")
    await until(profile, customer_id, balance=400)
    answer = await profile.asked("POST", f"/v1/customers/{customer_id}/refold", {}, role="operator")
    assert answer.status_code < 300, answer.text
    seen = await profile.until("loyalty_card:c", lambda c: True)
    assert seen["profile"]["points_balance"] == 400


async def test_what_an_erased_customer_had_is_owed_to_nobody(profile: Profile) -> None:
    await profile.send(earned(450, expires_on="2031-05-31", loyalty_card="a"), earned(30, loyalty_card="b"))
    gone = await id_of(profile, "loyalty_card:a")
    await until(profile, gone, balance=450)
    await until(profile, await id_of(profile, "loyalty_card:b"), balance=30)
    body = {"reason": "asked for it", "request_id": "r-1"}
    await profile.told("POST", f"/v1/customers/{gone}/erase", body, role="privacy")
    async with asyncio.timeout(20):
        while (found := await profile.told("GET", "/v1/points/summary"))["outstanding"] != 30:
            await asyncio.sleep(0.1)
    assert found["business_units"][0]["moved"] == {"earn": 480, "erase": -450}
    assert found["business_units"][0]["expires"] == {"never": 30}
    async with asyncio.timeout(20):
        while await profile.connection.fetchval("SELECT count(*) FROM points_posting WHERE customer_id = $1", gone):
            await asyncio.sleep(0.1)
