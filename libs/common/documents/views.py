"""What do versioned documents of any kind look like over HTTP?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from libs.common.documents.shapes import DocumentVersion, ListedDocument
from libs.common.errors import Fault
from libs.common.web import Document


class VersionView(BaseModel):
    """One version; `document` is what its author wrote."""

    id: str
    version: int
    status: str
    ramp_percent: int
    author: str
    note: str
    created_at: datetime
    document: dict[str, Any]

    @classmethod
    def of(cls, version: DocumentVersion) -> Self:
        return cls(
            id=version.id,
            version=version.version,
            status=version.status,
            ramp_percent=version.ramp_percent,
            author=version.author,
            note=version.note,
            created_at=version.created_at,
            document=version.content,
        )


class ListedView(VersionView):
    """The latest version, beside the one that is active or paused."""

    live_version: int | None = None
    live_status: str | None = None

    @classmethod
    def listed(cls, listed: ListedDocument) -> Self:
        found = cls.of(listed.latest)
        return found.model_copy(update={"live_version": listed.live_version, "live_status": listed.live_status})


class ChangeView(BaseModel):
    """Who put which version in force or out of it, and why."""

    number: int
    version: int
    status: str
    ramp_percent: int
    was_version: int | None
    was_status: str | None
    author: str
    note: str
    at: datetime


class Difference(BaseModel):
    """`was` is missing where something is new, `now` where something is gone."""

    items: list[dict[str, Any]]


class FaultView(BaseModel):
    pointer: str
    detail: str


class Validity(BaseModel):
    valid: bool
    errors: list[FaultView] = []

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> Self:
        views = [FaultView(pointer=f"#{each.pointer}", detail=each.detail) for each in faults]
        return cls(valid=not views, errors=views)


class WholeActivation(Document):
    """`version` absent means the latest."""

    version: int | None = Field(None, ge=1, le=2**31 - 1)
    note: str = Field("", max_length=2000)


class Activation(WholeActivation):
    """`version` absent means the latest; `ramp_percent` is the share of people for whom it counts."""

    ramp_percent: int = Field(100, ge=0, le=100)


class Reason(Document):
    note: str = Field("", max_length=2000)
