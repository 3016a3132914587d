"""What does the load consist of? Purchases of an exact size, different from one another, good for the door."""

from __future__ import annotations

import json

from libs.common import clock

EVENT_BYTES = 600
CUSTOMERS = 5_000


def event(number: int, size: int = EVENT_BYTES) -> bytes:
    """One channel event as JSON of exactly `size` bytes, by one of `CUSTOMERS`."""
    customer = number % CUSTOMERS
    document = {
        "id": f"receipt-{number:09d}",
        "source": f"bench/pos-{customer % 7}",
        "type": "purchase",
        "time": clock.now().isoformat(timespec="milliseconds"),
        "identifiers": {"loyalty_card": f"8801-{customer:06d}", "email": f"c{customer:06d}@example.com"},
        "branch": "gangnam",
        "data": {
            "amount": 1_000 + number % 90_000,
            "currency": "KRW",
            "items": [
                {"product": f"tea-{number % 50}", "quantity": 1, "price": 4_500},
                {"product": "cup-1", "quantity": 2},
            ],
            "remark": "",
        },
    }
    lacking = size - len(_encoded(document))
    document["data"] = {**document["data"], "remark": "x" * max(0, lacking)}  # type: ignore[dict-item]
    return _encoded(document)


def bodies(count: int, batch: int) -> list[bytes]:
    """Bodies of requests: one event each, or lists of `batch` events."""
    if batch == 1:
        return [event(number) for number in range(count)]
    return [b"[" + b",".join(event(first * batch + each) for each in range(batch)) + b"]" for first in range(count)]


def _encoded(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
