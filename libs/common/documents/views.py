"""What do versioned documents of any kind look like over HTTP?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from libs.common.documents.shapes import DocumentVersion, ListedDocument, Review, Verdict
from libs.common.errors import Fault
from libs.common.web import Document


class VersionView(BaseModel):
    """One version; `document` is what its author wrote. `review` is what a second person was asked or said of it.

    Of a document that is read by itself and is paused, `paused_by` says who did it (guard: nobody, it went over a
    limit) and `paused_because` why.
    """

    id: str
    version: int
    status: str
    ramp_percent: int
    author: str
    note: str
    created_at: datetime
    review: Review = ""
    paused_by: str = ""
    paused_because: str = ""
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
            review=version.review,
            document=version.content,
        )


class ListedView(VersionView):
    """The latest version, beside the one that is active or paused and the one that waits for approval."""

    live_version: int | None = None
    live_status: str | None = None
    review_version: int | None = None

    @classmethod
    def listed(cls, listed: ListedDocument) -> Self:
        found = cls.of(listed.latest)
        return found.model_copy(
            update={
                "live_version": listed.live_version,
                "live_status": listed.live_status,
                "review_version": listed.review_version,
            }
        )


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
    reach_percent: float | None = None


class ReviewView(BaseModel):
    """Who asked for a second person's word on a version (`asked`), or gave it, and why."""

    number: int
    version: int
    verdict: Verdict
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
        return cls(valid=not faults, errors=views_of(faults))


class WarnedValidity(Validity):
    """`warnings` are what a valid document most likely does not mean."""

    warnings: list[FaultView] = []

    @classmethod
    def warned(cls, warnings: Sequence[Fault]) -> Self:
        return cls(valid=True, warnings=views_of(warnings))


def views_of(faults: Sequence[Fault]) -> list[FaultView]:
    return [FaultView(pointer=f"#{each.pointer}", detail=each.detail) for each in faults]


class WholeActivation(Document):
    """`version` absent means the latest. `reach_percent` is an estimate of the share of the customers whom it would
    reach, for where a company asks for approval above one; a backtest's figure counts more."""

    version: int | None = Field(None, ge=1, le=2**31 - 1)
    note: str = Field("", max_length=2000)
    reach_percent: float | None = Field(None, ge=0, le=100)


class Activation(WholeActivation):
    """As above; `ramp_percent` is the share of people for whom it counts."""

    ramp_percent: int = Field(100, ge=0, le=100)


class Ramp(Document):
    """`percent` is the share of people for whom the version in force counts from now on; `reach_percent` as above."""

    percent: int = Field(ge=0, le=100)
    note: str = Field("", max_length=2000)
    reach_percent: float | None = Field(None, ge=0, le=100)


class Reason(Document):
    note: str = Field("", max_length=2000)


class Submission(Reason):
    """`version` absent means the latest."""

    version: int | None = Field(None, ge=1, le=2**31 - 1)


class Approval(Reason):
    """`version` is the one that was looked at: another may have been submitted meanwhile."""

    version: int = Field(ge=1, le=2**31 - 1)


class Rejection(Document):
    """As an approval, and the reason must not be missing."""

    version: int = Field(ge=1, le=2**31 - 1)
    note: str = Field(min_length=1, max_length=2000)
