"""What happens in the town in one second? Pure: the same seed and second give the same events.

Nothing is remembered from one second to the next. What follows from something earlier (a basket that is paid, a
complaint that is settled) is found by asking what happened back then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from deploy.demo.town import BRANCHES, GOODS, Branch, Person, Product, Town

CART_PAID_AFTER_SECONDS = 12
CART_PAID_SHARE = 0.6
COMPLAINT_SETTLED_AFTER_SECONDS = 20
LIFE_EVERY_SECONDS = 4
_WEB, _DESK = BRANCHES[6], BRANCHES[7]
_STORES = BRANCHES[:3]
_BAKERIES = BRANCHES[3:6]
_NEXT = {
    "single": ("life.marriage", "life.marriage", "life.move", "life.job_change"),
    "married": ("life.childbirth", "life.childbirth", "life.move"),
    "family": ("life.move", "life.job_change", "life.childbirth"),
    "retired": ("life.move",),
}


@dataclass(frozen=True, slots=True)
class Happening:
    """An event before it has an id and a time; `channel` is the one whose write key sends it."""

    channel: str
    type: str
    source: str
    identifiers: dict[str, str]
    data: dict[str, Any]
    branch: str | None = None

    def event(self, id_: str, time: datetime) -> dict[str, Any]:
        made = {
            "id": id_,
            "source": self.source,
            "channel": self.channel,
            "type": self.type,
            "time": time.isoformat(timespec="milliseconds"),
            "identifiers": self.identifiers,
            "data": self.data,
        }
        return made if self.branch is None else {**made, "branch": self.branch}


def second(town: Town, tick: int, rate: float, midnight: datetime) -> list[dict[str, Any]]:
    """The events of the `tick`th second after `midnight`, about `rate` of them, each with its own id and time.

    The id says the second, so a shop that is started again never takes an id twice.
    """
    began = midnight + timedelta(seconds=tick)
    happenings = list(_happenings(town, tick, rate))
    share = timedelta(seconds=1) / max(1, len(happenings))
    return [
        each.event(f"shop-{town.seed}-{int(began.timestamp())}-{at}", began + share * at)
        for at, each in enumerate(happenings)
    ]


def _happenings(town: Town, tick: int, rate: float) -> Iterator[Happening]:
    yield from _traffic(town, tick, rate)
    for cart in _traffic(town, tick - CART_PAID_AFTER_SECONDS, rate):
        if cart.type == "cart_add" and _chance(town, tick, cart.data["product"]).random() < CART_PAID_SHARE:
            yield _paid(cart)
    if tick % LIFE_EVERY_SECONDS == 0:
        yield _life_event(town, tick // LIFE_EVERY_SECONDS)
    yield from _complaints(town, tick)
    if tick % 30 == 17:
        yield _return_of_the_lapsed(town, tick)


def _chance(town: Town, tick: int, about: str) -> Random:
    return Random(f"{town.seed}/{about}/{tick}")


def _traffic(town: Town, tick: int, rate: float) -> Iterator[Happening]:
    """The daily business; a fraction in `rate` is drawn, so that 0.5 is an event every other second."""
    chance = _chance(town, tick, "traffic")
    number = int(rate) + (chance.random() < rate % 1)
    for _ in range(number):
        yield chance.choices(_BUSINESS, _WEIGHTS)[0](town, chance)


def _shopper(town: Town, chance: Random) -> Person:
    """Those who have lapsed do not come."""
    for _ in range(20):
        person = chance.choice(town.people)
        if not person.lapsed:
            break
    return person


def _till(branch: Branch, chance: Random) -> str:
    return f"{branch.source}/pos-{chance.randint(1, 3)}"


def _goods(items: list[Product]) -> dict[str, Any]:
    lines = [{"product": each.name, "category": each.category, "quantity": 1, "price": each.price} for each in items]
    return {"amount": sum(each.price for each in items), "currency": "KRW", "items": lines}


def _coffee(town: Town, chance: Random) -> Happening:
    person, branch = chance.choice(town.regulars), chance.choice(_BAKERIES)
    items = [chance.choice(GOODS["bakery"][:2])] + [chance.choice(GOODS["bakery"][2:4])] * (chance.random() < 0.4)
    held = person.identifiers("loyalty_card")
    return Happening("pos", "purchase", _till(branch, chance), held, _goods(items), branch.name)


def _bread(town: Town, chance: Random) -> Happening:
    """Many who buy bread show no card, and nobody knows who they are."""
    branch = chance.choice(_BAKERIES)
    person = _shopper(town, chance)
    held = person.identifiers("loyalty_card") if chance.random() < 0.4 else {}
    items = [chance.choice(GOODS["bakery"][2:])]
    return Happening("pos", "purchase", _till(branch, chance), held, _goods(items), branch.name)


def _department(town: Town, chance: Random) -> Happening:
    person, branch = _shopper(town, chance), chance.choice(_STORES)
    held = person.identifiers("loyalty_card") or person.identifiers("phone")
    items = chance.sample(GOODS["department"], chance.choice((1, 1, 2)))
    return Happening("pos", "purchase", _till(branch, chance), held, _goods(items), branch.name)


def _refund(town: Town, chance: Random) -> Happening:
    person, branch = _shopper(town, chance), chance.choice(_STORES)
    held = person.identifiers("loyalty_card") or person.identifiers("phone")
    data = {**_goods([chance.choice(GOODS["department"][:3])]), "reason": "wrong size"}
    return Happening("pos", "refund", _till(branch, chance), held, data, branch.name)


def _on_the_web(person: Person, type_: str, data: dict[str, Any]) -> Happening:
    return Happening("web", type_, _WEB.source, person.identifiers("account", "cookie"), data)


def _view(town: Town, chance: Random) -> Happening:
    product = chance.choice(GOODS["department"])
    data = {"product": product.name, "category": product.category, "price": product.price, "currency": "KRW"}
    return _on_the_web(_shopper(town, chance), "product_view", data)


def _visit(town: Town, chance: Random) -> Happening:
    return _on_the_web(_shopper(town, chance), "visit", {"page": chance.choice(("/", "/sale", "/new"))})


def _cart(town: Town, chance: Random) -> Happening:
    product = chance.choice(GOODS["department"])
    data = {
        "product": product.name,
        "category": product.category,
        "price": product.price,
        "currency": "KRW",
        "quantity": 1,
    }
    return _on_the_web(_shopper(town, chance), "cart_add", data)


def _paid(cart: Happening) -> Happening:
    product = Product(cart.data["product"], cart.data["category"], cart.data["price"])
    return Happening("web", "purchase", cart.source, cart.identifiers, _goods([product]))


def _call(town: Town, chance: Random) -> Happening:
    person = _shopper(town, chance)
    data = {"topic": chance.choice(("opening hours", "delivery", "points")), "duration_seconds": 95}
    return Happening("call-center", "call_inbound", _DESK.source, person.identifiers("phone"), data)


_BUSINESS: tuple[Callable[[Town, Random], Happening], ...] = (
    *(_coffee, _bread, _department, _refund),
    *(_view, _visit, _cart, _call),
)
_WEIGHTS = (24, 14, 14, 1, 22, 16, 6, 3)


def _life_event(town: Town, turn: int) -> Happening:
    """Lives take their turns, so that after a while something has happened to everybody."""
    person = town.people[turn * 7 % len(town.people)]
    chance = Random(f"{town.seed}/life/{turn}")
    type_ = chance.choice(_NEXT[person.stage])
    if type_ == "life.move":
        branch = chance.choice(_STORES)
        data: dict[str, Any] = {"country": "KR", "nearest_branch": branch.name}
    else:
        data = {}
    return Happening("call-center", type_, _DESK.source, person.identifiers("phone"), data)


def _complaints(town: Town, tick: int) -> Iterator[Happening]:
    for began, type_ in ((tick, "complaint"), (tick - COMPLAINT_SETTLED_AFTER_SECONDS, "complaint_resolved")):
        chance = _chance(town, began, "complaint")
        if chance.random() < 0.1:
            person = _shopper(town, chance)
            settled = chance.random() < 0.8
            data = {"topic": "delivery came late", "case": f"case-{town.seed}-{began}"}
            if type_ == "complaint" or settled:
                yield Happening("call-center", type_, _DESK.source, person.identifiers("phone"), data)


def _return_of_the_lapsed(town: Town, tick: int) -> Happening:
    chance = _chance(town, tick, "return")
    lapsed = [person for person in town.people if person.lapsed] or list(town.people)
    person = chance.choice(lapsed)
    held = person.identifiers("loyalty_card") or person.identifiers("phone")
    goods = _goods([chance.choice(GOODS["bakery"])])
    return Happening("pos", "purchase", _till(person.home, chance), held, goods, person.home.name)
