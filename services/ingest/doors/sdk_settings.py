"""What does a browser SDK ask before it sends anything? Where to send it, and that it may.

Segment's asks `GET /v1/projects/{write key}/settings` and sends nothing, silently, unless the answer names the
destination `Segment.io`; RudderStack's asks `GET /sourceConfig/`. Both answers are the same for everybody who has the
key, which stands in the page anyway.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from libs.common.errors import NotFound, Unauthenticated
from services.ingest.doors.segment import key_in_query
from services.ingest.doors.visit import Reply, Visit
from services.ingest.keys.book import WriteKey, secret_in
from services.ingest.reception import Reception
from services.ingest.refusals import NotPossible, TooFast
from services.ingest.replies import JSON

PROJECTS: Final = "/v1/projects/"
SOURCE_CONFIG: Final = ("/sourceConfig", "/sourceConfig/")

_SETTINGS = re.compile(re.escape(PROJECTS) + r"([^/]{1,200})/settings\Z")
_HOST = re.compile(r"[A-Za-z0-9.\-_:\[\]]{1,255}\Z")
_CACHED: Final = ((b"cache-control", b"private, max-age=300"),)
_OFF: Final = {"enabled": False}


class SdkSettings:
    """`public_url` is the address that browsers reach this service at; empty for the one that they asked by."""

    def __init__(self, reception: Reception, public_url: str = "") -> None:
        self._reception = reception
        self._public_url = public_url

    async def answer(self, visit: Visit) -> Reply:
        visit.read = True
        if visit.method not in ("GET", "HEAD"):
            raise NotPossible(f"{visit.method} is not possible at {visit.path}; it is read by GET.", "GET")
        if visit.path in SOURCE_CONFIG:
            secret = secret_in(visit.head.key) or key_in_query(visit)
            return _reply(visit, _source_config(self._known(visit, secret), secret.decode("latin-1")))
        found = _SETTINGS.match(visit.path)
        if found is None:
            raise NotFound("There is nothing here; a browser SDK asks for /v1/projects/{write key}/settings.")
        self._known(visit, found[1].encode())
        return _reply(visit, _project_settings(found[1], *self._address(visit)))

    def _known(self, visit: Visit, secret: bytes) -> WriteKey:
        """The key; NotFound where Segment would not know the project, Forbidden from a page that may not use it."""
        try:
            return self._reception.key_of(b"Bearer " + secret, visit.head.origin)
        except Unauthenticated as error:
            raise NotFound(error.detail) from None
        except TooFast:
            # Who has sent too much still learns where to; nothing is sent here.
            holding = self._reception.registry.holding_of(b"Bearer " + secret)
            assert holding is not None
            return holding.key

    def _address(self, visit: Visit) -> tuple[str, str]:
        """Scheme and host, with the port, that a browser reaches this service at."""
        if self._public_url:
            scheme, _, host = self._public_url.rstrip("/").partition("://")
            return scheme, host
        host = visit.header(b"host").decode("latin-1")
        return visit.scope.get("scheme", "http"), host if _HOST.match(host) else "localhost"


def _project_settings(secret: str, scheme: str, host: str) -> dict[str, Any]:
    return {
        "integrations": {"Segment.io": {"apiKey": secret, "apiHost": f"{host}/v1", "protocol": scheme}},
        "plan": {"track": {"__default": {"enabled": True}}},
        # The client measures itself and reports that to its maker, unless it is told not to, and another address.
        "metrics": {"sampleRate": 0, "host": f"{host}/v1", "protocol": scheme},
    }


def _source_config(key: WriteKey, secret: str) -> dict[str, Any]:
    return {
        "source": {
            "id": key.key_id,
            "name": key.scope.name or key.channel,
            "writeKey": secret,
            "enabled": True,
            "workspaceId": "dangol",
            "dataplanes": {},
            "config": {"statsCollection": {"errors": _OFF, "metrics": _OFF}},
            "connections": [],
            "destinations": [],
        }
    }


def _reply(visit: Visit, document: dict[str, Any]) -> Reply:
    body = b"" if visit.method == "HEAD" else msgspec.json.encode(document)
    return Reply(200, JSON, body, _CACHED)
