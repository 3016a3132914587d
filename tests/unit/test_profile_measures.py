"""Are counts, sums and preferences over days what the purchases say, whatever order they came in?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.clock import to_ms
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence, folding
from services.profile.person.folding import CHAPTERS
from services.profile.person.panes import NAMES_MAX, RUN_GAP_DAYS, extend
from services.profile.person.purchases import WINDOWS_DAYS
from services.profile.person.responses import RESPONSES
from services.profile.person.series import KEPT_DAYS, read

DEFINED = Definitions()
FIRST = datetime(2023, 1, 1, 3, tzinfo=UTC)
FIRST_DAY = FIRST.date().toordinal()
CHAPTER = {chapter.name: chapter for chapter in CHAPTERS}
MEASURED = ("presence", "purchases", "responses", "lifecycle", "rfm", "grade", "life_stage", "traits")


def on(day: int, minute: int = 0) -> int:
    """An instant on the day so many days after the first (Unix milliseconds)."""
    return to_ms(FIRST + timedelta(days=day, minutes=minute))


def event(kind: str, day: int, /, number: int = 0, **data: Any) -> Occurrence:
    circumstances = {name: data.pop(name) for name in ("channel", "branch", "source", "traffic") if name in data}
    if "channel" in circumstances and kind.startswith("message."):
        data["channel"] = circumstances["channel"]
    return Occurrence(
        kind, on(day, number), id=f"{kind}-{day}-{number}", data=data, **{"source": "test", **circumstances}
    )


def folded(events: Sequence[Occurrence], definitions: Definitions = DEFINED) -> Customer:
    customer = Customer("p")
    for each in events:
        person.apply(customer, each, definitions)
    customer.version = 0
    return customer


def moment(day: int, definitions: Definitions = DEFINED) -> Moment:
    return Moment(FIRST_DAY + day, definitions)


def fields(records: Sequence[Customer], day: int, *names: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name in names or MEASURED:
        seen |= CHAPTER[name].fields(list(records), moment(day))
    return seen


def purchases(chance: random.Random, count: int) -> list[Occurrence]:
    """Purchases and refunds, most of them near one another, some of them odd."""
    return [
        event(
            chance.choice(["purchase", "purchase", "purchase", "refund"]),
            chance.choice([chance.randint(0, 1_200), chance.randint(1_100, 1_200)]),
            number,
            amount=chance.choice([chance.randint(-5, 2_000_000), f"{chance.random() * 9_999:.2f}", *_ODD])
            if chance.random() < 0.9
            else chance.random() * 1e6,
            currency=chance.choice(["KRW", "KRW", "KRW", "USD", "won"]),
            items=[{"category": chance.choice(["tea", "cake", "cup", None, 5])} for _ in range(chance.randint(0, 3))],
            branch=chance.choice(["gangnam", "mapo", ""]),
            channel=chance.choice(["pos", "web"]),
            traffic=chance.choice(["", "", "", "", "bot"]),
        )
        for number in range(count)
    ]


_ODD = [450_000, 2_500_000, "much", None, 10**16]


def others(chance: random.Random, count: int) -> list[Occurrence]:
    """Whatever else a profile is made of."""
    found = []
    for number in range(600, 600 + count):
        kind = chance.choice(
            ["visit", "identify", "message.accepted", "message.clicked", "offer.accepted", "life.move"]
        )
        kind = chance.choice([kind, "life.marriage", "profile.changed"])
        said = {"life_stage": chance.choice(["single", "family", "married", None])} if chance.random() < 0.7 else {}
        source = chance.choice(["crm", "web", "dangol/api/a", "dangol/rules/r"])
        day = chance.randint(0, 1_200)
        if kind == "life.marriage":
            said = {"on": date.fromordinal(FIRST_DAY + day + chance.randint(-50, 400)).isoformat()}
        channel = chance.choice(["email", "sms", "web"])
        found.append(event(kind, day, number % 620, channel=channel, source=source, **said))
    return found


def history(seed: int) -> list[Occurrence]:
    chance = random.Random(seed)
    found = purchases(chance, chance.randint(0, 14)) + others(chance, chance.randint(0, 8))
    chance.shuffle(found)
    return found


SEEDS = st.integers(0, 2**32)


@settings(max_examples=1_000, deadline=None)
@given(SEEDS)
def test_the_state_and_every_view_are_the_same_in_whatever_order_events_came(seed: int) -> None:
    events = history(seed)
    chance = random.Random(seed + 1)
    shuffled, day = list(events), chance.randint(1_200, 2_400)
    chance.shuffle(shuffled)
    one, other = folded(events), folded(shuffled)
    assert one == other
    assert fields([one], day) == fields([other], day)
    for name in MEASURED:
        shown = CHAPTER[name].shown
        assert shown is None or shown([one], moment(day)) == shown([other], moment(day))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Customer) == one


@settings(max_examples=1_000, deadline=None)
@given(SEEDS)
def test_a_person_of_two_records_looks_like_one_record_with_everything(seed: int) -> None:
    events = history(seed)
    chance = random.Random(seed + 1)
    sided = [(each, chance.random() < 0.5) for each in events]
    day = chance.randint(1_200, 2_400)
    parts = [folded([each for each, left in sided if left is wanted]) for wanted in (True, False)]
    whole = folded(events)
    assert fields(parts, day) == fields(parts[::-1], day) == fields([whole], day)
    for name in MEASURED:
        assert CHAPTER[name].due(parts, moment(day)) == CHAPTER[name].due([whole], moment(day)), name


def money(data: Mapping[str, Any]) -> tuple[str, Decimal] | None:
    """What the oracle takes for money, by its own reckoning."""
    amount, currency = data["amount"], data["currency"]
    if currency not in ("KRW", "USD") or amount == "much":
        return None
    made = Decimal(str(amount or 0))
    return (currency, round(made, 9)) if abs(made) <= 10**15 else None


def expected(events: list[Occurrence], day: int) -> dict[str, Any]:
    """Everything from all events each time, day by day."""
    real = [each for each in events if not each.traffic and each.type in ("purchase", "refund")]
    bought = [each for each in real if each.type == "purchase"]
    day = max(
        [day, *((each.at_ms - on(0)) // 86_400_000 for each in real if each.type == "purchase" or money(each.data))]
    )
    seen: dict[str, Any] = {"purchase_count": len(bought)}
    paid: dict[str, list[tuple[int, Decimal]]] = {}
    priced = Counter[str]()
    for each in real:
        found = money(each.data)
        if found is not None:
            currency, amount = found
            counts = each.type == "purchase"
            priced[currency] += counts
            when = (each.at_ms - on(0)) // 86_400_000
            paid.setdefault(currency, []).append((when, amount if counts else -abs(amount)))
    for length in WINDOWS_DAYS:
        inside = [each for each in bought if (each.at_ms - on(0)) // 86_400_000 > day - length]
        seen[f"purchase_count_{length}d"] = len(inside)
    for currency, amounts in paid.items():
        name = currency.lower()
        seen[f"spent_{name}"] = float(sum(amount for _, amount in amounts))
        for length in WINDOWS_DAYS:
            seen[f"spent_{name}_{length}d"] = float(sum(amount for when, amount in amounts if when > day - length))
        if priced[currency]:
            seen[f"basket_average_{name}"] = round(seen[f"spent_{name}"] / priced[currency], 2)
    return seen | preferred(bought)


def preferred(bought: list[Occurrence]) -> dict[str, Any]:
    if not bought:
        return {}
    categories = Counter(
        name for each in bought for name in {item["category"] for item in each.data["items"]} if isinstance(name, str)
    )
    counts = {
        "favourite_branch": Counter(each.branch for each in bought if each.branch),
        "favourite_channel": Counter(each.channel for each in bought),
        "favourite_category": categories,
    }
    return {name: min(found, key=lambda each: (-found[each], each)) for name, found in counts.items() if found}


@settings(max_examples=1_000, deadline=None)
@given(SEEDS)
def test_what_is_kept_in_panes_equals_what_is_counted_from_all_events(seed: int) -> None:
    chance = random.Random(seed)
    events, day = purchases(chance, chance.randint(0, 30)), chance.randint(1_100, 1_600)
    seen = fields([folded(events)], day, "purchases")
    for name in ("first_purchase_at", "last_purchase_at"):
        seen.pop(name, None)
    wanted = expected(events, day)
    assert seen.keys() == wanted.keys()
    for name, value in wanted.items():
        assert seen[name] == pytest.approx(value, abs=1e-6), name


def test_a_refund_counts_on_its_own_day_whatever_order_it_names() -> None:
    seen = folded(
        [
            event("purchase", 0, amount=1000, currency="KRW", order="o-1"),
            event("refund", 20, amount=400, currency="KRW", order="o-1"),
        ]
    )
    assert fields([seen], 20)["spent_krw_7d"] == -400.0
    assert fields([seen], 20)["spent_krw_30d"] == 600.0
    assert fields([seen], 31)["spent_krw_30d"] == -400.0
    assert (fields([seen], 31)["spent_krw"], fields([seen], 31)["purchase_count"]) == (600.0, 1)


@pytest.mark.parametrize("amount", [400, -400, "400.00", -400.0])
def test_a_refund_takes_away_however_its_sign_was_meant(amount: Any) -> None:
    seen = folded(
        [event("purchase", 0, amount=1000, currency="KRW"), event("refund", 1, amount=amount, currency="KRW")]
    )
    assert fields([seen], 1)["spent_krw"] == 600.0


def test_a_window_holds_the_day_that_is_looked_at_and_so_many_in_all() -> None:
    seen = folded([event("purchase", 10, amount=5, currency="KRW")])
    assert [fields([seen], day)["purchase_count_7d"] for day in (10, 16, 17)] == [1, 1, 0]


def test_sums_are_exact_however_small_the_parts() -> None:
    seen = folded([event("purchase", 1, n, amount="0.10", currency="USD") for n in range(30)])
    shown = CHAPTER["purchases"].shown
    assert shown is not None
    account = shown([seen], moment(1))["currencies"]["USD"]
    assert (account["spent"], account["windows"]["7d"]) == ("3.00", {"count": 30, "spent": "3.00"})


def test_sums_that_no_integer_of_the_database_holds_are_kept_and_written() -> None:
    seen = folded([event("purchase", 1, n % 1000, amount=10**15, currency="KRW") for n in range(10_000)])
    assert seen.purchases is not None
    assert seen.purchases.money["KRW"].total == 10**19
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=Customer) == seen


@pytest.mark.parametrize("traffic", ["bot", "test"])
def test_what_machines_and_tests_do_counts_for_nothing(traffic: str) -> None:
    events = [
        event(kind, 1, traffic=traffic, amount=5, currency="KRW", channel="email")
        for kind in ("purchase", "refund", "visit", "message.clicked")
    ]
    seen = fields([folded(events)], 1)
    assert seen["purchase_count"] == 0
    assert not {"first_seen_at", "spent_krw", "lifecycle", "click_count", "last_purchase_at"} & seen.keys()


def test_state_stays_small_for_a_customer_with_a_hundred_thousand_events() -> None:
    chance = random.Random(7)
    customer = Customer("p")
    for number in range(20_000):
        found = event(
            "purchase",
            chance.randint(0, 5_000),
            number % 600,
            amount=chance.randint(1, 99_999),
            currency="KRW",
            branch=f"b-{chance.randint(0, 500)}",
            items=[{"category": f"c-{chance.randint(0, 5_000)}"}],
        )
        person.apply(customer, found, DEFINED)
    held = customer.purchases
    assert held is not None
    assert len(read(held.money["KRW"].days)) <= KEPT_DAYS
    assert max(len(held.branches), len(held.categories)) <= NAMES_MAX
    assert len(msgspec.msgpack.encode(customer)) < 20_000


def test_too_many_names_leave_the_same_ones_counted_in_whatever_order() -> None:
    events = [event("purchase", 1, n, branch=f"b-{n % 90}", amount=1, currency="KRW") for n in range(270)]
    one, other = folded(events), folded(events[::-1])
    assert one == other
    assert one.purchases is not None
    assert set(one.purchases.branches.values()) == {3} and len(one.purchases.branches) == NAMES_MAX


@settings(max_examples=500)
@given(st.lists(st.integers(730_000, 730_400), min_size=1, max_size=60))
def test_runs_are_the_days_of_purchases_joined_where_they_lie_close(days: list[int]) -> None:
    runs: list[int] = []
    for day in days:
        extend(runs, day)
    wanted: list[int] = []
    for day in sorted(set(days)):
        if wanted and day - wanted[-1] < RUN_GAP_DAYS:
            wanted[-1] = day
        else:
            wanted += (day, day)
    assert runs == wanted


def test_contacts_and_responses_are_counted_by_channel() -> None:
    seen = folded(
        [
            event("message.accepted", 1, channel="email"),
            event("message.accepted", 2, channel="sms"),
            event("message.opened", 2, channel="email"),
            event("message.clicked", 3, channel="email"),
            event("coupon.redeemed", 4, channel="pos", coupon="c"),
        ]
    )
    found = RESPONSES.fields([seen], moment(9))
    assert {name: value for name, value in found.items() if not name.startswith("last_")} == {
        "contact_count": 2,
        "open_count": 1,
        "click_count": 1,
        "response_count": 2,
        "contact_count_email": 1,
        "contact_count_sms": 1,
        "response_count_email": 1,
        "response_count_other": 1,
    }
    assert to_ms(found["last_contact_at"]) == on(2)
    assert to_ms(found["last_response_at"]) == on(4)


def test_sums_over_days_are_seen_anew_each_day_and_wake_nobody() -> None:
    index = CHAPTERS.index(CHAPTER["purchases"])
    assert folding.AGES[index]
    seen = folded([event("purchase", 1, amount=5, currency="KRW")])
    assert CHAPTER["purchases"].due([seen], moment(1)) is None
    assert "days_since_purchase" not in fields([seen], 9)
    shown = CHAPTER["purchases"].shown
    assert shown is not None and shown([seen], moment(9))["days_since_purchase"] == 8
