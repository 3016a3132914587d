"""What is a message, before and after Kafka?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

MESSAGE_BYTES_MAX = 900_000
"""A larger message is refused before it is committed anywhere: a broker that says no would stop a unit for good."""

BATCH_BYTES_MAX = 1_000_000
FETCH_BYTES_MAX = 4 * BATCH_BYTES_MAX

Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    """A message to publish; `topic` is the catalogue's name, without the installation's prefix."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = []


class Received(Protocol):
    """A message as it was read; `timestamp` is when the broker appended it, in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
