"""What is known about a document, a version of it, and a change of what counts?"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

Status = Literal["draft", "review", "active", "paused", "retired"]
"""`review` is a draft of which a second person is asked."""

Review = Literal["", "asked", "approved", "rejected"]
Verdict = Literal["asked", "withdrawn", "approved", "rejected"]


class Connection(Protocol):
    """What reading needs: a transaction of `libs.common.db` and a bare asyncpg connection both have it."""

    def fetch(self, sql: str, /, *values: Any) -> Awaitable[list[Any]]: ...

    def fetchrow(self, sql: str, /, *values: Any) -> Awaitable[Any]: ...

    def fetchval(self, sql: str, /, *values: Any) -> Awaitable[Any]: ...


class DocumentVersion(msgspec.Struct, frozen=True):
    """`body` is the JSON as it was written.

    `ramp_percent` is the share of customers for whom the version counts while it is active.
    """

    kind: str
    id: str
    version: int
    status: Status
    ramp_percent: int
    body: bytes
    author: str
    note: str
    created_at: datetime
    review: Review = ""

    @property
    def content(self) -> Any:
        return msgspec.json.decode(self.body)


class ListedDocument(msgspec.Struct, frozen=True):
    """The latest version of a document, beside the one that is active or paused and the one in review, if any."""

    latest: DocumentVersion
    live_version: int | None
    live_status: Status | None
    review_version: int | None = None


class ActiveDocument(msgspec.Struct, frozen=True):
    """`began` is the number of the change since which it has counted, or been paused, without a break and in the same
    meaning; 0 where nobody asked.
    """

    id: str
    version: int
    status: Status
    ramp_percent: int
    body: bytes
    kind: str = ""
    began: int = 0


class DocumentChange(msgspec.Struct, frozen=True):
    """Who made which version count (or no longer) and why; `number` is the snapshot that the change made.

    `reach_percent` is the share of the customers that the activation was allowed for, where anybody knew one.
    """

    kind: str
    number: int
    id: str
    version: int
    status: Status
    ramp_percent: int
    was_version: int | None
    was_status: Status | None
    author: str
    note: str
    at: datetime
    reach_percent: float | None = None


class DocumentReview(msgspec.Struct, frozen=True):
    """Who asked for a second person's word on a version, or gave it."""

    kind: str
    id: str
    number: int
    version: int
    verdict: Verdict
    author: str
    note: str
    at: datetime
