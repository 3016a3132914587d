"""Is a person recognised wherever they are named, and nobody else taken for them?"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec
import pytest

from libs.common import clock
from libs.common.db import Database
from libs.common.errors import StoreAway
from libs.common.kafka import Publisher, Record
from services.profile.holding import hold
from services.profile.person import Customer, Definitions, Moment, Occurrence, without_contact_data
from services.profile.person.contacts import Contacts, Point
from services.profile.person.erased import CAME_BACK, ERASED_BEFORE, Erased
from services.profile.person.private import folded
from services.profile.person.telling import historian, may_reach, may_tell, needles_of, telltale_of, without_telling
from services.profile.person.traits import Trait, Traits
from services.profile.privacy import sweeping, trail
from services.profile.privacy.auditing import Auditor
from services.profile.privacy.marks import Marks
from services.profile.privacy.sweeping import Sweeper, said_in
from services.profile.privacy.trail import Trail, _clues_of, _text, finder, trail_of
from services.profile.resolving import _scrubbed
from services.profile.store.audit import Entry

SECRET = "one secret of at least thirty-two signs"
DEFINITIONS = Definitions()


def customer() -> Customer:
    made = Customer("c")
    traits = {"firstName": "김민아", "address": 'Blue "House" 7', "city": "Seoul"}
    made.traits = Traits({name: Trait(value, 1) for name, value in traits.items()})
    made.contacts = Contacts({"phone": Point(1, "+821088237745"), "email": Point(1, "mina.kim@mail.example")})
    return made


def history(data: Any, *, raw: bytes | None = None) -> Any:
    """What becomes of an event's data on its way into the history."""
    event = Occurrence("inquiry", 1, "s", identifiers={"loyalty_card": "88010417"})
    encoded = raw if raw is not None else msgspec.json.encode(data)
    return json.loads(bytes(_scrubbed(msgspec.Raw(encoded), hold("c", customer()), event, ())))


@pytest.mark.parametrize(
    "text",
    [
        "김민아님이 전화했다",
        "call 010-8823-7745 today",
        "call +82 10 8823 7745",
        "01088237745",
        "Mina.Kim@Mail.Example asks",
        "card 8801-0417",
        'lives in blue "house" 7',
        "another.person@mail.example",
    ],
)
def test_a_text_that_names_or_reaches_the_person_does_not_become_history(text: str) -> None:
    data = {"topic": "seed", "text": text, "list": [text, "tea"], "deep": {"er": [{"note": text, "size": 3}]}}
    assert history(data) == {"topic": "seed", "list": ["tea"], "deep": {"er": [{"size": 3}]}}


def test_a_name_behind_escapes_is_found_as_well() -> None:
    raw = json.dumps({"text": "김민아 wants seed", "size": 3}, ensure_ascii=True).encode()
    assert b"\\u" in raw
    assert history(None, raw=raw) == {"size": 3}


@pytest.mark.parametrize(
    "data",
    [
        {"amount": 45_000, "currency": "KRW", "items": [{"sku": "A-7745", "title": "Seoul tea", "price": 7745}]},
        {"order": "R-8801", "remark": "blue house", "store": {"phone": "02-123-4567", "name": "Gangnam"}},
        {"receipt": "417745231", "cards": 2},
    ],
)
def test_what_is_not_about_the_person_stays_as_it_came(data: dict[str, Any]) -> None:
    assert history(data) == data


def test_untouched_data_is_not_even_encoded_anew() -> None:
    raw = msgspec.Raw(b'{"amount":  45000}')
    assert _scrubbed(raw, hold("c", customer()), Occurrence("purchase", 1, "s"), ()) is raw


def test_private_fields_are_left_out_however_a_source_spells_them_and_however_deep() -> None:
    data = {
        "firstName": "Mina",
        "Date of Birth": "1990-01-01",
        "order": {"customer": {"name": "Mina", "tier": "gold"}, "items": [{"name": "tea", "e-mail": "x"}]},
    }
    assert without_contact_data(data) == {"order": {"customer": {"tier": "gold"}, "items": [{"name": "tea"}]}}


@pytest.mark.parametrize("value", ["mina@mail.example", "010-8823-7745", "+821088237745", "Mina Kim, VIP"])
def test_a_trait_that_names_somebody_after_all_is_none_of_the_history(value: str) -> None:
    assert historian(["Mina Kim"])(value) is None
    assert historian(["Mina Kim"])("gold") == "gold"
    assert historian(["Mina Kim"])({"contact": value, "since": 2019})["since"] == 2019


