"""Who may look at imports? People by their roles, and whoever holds the write key by which a file came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from libs.common.auth import BEARER, Guard, Principal
from services.ingest.keys.book import WriteKey
from services.ingest.reception import Reception


@dataclass(frozen=True, slots=True)
class KeyHolder(Principal):
    """Whoever sent a write key in place of a token: sees what came by that key, and nothing else."""

    key_id: str = ""


class KeyOrRole(Guard):
    """`Depends(KeyOrRole(reception, "viewer"))` lets in what `requires("viewer")` does, and write keys."""

    def __init__(self, reception: Reception, *roles: str) -> None:
        super().__init__(roles)
        self._reception = reception

    def __call__(
        self, request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Principal:
        key = self._key_in(request)
        if key is None:
            return Guard.__call__(self, request, bearer)
        return KeyHolder(f"key {key.key_id}", frozenset(), key_id=key.key_id)

    def _key_in(self, request: Request) -> WriteKey | None:
        header = (request.headers.get("x-write-key") or request.headers.get("authorization") or "").encode("latin-1")
        if not header or self._reception.registry.holding_of(header) is None:
            return None
        return self._reception.key_of(header)


def may_see_lines(principal: Principal) -> bool:
    """The lines of a file name people: they are shown to those who mend them, and to their sender."""
    return isinstance(principal, KeyHolder) or principal.has("operator")


def key_of(principal: Principal) -> str | None:
    """The key to whose imports this caller is confined; None for people."""
    return principal.key_id if isinstance(principal, KeyHolder) else None
