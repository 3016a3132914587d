"""Is the caller changing what they have read? ETag out, If-Match in."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header
from starlette.exceptions import HTTPException

from libs.common.errors import Refused, Stale

IfMatch = Annotated[str | None, Header(max_length=1_024, description="The ETag of what is being changed.")]
_TAG = re.compile(r'^"([^"\\\x00-\x20]*)"$')


def etag(version: int | str) -> str:
    return f'"{version}"'


def require_match(if_match: str | None, version: int | str) -> None:
    """428 without the header, 412 when it names another version; `*` matches whatever exists."""
    tags = _tags(if_match)
    if tags != ["*"] and etag(version) not in tags:
        raise Stale("The document has changed since it was read. Read it again and repeat the change.")


def expected_version(if_match: str | None) -> int | None:
    """The version that the caller read, for a store that compares it itself; None for `*`."""
    tags = _tags(if_match)
    if tags == ["*"]:
        return None
    if len(tags) != 1 or not tags[0].strip('"').isdigit() or len(tags[0]) > 12:
        raise Stale("If-Match does not name a version of this document. Read it again and repeat the change.")
    return int(tags[0].strip('"'))


def _tags(if_match: str | None) -> list[str]:
    if if_match is None:
        raise HTTPException(428, "Send If-Match with the ETag of what you have read, so that no change is lost.")
    tags = [tag.strip() for tag in if_match.split(",")]
    if tags != ["*"] and not all(_TAG.match(tag) for tag in tags):
        raise Refused('If-Match is not usable: send the ETag as it came, in quotes, such as If-Match: "3".')
    return tags
