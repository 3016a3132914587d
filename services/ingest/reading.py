"""How is a request's body read? With a cap, and inflated while it streams."""

from __future__ import annotations

import zlib
from typing import Final

from starlette.types import Receive

from libs.common.errors import Refused
from services.ingest.refusals import TooLarge, UnsupportedEncoding

BODY_BYTES_MAX: Final = 1 << 20
RATIO_MAX: Final = 100
"""How many bytes one compressed byte may stand for, beyond the first `RATIO_FREE_BYTES`."""
RATIO_FREE_BYTES: Final = 64 * 1024

_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class Disconnected(Exception):
    """The caller went away before the body was complete; there is nobody to answer."""


async def read_body(receive: Receive, encoding: bytes) -> bytes:
    """The whole body, inflated. Refused (413, 415, 400) past a limit."""
    inflater = _inflater(encoding)
    message = await receive()
    if not inflater and message["type"] == "http.request" and not message.get("more_body", False):
        return _capped(message.get("body", b""))
    return await _read_on(receive, message, inflater)


async def _read_on(receive: Receive, message: object, inflater: Inflater | None) -> bytes:
    body = bytearray()
    while True:
        assert isinstance(message, dict)
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        body += inflater.feed(chunk) if inflater else chunk
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
        if not message.get("more_body", False):
            break
        message = await receive()
    if inflater:
        inflater.finish()
    return bytes(body)


async def discard(receive: Receive) -> None:
    """Takes what is still coming of a body that nobody wants."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
        pass


class Inflater:
    """One compressed body; never makes more than the cap plus one byte of it."""

    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.decompressobj(wbits=window_bits)
        self._read = 0
        self._made = 0

    def feed(self, chunk: bytes) -> bytes:
        self._read += len(chunk)
        try:
            made = self._stream.decompress(chunk, BODY_BYTES_MAX + 1 - self._made)
        except zlib.error as error:
            raise Refused(f"The body cannot be inflated: {error}.") from None
        self._made += len(made)
        if self._made > BODY_BYTES_MAX or self._stream.unconsumed_tail:
            raise _too_large()
        if self._made > RATIO_FREE_BYTES + RATIO_MAX * self._read:
            raise TooLarge(f"The body inflates to more than {RATIO_MAX} times its size.")
        if self._stream.unused_data:
            raise Refused("Something follows the end of the compressed body.")
        return made

    def finish(self) -> None:
        if not self._stream.eof:
            raise Refused("The compressed body ends too early.")


def _inflater(encoding: bytes) -> Inflater | None:
    name = encoding.strip().lower()
    if not name or name == b"identity":
        return None
    bits = _WINDOW_BITS.get(name)
    if bits is None:
        raise UnsupportedEncoding("Only gzip and deflate are understood as Content-Encoding.")
    return Inflater(bits)


def _capped(body: bytes) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise _too_large()
    return body


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {BODY_BYTES_MAX} bytes; send it in smaller parts.")
