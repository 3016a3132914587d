"""Which shapes do all APIs share? The documents that people write, and lists that are read page by page."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict

from libs.common.errors import Refused

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000
_CURSOR_LENGTH_MAX = 1_024

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="How many items a page holds.")]
Cursor = Annotated[
    str | None,
    Query(max_length=_CURSOR_LENGTH_MAX, description="`next` of the page before; absent for the first."),
]


class Document(BaseModel):
    """The base of what people send: a name that is not known is refused, for it is most likely a slip."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Page(BaseModel, Generic[T]):
    """One page of a list; `next` is null on the last."""

    items: list[T]
    next: str | None = None


def encode_cursor(*position: Any) -> str:
    """The place after the last item, opaque to the caller: any JSON values, such as a time and an id."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, shape: type[T]) -> T | None:
    """The position as `shape`, such as tuple[int, str]; None for the first page; Refused for garbage."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(raw, type=shape)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Refused("The cursor is not one of this list; take `next` of a page as it is.") from None
    if b"\\u0000" in raw:
        raise Refused("The cursor is not one of this list; take `next` of a page as it is.")
    return position


def page_of(items: list[T], limit: int, position: Any) -> tuple[list[T], str | None]:
    """Cuts a list read with limit + 1; `position(item)` is the tuple that the next page starts after."""
    if len(items) <= limit:
        return items, None
    kept = items[:limit]
    return kept, encode_cursor(*position(kept[-1]))
