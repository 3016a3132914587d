"""How fast could an HTTP server of ours be at best? One that reads the body and answers 202, on the same settings.

Run as a module it lives and dies exactly like a service; `DANGOL_BARE_PORT` is its port.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import Field
from starlette.types import Receive, Scope, Send

from libs.common import runtime
from libs.common.settings import CommonSettings, Port

_ANSWER = b'{"accepted":1,"rejected":[],"ids":["receipt-000000001"]}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]


class BareSettings(CommonSettings):
    port: Port = Field(0, validation_alias="DANGOL_BARE_PORT")


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


async def build(settings: BareSettings) -> runtime.App:
    return runtime.App(FastAPI(openapi_url=None), asgi=bare)


if __name__ == "__main__":
    runtime.run("bare", BareSettings, build)
