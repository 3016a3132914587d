"""What has the company settled for all documents of a service, since when, and who said so?

Versions like those of any document. Before anybody has written one, what the environment says counts; the first that
is written keeps that beside it as version 1, so that what was changed can be told.
"""

from __future__ import annotations

import msgspec
from pydantic import Field

from libs.common.db import Tx
from libs.common.documents import guarding, reading, writing
from libs.common.documents.limits import Guards
from libs.common.documents.shapes import Connection, DocumentVersion
from libs.common.errors import NotFound, Stale
from libs.common.settings import CommonSettings
from libs.common.web import Document

KIND = ID = "company"
ENVIRONMENT = "environment"
_AGAIN = "Read them again, make your change upon that, and send it with the ETag that came with them."


class GuardLimits(Document):
    """Shares in percent above which a document is paused; null for never. `after` is how many contacts (for caps:
    decisions) must have been seen before anything is said, `days` how far back is looked."""

    unsubscribe_percent: float | None = Field(ge=0, le=100)
    complaint_percent: float | None = Field(ge=0, le=100)
    bounce_percent: float | None = Field(ge=0, le=100)
    cap_block_percent: float | None = Field(ge=0, le=100)
    after: int = Field(ge=1, le=1_000_000)
    days: int = Field(ge=1, le=90)

    def as_guards(self) -> Guards:
        return Guards(**self.model_dump())


class CompanySettings(Document):
    """All of it, each time: what is left out could be a slip.

    `approval_above_percent` is the share of the customers above which a version needs a second person's word before
    it counts; 0 for whatever it reaches, null for never.
    """

    approval_above_percent: float | None = Field(ge=0, le=100)
    guards: GuardLimits


class Company:
    """The settings in force: what was written last, or else what the environment says."""

    def __init__(self, settings: CommonSettings) -> None:
        self.first = CompanySettings(
            approval_above_percent=settings.approval_above_percent,
            guards=GuardLimits(
                unsubscribe_percent=settings.guard_unsubscribe_percent,
                complaint_percent=settings.guard_complaint_percent,
                bounce_percent=settings.guard_bounce_percent,
                cap_block_percent=settings.guard_cap_block_percent,
                after=settings.guard_after,
                days=settings.guard_days,
            ),
        )

    async def version(self, connection: Connection) -> DocumentVersion | None:
        try:
            return await reading.get(connection, KIND, ID, "active")
        except NotFound:
            return None

    async def current(self, connection: Connection) -> CompanySettings:
        version = await self.version(connection)
        return self.first if version is None else read(version)

    async def approval_above_percent(self, connection: Connection) -> float | None:
        return (await self.current(connection)).approval_above_percent

    async def guards(self, connection: Connection) -> Guards:
        return (await self.current(connection)).guards.as_guards()

    async def write(
        self, tx: Tx, wanted: CompanySettings, *, author: str, note: str, expected: int | None, guarded_kind: str
    ) -> DocumentVersion:
        """Counts from the end of the transaction on, for what is in force already as well."""
        await writing.lock(tx, KIND)
        before = await self.version(tx)
        if before is None:
            if expected not in (None, 0):
                raise Stale(f"The settings are still those of the environment, version 0. {_AGAIN}")
            await self._put(tx, self.first, ENVIRONMENT, "What the environment said before.", None)
            expected = None
        elif expected == 0:
            raise Stale(f"The settings were written meanwhile: version {before.version}, by {before.author}. {_AGAIN}")
        written = await self._put(tx, wanted, author, note, expected)
        await guarding.touch_all(tx, guarded_kind)
        return written

    async def _put(
        self, tx: Tx, wanted: CompanySettings, author: str, note: str, expected: int | None
    ) -> DocumentVersion:
        body = msgspec.json.encode(wanted.model_dump())
        draft = await writing.create_version(tx, KIND, ID, body, author=author, note=note, expected=expected)
        return await writing.activate(tx, KIND, ID, draft.version, author=author, note=note)


def read(version: DocumentVersion) -> CompanySettings:
    return CompanySettings.model_validate_json(version.body)
