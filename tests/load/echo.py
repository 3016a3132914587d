"""What does a worker cost that decides nothing? It says again what it hears, under another key."""

from __future__ import annotations

from collections.abc import Sequence

from libs.common.events import Fact
from libs.common.topics import Topic
from libs.common.unit import Message, UnitTx


class Said(Fact, frozen=True):
    key: str
    number: int
    text: str


class Echoed(Fact, frozen=True):
    key: str
    number: int
    text: str


SAID = Topic("echo.said.v1", Said, lambda e: e.key, "echo", ("echo.say",))
ECHOED = Topic("echo.echoed.v1", Echoed, lambda e: e.key[::-1], "echo", (), producer="echo.say")


async def on_said(batch: Sequence[Message[Said]], tx: UnitTx) -> Sequence[Fact]:
    del tx
    return [Echoed(each.event.key, each.event.number, each.event.text) for each in batch]
