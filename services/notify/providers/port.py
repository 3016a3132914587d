"""What does every provider take and give?"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from libs.common.errors import DangolError
from services.notify.delivery import Accepted, Rejected, RetryLater

NOT_CONFIGURED = "channel_not_configured"


class Outgoing(Struct, frozen=True):
    """A message as it goes out; `message_id` is the key under which a repeat is recognised."""

    message_id: str
    channel: str
    class_: str
    campaign_id: str
    customer_id: str
    recipient: str
    subject: str
    body: str
    unsubscribe_url: str
    possible_duplicate: bool = False
    values: dict[str, Any] = {}


class Ambiguous(DangolError):
    """The provider may have taken the message, and it may not."""


class Provider(Protocol):
    """`key_seconds`: for how long a repeated key has no second effect; 0 where repeats are not recognised."""

    @property
    def name(self) -> str: ...

    @property
    def key_seconds(self) -> int: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, outgoing: Outgoing, now: datetime) -> Accepted | Rejected | RetryLater:
        """Raises Ambiguous."""
        ...


class NotConfigured:
    """Stands where no provider was set up, and says so for every message."""

    key_seconds = 86_400

    def __init__(self, channel: str) -> None:
        self.name = f"{channel}:none"

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def send(self, outgoing: Outgoing, now: datetime) -> Accepted | Rejected | RetryLater:
        del outgoing, now
        return Rejected(NOT_CONFIGURED)
