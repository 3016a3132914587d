"""What do templates look like over HTTP?"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from libs.common.web import Document
from services.notify.content import TemplateBody

SOURCE_LENGTH_MAX = 32_768


class Sample(Document):
    """A customer and a trigger to try the template with; nothing that it prints may be missing from them."""

    customer: dict[str, Any] = {}
    trigger: dict[str, Any] = {}


class TemplateDocument(Document):
    """Liquid over `customer`, `trigger` and `message.unsubscribe_url`; `{{ url | track }}` makes a tracked link."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")
    channel: Literal["email", "sms", "push", "webhook", "call"]
    subject: str = Field("", max_length=500)
    body: str = Field(min_length=1, max_length=SOURCE_LENGTH_MAX)
    language: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    sample: Sample | None = None

    def as_body(self) -> TemplateBody:
        sample = self.sample.model_dump(exclude_unset=True) if self.sample is not None else {}
        return TemplateBody(self.id, self.channel, self.body, self.subject, self.language, sample)

    def as_json(self) -> bytes:
        return msgspec.json.encode(self.model_dump(exclude_unset=True, exclude_none=True))


class Validity(BaseModel):
    valid: bool


class Preview(BaseModel):
    subject: str
    body: str
    links: list[str]
