"""How does a message become e-mail? MIME with both texts, over SMTP connections that are kept."""

from __future__ import annotations

import base64
import re
import time
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPConnectError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from services.notify.content import as_text
from services.notify.delivery import Accepted, Rejected, RetryLater
from services.notify.providers.port import Ambiguous, Outgoing

IDLE_SECONDS_MAX = 20.0
_ADDRESS = re.compile(r"^[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}$", re.ASCII)


class Mail:
    """SMTP cannot recognise a repeat, so what ends in doubt stays in doubt."""

    name = "smtp"
    key_seconds = 0

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        *,
        username: str = "",
        password: str = "",
        start_tls: bool = False,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._host, self._port = host, port
        self._sender = sender
        self._envelope_sender = parseaddr(sender)[1]
        self._username, self._password = username, password
        self._start_tls = start_tls
        self._timeout_seconds = timeout_seconds
        self._idle: list[tuple[SMTP, float]] = []

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()

    async def send(self, outgoing: Outgoing, now: datetime) -> Accepted | Rejected | RetryLater:
        if not _ADDRESS.match(outgoing.recipient):
            return Rejected("address_invalid", permanent=True)
        content = compose(outgoing, self._sender, now)
        client = self._kept()
        if client is not None:
            answer = await self._through(client, outgoing.recipient, content)
            if not (isinstance(answer, RetryLater) and not client.is_connected):
                return answer
            # The server had closed what we kept; nothing was sent, and a new connection tells how things are.
        try:
            client = await self._connected()
        except (SMTPConnectError, OSError, TimeoutError) as error:
            return RetryLater(f"smtp_unreachable: {type(error).__name__}", everybody=True)
        except SMTPException as error:
            return RetryLater(f"smtp_refuses_us: {type(error).__name__}", everybody=True)
        return await self._through(client, outgoing.recipient, content)

    def _kept(self) -> SMTP | None:
        oldest = time.monotonic() - IDLE_SECONDS_MAX
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and since > oldest:
                return client
            client.close()
        return None

    async def _connected(self) -> SMTP:
        client = SMTP(
            hostname=self._host,
            port=self._port,
            timeout=self._timeout_seconds,
            start_tls=self._start_tls,
            use_tls=False,
            local_hostname="dangol",
        )
        await client.connect()
        if self._username:
            await client.login(self._username, self._password)
        return client

    async def _through(self, client: SMTP, recipient: str, content: bytes) -> Accepted | Rejected | RetryLater:
        done = False
        try:
            answer = await self._converse(client, recipient, content)
            done = True
            return answer
        finally:
            # A conversation that was cut short leaves a connection that nobody can use any more.
            if done and client.is_connected:
                self._idle.append((client, time.monotonic()))
            else:
                client.close()

    async def _converse(self, client: SMTP, recipient: str, content: bytes) -> Accepted | Rejected | RetryLater:
        try:
            await client.mail(self._envelope_sender)
            await client.rcpt(recipient)
        except SMTPResponseException as error:
            return await self._refused(client, error)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return RetryLater(f"smtp_before_data: {type(error).__name__}")
        try:
            response = await client.data(content)
        except SMTPResponseException as error:
            return await self._refused(client, error)
        except (SMTPException, OSError, TimeoutError) as error:
            raise Ambiguous(f"smtp_in_data: {type(error).__name__}") from error
        return Accepted(response.message[:200])

    async def _refused(self, client: SMTP, error: SMTPResponseException) -> Rejected | RetryLater:
        try:
            if error.code == 421:
                client.close()
            else:
                await client.rset()
        except (SMTPException, OSError, TimeoutError):
            client.close()
        if error.code < 500:
            return RetryLater(f"smtp_{error.code}", everybody=error.code == 421)
        return Rejected(f"smtp_{error.code}", permanent=isinstance(error, SMTPRecipientRefused))


def compose(outgoing: Outgoing, sender: str, now: datetime) -> bytes:
    """The message as it goes over the wire; its Message-ID is made of the message's id.

    Put together by hand: the standard library's objects take fifty times as long, which is most of a core at a few
    hundred messages a second. What comes from outside is one line by now, or encoded here.
    """
    name, address = parseaddr(sender)
    boundary = f"=_{outgoing.message_id}"
    lines = [
        f"From: {formataddr((name, address))}",
        f"To: {outgoing.recipient}",
        f"Subject: {_header(outgoing.subject)}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{outgoing.message_id}@{address.rpartition('@')[2]}>",
        f"List-Unsubscribe: <{outgoing.unsubscribe_url}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        *(["X-Dangol-Possible-Duplicate: yes"] if outgoing.possible_duplicate else []),
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
        "",
        *_part(boundary, "plain", as_text(outgoing.body)),
        *_part(boundary, "html", outgoing.body),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def _header(text: str) -> str:
    one_line = " ".join(text.split())
    if one_line.isascii() and one_line.isprintable() and "=?" not in one_line:
        return one_line
    return Header(one_line, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _part(boundary: str, kind: str, text: str) -> list[str]:
    encoded = base64.encodebytes(text.encode("utf-8", "replace")).decode("ascii")
    return [
        f"--{boundary}",
        f'Content-Type: text/{kind}; charset="utf-8"',
        "Content-Transfer-Encoding: base64",
        "",
        *encoded.splitlines(),
    ]
