"""Which shops and which people are there? Pure: the same seed makes the same town."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

ZONE = "Asia/Seoul"
_ZONES_ABROAD = ("America/Los_Angeles", "Asia/Tokyo", "Europe/Berlin")
_SURNAMES = "Kim Lee Park Choi Jung Kang Cho Yoon Jang Lim Han Oh Seo Shin Kwon Hwang Ahn Song Ryu Hong".split()
_GIVEN = (
    "Minseo Jihoon Seoyeon Dohyun Jiwoo Hajun Subin Eunji Taeyang Yuna Sungmin Hyejin Jaewon Nari Woojin Sora"
    " Junho Mirae Donghyun Bora Seungwoo Haneul Kyungmi Inho Daeun Youngsoo Miyoung Gunwoo Aram Jisoo"
).split()
_STAGES = ("single", "single", "married", "family", "family", "retired")
_AGES = {"single": (19, 34), "married": (26, 40), "family": (30, 55), "retired": (60, 84)}
_TIERS = ("basic", "basic", "basic", "silver", "silver", "gold", "vip")
CHANNELS = ("email", "sms", "call")
_CONSENT_SHARE = {"email": 0.85, "sms": 0.7, "call": 0.6}
_ASKED_SHARE = 0.96
_LAPSED_SHARE = 0.15
BOUNCING_EVERY = 97


@dataclass(frozen=True, slots=True)
class Branch:
    name: str
    kind: str
    source: str


BRANCHES = (
    Branch("gangnam", "department", "store-001"),
    Branch("myeongdong", "department", "store-002"),
    Branch("busan", "department", "store-003"),
    Branch("seongsu", "bakery", "bakery-101"),
    Branch("yeonnam", "bakery", "bakery-102"),
    Branch("hongdae", "bakery", "bakery-103"),
    Branch("web", "web", "shop"),
    Branch("call-center", "call-center", "desk"),
)


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    category: str
    price: int


GOODS = {
    "department": (
        Product("wool coat", "fashion", 129_000),
        Product("linen shirt", "fashion", 49_000),
        Product("running shoes", "sports", 99_000),
        Product("rice cooker", "home", 98_000),
        Product("bed sheets", "home", 59_000),
        Product("hand cream", "beauty", 18_000),
        Product("stroller", "baby", 320_000),
        Product("picture book", "baby", 14_000),
        Product("air purifier", "home", 229_000),
    ),
    "bakery": (
        Product("americano", "coffee", 3_500),
        Product("cafe latte", "coffee", 4_500),
        Product("red bean bun", "bread", 2_800),
        Product("milk loaf", "bread", 5_500),
        Product("strawberry cake", "cake", 32_000),
    ),
}


@dataclass(frozen=True, slots=True)
class Person:
    """A customer as the town knows it; `consents` holds only the channels on which they were asked."""

    number: int
    name: str
    stage: str
    tier: str
    age: int
    gender: str
    zone: str
    home: Branch
    lapsed: bool
    consents: dict[str, bool]
    has_card: bool
    has_account: bool

    @property
    def card(self) -> str:
        return f"8801-{self.number:04d}"

    @property
    def phone(self) -> str:
        return f"+8210{10_000_000 + self.number}"

    @property
    def email(self) -> str:
        mark = "+bounce" if self.number % BOUNCING_EVERY == 0 else ""
        return f"{self.name.lower().replace(' ', '.')}.{self.number}{mark}@mail.example"

    @property
    def account(self) -> str:
        return f"user-{self.number}"

    @property
    def cookie(self) -> str:
        return f"c-{self.number:08d}"

    def identifiers(self, *kinds: str) -> dict[str, str]:
        """The identifiers of these kinds that the person has; every one of them when none is named."""
        held = {"phone": self.phone, "email": self.email, "cookie": self.cookie}
        if self.has_card:
            held["loyalty_card"] = self.card
        if self.has_account:
            held["account"] = self.account
        return {kind: value for kind, value in sorted(held.items()) if not kinds or kind in kinds}


@dataclass(frozen=True, slots=True)
class Town:
    seed: int
    people: tuple[Person, ...]
    regulars: tuple[Person, ...]
    """Who drinks coffee every day."""


def found(seed: int, size: int) -> Town:
    """`size` customers, of whom the first agrees to everything and holds everything: for trying things out."""
    people = (_first(), *(_person(seed, number) for number in range(2, size + 1)))
    active = [person for person in people if not person.lapsed and person.has_card]
    return Town(seed, people, tuple(active[: max(1, size // 20)]))


def _first() -> Person:
    consents = dict.fromkeys(CHANNELS, True)
    return Person(1, "Kim Jisoo", "single", "silver", 31, "f", ZONE, BRANCHES[0], False, consents, True, True)


def _person(seed: int, number: int) -> Person:
    chance = Random(f"{seed}/person/{number}")
    stage = chance.choice(_STAGES)
    asked = [channel for channel in CHANNELS if chance.random() < _ASKED_SHARE]
    return Person(
        number=number,
        name=f"{chance.choice(_SURNAMES)} {chance.choice(_GIVEN)}",
        stage=stage,
        tier=chance.choice(_TIERS),
        age=chance.randint(*_AGES[stage]),
        gender=chance.choice("fm"),
        zone=ZONE if chance.random() < 0.95 else chance.choice(_ZONES_ABROAD),
        home=chance.choice(BRANCHES[:6]),
        lapsed=chance.random() < _LAPSED_SHARE,
        consents={channel: chance.random() < _CONSENT_SHARE[channel] for channel in asked},
        has_card=chance.random() < 0.85,
        has_account=chance.random() < 0.7,
    )
