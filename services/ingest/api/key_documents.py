"""How do people write and read write keys over HTTP?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from libs.common import web
from libs.common.db import Row
from libs.common.errors import Fault, Invalid
from services.ingest.envelope import BRANCH_LENGTH_MAX
from services.ingest.keys.book import BROWSER, PERMISSIONS, Scope, StoredKey

_WILDCARDS_MAX = 4
_LISTED_MAX = 50


def _known_permission(name: str) -> str:
    if name not in PERMISSIONS:
        raise ValueError(f"the permissions are {', '.join(PERMISSIONS)}")
    return name


def _few_wildcards(pattern: str) -> str:
    if pattern.count("*") > _WILDCARDS_MAX:
        raise ValueError(f"at most {_WILDCARDS_MAX} wildcards")
    return pattern


Source = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_few_wildcards)]
Type = Annotated[str, Field(pattern=r"^[a-z0-9_.*]{1,100}$"), AfterValidator(_few_wildcards)]
Branch = Annotated[str, Field(min_length=1, max_length=BRANCH_LENGTH_MAX)]
Permission = Annotated[str, AfterValidator(_known_permission)]
Origin = Annotated[
    str, Field(max_length=200, pattern=r"^[a-z][a-z0-9+.-]*://(\*\.)?[a-z0-9][a-z0-9.-]*(:([0-9]{1,5}|\*))?$")
]
Kind = Literal["server", "browser"]


class Rights(web.Document):
    """What the holder of a key may do.

    `sources`, `types` and `origins` may hold * for any characters; what lists nothing allows all. A key with branches
    sends no event without one. Origins are the pages that a browser key may be used on. The rate counts for each
    process of ingest, with a burst of two seconds' worth and of 100 events at least.
    """

    name: str = Field(default="", max_length=100, examples=["Tills of the Gangnam branch"])
    sources: list[Source] = Field(default=[], max_length=_LISTED_MAX, examples=[["store-*/pos-*"]])
    types: list[Type] = Field(default=[], max_length=_LISTED_MAX, examples=[["purchase", "refund"]])
    branches: list[Branch] = Field(default=[], max_length=_LISTED_MAX, examples=[["gangnam"]])
    permissions: list[Permission] = Field(default=[], max_length=len(PERMISSIONS))
    origins: list[Origin] = Field(default=[], max_length=_LISTED_MAX, examples=[["https://*.shop.example"]])
    events_per_second: float | None = Field(default=None, ge=0.01, le=1_000_000)
    expires_at: AwareDatetime | None = None


class NewKey(Rights):
    """A `browser` key is public: it speaks for browsers and apps, never of consent and never of unproven people."""

    channel: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["pos"])
    kind: Kind = "server"


class Secret(web.Document):
    """`hint` is the end of the secret; empty where it was never known."""

    secret_id: str
    hint: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class Key(web.Document):
    key_id: str
    channel: str
    kind: Kind
    name: str
    sources: list[str]
    types: list[str]
    branches: list[str]
    permissions: list[str]
    origins: list[str]
    events_per_second: float | None
    version: int
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    identity_secret_since: datetime | None = None
    secrets: list[Secret]


class MadeKey(Key):
    """`key` is the secret itself; it is shown this once and stored only as a hash."""

    key: str


class SecretOrder(web.Document):
    """`old_expires_in_hours` lets the secret that the new one replaces expire by itself; 0 does so at once."""

    old_expires_in_hours: float | None = Field(default=None, ge=0, le=8_760)
    expires_at: AwareDatetime | None = None


class MadeSecret(Secret):
    """`key` is the secret itself; it is shown this once and stored only as a hash."""

    key: str


class MadeIdentitySecret(web.Document):
    """What a site's server signs tokens with. It is shown this once; the one before it holds until `old_until`."""

    identity_secret: str
    algorithm: str
    audience: str
    created_at: datetime
    old_until: datetime


def checked(key_id: str, channel: str, kind: Kind, rights: Rights, now: datetime) -> StoredKey:
    """The key with these rights; Invalid when they do not go together."""
    faults = []
    if kind == BROWSER:
        if rights.permissions:
            faults.append(Fault("/permissions", "a browser key is public and has no permissions"))
        if not rights.sources:
            faults.append(Fault("/sources", "a browser key is public and has to say which sources it may claim"))
    elif rights.origins:
        faults.append(Fault("/origins", "origins belong to browser keys; a server sends none"))
    if "expires_at" in rights.model_fields_set and rights.expires_at is not None and rights.expires_at <= now:
        faults.append(Fault("/expires_at", "this lies in the past; revoke the key instead"))
    if faults:
        raise Invalid("These rights do not go together.", faults)
    return StoredKey(
        key_id=key_id,
        channel=channel,
        sources=tuple(rights.sources),
        permissions=tuple(sorted(set(rights.permissions))),
        scope=Scope(
            name=rights.name,
            kind=kind,
            types=tuple(rights.types),
            branches=tuple(rights.branches),
            origins=tuple(rights.origins),
            events_per_second=rights.events_per_second,
            expires_at=rights.expires_at,
        ),
    )


def changed(row: Row, change: Rights) -> Rights:
    """The rights of a stored key with what a change names put in its place."""
    held = {name: row[name] for name in Rights.model_fields}
    # Only what the change names counts as set: a past end that is left alone is no fault of this change.
    return Rights.model_construct(change.model_fields_set, **(held | change.model_dump(exclude_unset=True)))


def shown(row: Row, secrets: Sequence[Row], identity_secret_since: datetime | None) -> Key:
    own = [Secret(**{name: each[name] for name in Secret.model_fields}) for each in secrets]
    used = [each.last_used_at for each in own if each.last_used_at is not None]
    return Key(
        **dict(row), secrets=own, last_used_at=max(used, default=None), identity_secret_since=identity_secret_since
    )
