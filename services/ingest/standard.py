"""Which event types does everybody have, and what must their data hold?

Only what is named here is checked; whatever else a channel sends along in `data` is kept. Amounts are JSON numbers
or decimal strings, with a currency beside them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_LARGEST = 10**15

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Decimal = (
    Annotated[int, Meta(ge=-_LARGEST, le=_LARGEST)]
    | Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
    | Annotated[str, Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,9})?\Z")]
)
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
Channel = Annotated[str, Meta(pattern=r"^(email|sms|push|webhook|call)\Z")]
Instant = Annotated[str, Meta(min_length=10, max_length=40)]


class Free(Struct):
    """Any object: nothing in it is checked."""


class Item(Struct):
    product: Name | int | None = None
    category: Name | None = None
    name: Text | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    amount: Decimal | None = None


class Purchase(Struct):
    amount: Decimal
    currency: Currency
    items: list[Item] = []
    order: Name | int | None = None
    payment: Name | None = None


class Refund(Struct):
    amount: Decimal
    currency: Currency
    items: list[Item] = []
    order: Name | int | None = None
    reason: Text | None = None


class ProductView(Struct):
    product: Name | int | None = None
    category: Name | None = None
    price: Decimal | None = None
    currency: Currency | None = None


class CartAdd(ProductView):
    quantity: Decimal | None = None


class Search(Struct):
    query: Annotated[str, Meta(max_length=1_000)] | None = None
    results: int | None = None


class Visit(Struct):
    page: Annotated[str, Meta(max_length=4_000)] | None = None
    referrer: Annotated[str, Meta(max_length=4_000)] | None = None


class Call(Struct):
    topic: Name | None = None
    agent: Name | None = None
    duration_seconds: Annotated[float, Meta(ge=0)] | None = None


class CallOutcome(Call):
    outcome: Name | None = None
    task: Name | None = None
    note: str | None = None


class Contact(Struct):
    """An inquiry or a complaint, or its end."""

    topic: Name | None = None
    text: str | None = None
    case: Name | int | None = None


class Identify(Struct):
    traits: dict[Name, object] = {}


class ConsentChange(Struct):
    channel: Channel | None = None
    channels: list[Channel] | None = None
    purpose: Name | None = None


class Life(Struct):
    on: Instant | None = None
    child_birth_date: Instant | None = None
    country: Country | None = None


class Contract(Struct):
    contract: Name | int | None = None
    product: Name | int | None = None
    ends_on: Instant | None = None
    amount: Decimal | None = None
    currency: Currency | None = None


class Offer(Struct):
    offer: Name | int | None = None
    campaign: Name | None = None
    decision: Name | None = None


class CouponRedeemed(Struct):
    coupon: Name | int | None = None
    campaign: Name | None = None
    amount: Decimal | None = None
    currency: Currency | None = None


class SurveyAnswered(Struct):
    survey: Name | int | None = None
    score: float | None = None


class PriceDropped(Struct):
    product: Name | int
    price: Decimal | None = None
    was: Decimal | None = None
    currency: Currency | None = None


class Restocked(Struct):
    product: Name | int


STANDARD: dict[str, tuple[type[Struct], str]] = {
    "purchase": (Purchase, "Something was bought and paid."),
    "refund": (Refund, "Money was given back; `amount` is positive."),
    "product_view": (ProductView, "A product was looked at."),
    "cart_add": (CartAdd, "A product was put into the cart."),
    "search": (Search, "Somebody searched."),
    "visit": (Visit, "A page, an app or a branch was visited."),
    "call_inbound": (Call, "A customer called."),
    "call_outcome": (CallOutcome, "How a call ended."),
    "inquiry": (Contact, "A customer asked something."),
    "complaint": (Contact, "A customer complained."),
    "complaint_resolved": (Contact, "A complaint was settled."),
    "identify": (Identify, "What a channel knows of a customer: `traits`."),
    "consent_given": (ConsentChange, "A customer agreed to be contacted by a channel."),
    "consent_withdrawn": (ConsentChange, "A customer no longer agrees."),
    "life.marriage": (Life, "A customer married."),
    "life.childbirth": (Life, "A customer had a child."),
    "life.move": (Life, "A customer moved."),
    "life.job_change": (Life, "A customer changed jobs."),
    "life.retirement": (Life, "A customer retired."),
    "contract.opened": (Contract, "A contract began."),
    "contract.ending": (Contract, "A contract is about to end."),
    "contract.closed": (Contract, "A contract ended."),
    "offer.shown": (Offer, "An offer was shown."),
    "offer.accepted": (Offer, "An offer was accepted."),
    "offer.declined": (Offer, "An offer was declined."),
    "coupon.redeemed": (CouponRedeemed, "A coupon was used."),
    "survey.answered": (SurveyAnswered, "A survey was answered."),
    "attended": (Free, "A customer came to an event."),
    "referred": (Free, "A customer brought another one."),
    "price_dropped": (PriceDropped, "The price of a product fell; no person is meant."),
    "restocked": (Restocked, "A product is available again; no person is meant."),
    "branch_closing": (Free, "A branch is about to close; no person is meant."),
    "competitor_opened": (Free, "A competitor opened nearby; no person is meant."),
    "weather": (Free, "The weather in a region; no person is meant."),
}
