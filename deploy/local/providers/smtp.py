"""How does the demo's mail server behave? As a real one, save that it delivers nothing."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiosmtpd.smtp import SMTP

from deploy.local.providers.faults import Faults
from deploy.local.providers.ledger import Ledger
from deploy.local.providers.receipts import Receipts

_MESSAGE_ID = re.compile(r"^Message-ID:\s*<([0-9a-f-]{36})@", re.IGNORECASE | re.MULTILINE)
_HEAD_BYTES_MAX = 16_384


class Inbox:
    """The handler that aiosmtpd calls. Addresses with `+bounce` are accepted and bounce a moment later."""

    def __init__(self, ledger: Ledger, receipts: Receipts, faults: Faults) -> None:
        self._ledger = ledger
        self._receipts = receipts
        self._faults = faults

    async def handle_RCPT(  # noqa: N802 - the library's name.
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        del server, session
        if "+reject" in address:
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - as above.
        del session
        fault = self._faults.next("smtp")
        mode = fault.mode if fault else ""
        if fault and mode == "latency":
            await asyncio.sleep(fault.seconds)
        elif mode in ("429", "503"):
            return "451 4.7.0 Try again later"
        elif mode in ("reject", "500"):
            return "554 5.7.1 Refused"
        elif mode == "hang":
            await asyncio.sleep(3_600)
        elif mode == "drop":
            return _cut(server)
        self._accept(envelope)
        return _cut(server) if mode == "accept_then_drop" else "250 2.0.0 Accepted"

    def _accept(self, envelope: Any) -> None:
        content: bytes = envelope.content
        head = content[:_HEAD_BYTES_MAX].partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        found = _MESSAGE_ID.search(head)
        message_id = found[1] if found else ""
        for address in envelope.rcpt_tos:
            duplicate = "\nX-Dangol-Possible-Duplicate:" in head
            self._ledger.add("accepted", "email", message_id, "", address, possible_duplicate=duplicate)
            self._receipts.later(message_id, "bounced" if "+bounce" in address else "delivered")


def _cut(server: SMTP) -> str:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()
    return "421 4.4.2 Gone"


async def serve(host: str, port: int, inbox: Inbox) -> asyncio.Server:
    loop = asyncio.get_running_loop()

    def connected() -> SMTP:
        return SMTP(inbox, hostname="dangol-demo", ident="Dangol demo mail server", enable_SMTPUTF8=True, loop=loop)

    return await loop.create_server(connected, host, port)