def test_what_is_searched_for_first_overlooks_nothing_that_the_second_look_would_find() -> None:
    seeded = random.Random(7)
    values = ["Müller Straße 7", "김민아", "ÅSA ÖBERG", "+821088237745", "88010417", 'O"Brien\n', "Николай", "Lee Ann"]
    for _ in range(2_000):
        value = seeded.choice(values)
        shape = seeded.choice((str.strip, str.lower, str.upper))
        text = "".join(seeded.choice("ab 1,-") for _ in range(5)) + " " + shape(value) + " x"
        if telltale_of([value])(text):
            encoded = json.dumps({"t": text}, ensure_ascii=seeded.random() < 0.3).encode()
            assert may_reach(encoded) or may_tell(folded(encoded), needles_of([value])), (value, text)


def test_numbers_are_cleaned_like_texts() -> None:
    assert without_telling({"tel": 1088237745, "n": 5, "yes": True}, ["+821088237745"]) == {"n": 5, "yes": True}


def test_a_mark_is_the_same_for_one_secret_alone_and_known_under_a_retired_one() -> None:
    old, new = Marks([SECRET]), Marks(["another secret of more than thirty-two signs", SECRET])
    assert old.of("phone:+821088237745") != new.of("phone:+821088237745")
    assert new.by_mark(["phone:+821088237745"])[old.of("phone:+821088237745")] == "phone:+821088237745"
    assert old.of("phone:+821088237745") != old.of("phone:+821088237746")


TRAIL = Trail(
    ["5f0c"],
    ["loyalty_card:88010417", "customer_id:7", "device:a1b2-c3d4", "partner:kakao:U77", "phone:+821088237745"],
    ["Müller Anna", "김 민아", "mina@mail.example"],
)


@pytest.mark.parametrize(
    "message",
    [
        '{"identifiers": {"loyalty_card": "8801-0417"}}',
        '{"identifiers": {"loyalty_card": 88010417}}',
        '{"identifiers": {"customer_id": "7", "broken',
        '{"identifiers": {"partner:kakao": "U77"}}',
        '{"seen": ["A1B2-c3d4"]}',
        '{"evidence": ["customer_id:7", "loyalty_card:1"]}',
        '{"identifiers": {"phone": "010-8823-7745"}, broken',
        '{"t": "2024-01-01 (010) 8823 7745 3 times"}',
        '{"t": "00821088237745"}',
        '{"t": "+82 (0)10 8823 7745."}',
        '{"tel": 1088237745}',
        '{"customer_id":"5f0c"}',
        "loyalty_card:8801-0417",
        '{"note": "mu\u0308ller\\nANNA"}',
        '{"note": "\\uae40 \\ubbfc\\uc544\\ub2d8", broken',
        '{"event": "{\\"note\\": \\"M\\\\u00fcller Anna\\"}"}',
        '{"t": "to:Mina@mail.example."}',
    ],
)
def test_a_letter_is_theirs_however_it_names_them(message: str) -> None:
    assert finder({"p": TRAIL})(message.encode()) == ["p"]


@pytest.mark.parametrize(
    "message",
    [
        '{"amount": 88010417}',
        '{"order": "88010417", "quantity": "7", "unit": 7}',
        '{"identifiers": {"loyalty_card": "9988010417"}}',
        '{"identifiers": {"loyalty_card": "7"}}',
        '{"identifiers": {"customer_id": "77"}}',
        '{"identifiers": {"partner:naver": "U77"}}',
        '{"receipt": "4410882377450"}',
        '{"receipt": "88237745"}',
        '{"note": "Frau Müller und Anna"}',
        '{"note": "Müller Annabella"}',
        '{"name": "민아"}',
        '{"t": "not.mina@mail.example"}',
        '{"t": "mina@mail.example.org"}',
        '{"ids": ["5f0c-1", "x5f0c"]}',
    ],
)
def test_a_letter_is_not_theirs_because_a_part_of_it_is_alike(message: str) -> None:
    assert finder({"p": TRAIL})(message.encode()) == []


def test_a_quick_look_overlooks_nothing_that_a_pattern_would_find() -> None:
    seeded = random.Random(7)
    words = [
        "8801",
        "0417",
        "+82",
        "010",
        "8823",
        "7745",
        "Müller",
        "ANNA",
        "김",
        "민아",
        "mina@mail",
        ".example",
        "5f0c",
    ]
    words += ["loyalty_card", "device", "a1b2", "c3d4", "partner:kakao", "U77", "customer_id", "7", "x"]
    between = ["", " ", "-", ".", "\u2011", "\u00a0", "\u3000", '"', '": "', ":", ") ", "\n", "\\n", "\\"]
    clues, about = list(_clues_of(TRAIL)), finder({"p": TRAIL})
    found = 0
    for _ in range(4_000):
        text = "".join(seeded.choice(words) + seeded.choice(between) for _ in range(5))
        theirs = any(re.search(clue.pattern, _text(text.encode())) for clue in clues)
        assert bool(about(text.encode())) == theirs, text
        found += theirs
    assert found > 100


