"""How do the demo's SMS gateway and webhook receiver behave? They keep keys, and misbehave when told to."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import web

from deploy.local.providers.faults import Fault, Faults
from deploy.local.providers.ledger import Ledger
from deploy.local.providers.receipts import Receipts
from libs.common import clock

BODY_BYTES_MAX = 1 << 20
KEYS_MAX = 1_000_000


class Gateway:
    """`/sms`, `/webhook`, and for tests `/ledger` and `/faults`. Numbers that end in 0000 are refused."""

    def __init__(self, ledger: Ledger, receipts: Receipts, faults: Faults, key_seconds: float) -> None:
        self._ledger = ledger
        self._receipts = receipts
        self._faults = faults
        self._key_seconds = key_seconds
        self._keys: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        for line in ledger.lines():
            if line["idempotency_key"] and line["kind"] == "accepted":
                answer = {"id": line.get("ref", ""), "status": "accepted"}
                self._remember((line["channel"], line["idempotency_key"]), answer)

    def application(self) -> web.Application:
        made = web.Application(client_max_size=BODY_BYTES_MAX)
        made.router.add_post("/sms", self.sms)
        made.router.add_post("/webhook", self.webhook)
        made.router.add_get("/ledger", self.ledger)
        made.router.add_put("/faults/{door}", self.fault)
        made.router.add_get("/healthz", self.alive)
        return made

    async def sms(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        number, message_id = str(body.get("to", "")), str(body.get("message_id", ""))
        if number.endswith("0000") or not number:
            return web.json_response({"code": "invalid_number"}, status=422)
        key = request.headers.get("Idempotency-Key", "")
        return await self._take(request, "sms", "sms", message_id, key, number)

    async def webhook(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        key = request.headers.get("webhook-id", "")
        data = body.get("data")
        customer = str(data.get("customer_id", "")) if isinstance(data, dict) else ""
        return await self._take(request, "webhook", "webhook", key, key, customer)

    async def _take(
        self, request: web.Request, door: str, channel: str, message_id: str, key: str, recipient: str
    ) -> web.StreamResponse:
        asked = request.query.get("fault")
        fault = Fault(asked, seconds=float(request.query.get("seconds", "1"))) if asked else self._faults.next(door)
        mode = fault.mode if fault else ""
        if fault is not None and mode in ("latency", "hang"):
            await asyncio.sleep(fault.seconds if mode == "latency" else 3_600)
        if fault is not None and mode in ("429", "503"):
            headers = {"Retry-After": str(max(1, round(fault.seconds)))}
            return web.json_response({"code": "slow_down"}, status=int(mode), headers=headers)
        if mode == "reject":
            return web.json_response({"code": "content_refused"}, status=422)
        if mode == "drop":
            return _cut(request)
        answer = self._accepted(channel, message_id, key, recipient)
        if mode == "accept_then_drop":
            return _cut(request)
        return web.json_response({"code": "broken"}, status=500) if mode == "500" else web.json_response(answer)

    def _accepted(self, channel: str, message_id: str, key: str, recipient: str) -> dict[str, Any]:
        known = self._keys.get((channel, key)) if key else None
        if known is not None and time.monotonic() - known[0] < self._key_seconds:
            self._ledger.add("repeat", channel, message_id, key, recipient)
            return known[1]
        answer = {"id": str(clock.new_id()), "status": "accepted"}
        self._ledger.add("accepted", channel, message_id, key, recipient, ref=answer["id"])
        if key:
            self._remember((channel, key), answer)
        self._receipts.later(message_id, "delivered")
        return answer

    def _remember(self, key: tuple[str, str], answer: dict[str, Any]) -> None:
        if len(self._keys) >= KEYS_MAX:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = (time.monotonic(), answer)

    async def ledger(self, request: web.Request) -> web.Response:
        lines = self._ledger.lines()
        wanted = request.query.get("message_id")
        return web.json_response({"items": [line for line in lines if wanted in (None, line["message_id"])]})

    async def fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.set(request.match_info["door"], await _json(request))
        except ValueError as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from None
        return web.json_response({"status": "set"})

    async def alive(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"status": "alive"})


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPUnprocessableEntity(text="the body is not an object")
    return body
