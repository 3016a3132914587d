"""What sets one kind of documents apart from the others over HTTP?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.common.db import Tx
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.documents.shapes import Connection, DocumentVersion
from libs.common.documents.views import VersionView

READERS = ("viewer", "marketer", "approver", "operator")


class Written(msgspec.Struct, frozen=True):
    """A document that was checked: its id, and the JSON that is kept of it."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentKind:
    """What one kind of documents has of its own.

    `read` is a dependency of FastAPI that takes the document out of the request, checks it and gives back `Written`;
    as a plain function it runs in a thread. `read_at` does so for a version of the document that the path names.
    `validate` is the endpoint that checks without keeping. `examine` looks once more at a version that is about to
    be put in force, and raises Invalid. `confirm` looks at what was switched, in the same transaction, and raises what
    keeps it from being so. `refresh` makes what was switched count here at once.
    `shows` makes the `view` of one version where that says more than every document's.
    `has_ramp` says that a version may be put in force for a share of the customers, `has_changes` that the history of
    what was in force is shown. `ends` says what ending a document leaves behind. `approves` names who may give a
    second person's word on a version; nobody is asked where it is empty. `policy` says when that word is needed.
    """

    name: str
    noun: str
    plural: str
    read: Callable[..., Written | Awaitable[Written]]
    validate: Callable[..., Any]
    validates: tuple[str, ...]
    activates: tuple[str, ...]
    stops: tuple[str, ...]
    read_at: Callable[..., Written | Awaitable[Written]] | None = None
    reads: tuple[str, ...] = READERS
    writes: tuple[str, ...] = ("marketer",)
    approves: tuple[str, ...] = ()
    policy: ApprovalPolicy = ApprovalPolicy()
    examine: Callable[[DocumentVersion], Awaitable[None]] | None = None
    confirm: Callable[[Tx, DocumentVersion], Awaitable[None]] | None = None
    refresh: Callable[[], Awaitable[None]] | None = None
    shows: Callable[[Connection, DocumentVersion], Awaitable[VersionView]] | None = None
    view: type[VersionView] = VersionView
    has_ramp: bool = True
    has_changes: bool = True
    pauses: str = "Stops the version in force until it is resumed."
    ends: str = "Ends it; its versions stay."