def test_no_pattern_is_tried_on_a_letter_that_holds_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Counting:
        @staticmethod
        def search(pattern: str, text: str) -> Any:
            tried.append(pattern)
            return re.search(pattern, text)

    others = {str(n): Trail([f"{n:08x}"], [f"loyalty_card:9{n:07}"], [f"+82105555{n:04}"]) for n in range(20)}
    about = finder({"p": TRAIL} | others)
    monkeypatch.setattr(trail, "re", Counting)
    assert about(b'{"source": "pos", "identifiers": {"loyalty_card": "1"}, "phone": "010-1234-5678"}') == []
    assert not tried
    assert about(b'{"phone": "010-5555-0007"}') == ["7"] and len(tried) == 1


async def test_others_have_their_turn_after_each_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    async def through(*where: Any, **which: Any) -> AsyncIterator[tuple[int, Letter]]:
        for offset in range(20):
            yield 0, Letter(offset, 1, b"k", b"{}", [])

    turns, seen = [0], []

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    def whose(said: bytes) -> list[str]:
        seen.append(turns[0])
        return []

    class Silent(Publisher):
        def __init__(self) -> None:
            """Nothing is published."""

        async def publish(self, records: Sequence[Record], seconds_max: float | None = None) -> None:
            assert not records

    monkeypatch.setattr(sweeping, "through", through)
    sweeper = Sweeper("127.0.0.1:1", "", Silent(), 2)
    sweeper._looks = {"p": {}}
    others = asyncio.create_task(count())
    await sweeper._erase_letters("t", {"p": [0]}, whose)
    others.cancel()
    assert len(set(seen)) == 20, "and what stands in one letter is looked into at once"


def test_a_letter_is_looked_into_wherever_a_person_may_be_but_not_when_it_is_to_erase_them() -> None:
    def of(value: bytes, **about: str) -> bool:
        letter = Letter(1, 1, b"profile.apply/0:7", value, [(name, each.encode()) for name, each in about.items()])
        return any(map(finder({"p": TRAIL}), said_in(letter)))

    assert of(b"{}", key="5f0c") and of(b"{}", reason="no such card: loyalty_card:88010417")
    rejected = msgspec.json.encode({"source": "s", "body": b"call 010-8823-7745"})
    assert of(rejected, topic="ingest.event-rejected.v1") and not of(rejected, topic="ingest.event-received.v1")
    assert not of(b"null", key="5f0c", tombstone="1"), "it is needed when it is tried again"


class Letter(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def test_bytes_that_are_no_text_are_nobodys_and_nobody_is_found_without_a_trail() -> None:
    assert not finder({"p": TRAIL})(b"\xff\xfe") and not finder({"p": Trail([], [], [])})(b"{}")


def test_a_trail_keeps_what_names_nobody_else() -> None:
    """A home is shared, and a name of one word is many people's: their parts together are a name."""
    made = customer()
    assert made.traits is not None
    made.traits.held["lastName"] = Trait("Kim", 1)
    found = trail_of(["c"], ["loyalty_card:1"], [made])
    assert found.values == ["+821088237745", "Kim 김민아", "mina.kim@mail.example", "김민아 Kim"]


async def test_nobody_waits_for_ever_for_what_cannot_be_audited() -> None:
    class Broken(Database):
        def connection(self) -> NoReturn:
            raise KeyError("a bug")

    auditor = Auditor(Broken("postgresql://127.0.0.1/x", application="test"))
    for _ in range(2):
        async with asyncio.timeout(20):
            with pytest.raises(StoreAway, match="KeyError"):
                await auditor.note([Entry(clock.now(), "a", "view", "GET", None, "", "")])


def test_who_came_back_is_left_alone_until_they_consent_anew_whatever_order_it_is_told_in() -> None:
    events = [
        Occurrence("consent_given", 500, "s", data={"channels": ["email"]}, received_ms=500),
        Occurrence(CAME_BACK, 2_000, "dangol/profile", data={"erased_ms": 1_000}),
        Occurrence("consent_given", 1_500, "s", data={"channels": ["sms"]}, received_ms=1_500),
    ]
    at = Moment(1, DEFINITIONS)
    for upto, alone in ((2, True), (3, False)):
        for seed in range(20):
            shuffled = events[:upto]
            random.Random(seed).shuffle(shuffled)
            held = Customer("c", erased_before=Erased())
            for event in shuffled:
                ERASED_BEFORE.effects[event.type](held.erased_before, event, DEFINITIONS)
            assert list(ERASED_BEFORE.suppresses([held], at)) == (["erased"] if alone else [])
            assert ERASED_BEFORE.fields([held], at) == ({"erased": True} if alone else {})
