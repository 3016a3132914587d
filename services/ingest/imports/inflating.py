"""What does a file hold that was sent compressed? Inflated piece by piece, within bounds. Pure but for its state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from libs.common.errors import DangolError

MAGIC: Final = b"\x1f\x8b"
RATIO_MAX: Final = 200
"""How many bytes one compressed byte may stand for, beyond the first `RATIO_FREE_BYTES`."""
RATIO_FREE_BYTES: Final = 16 << 20
PIECE_BYTES: Final = 256 * 1024
_GZIP_WINDOW = 31


class Unreadable(DangolError):
    """The file as a whole cannot be read; the text says why, and what to do about it."""


class Plain:
    """What was not compressed: counted, and bounded like what was."""

    def __init__(self, bytes_max: int) -> None:
        self.made = 0
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._count(len(data))
        yield data

    def finish(self) -> None:
        """Nothing can be missing here."""

    def _count(self, number: int) -> None:
        self.made += number
        if self.made > self._bytes_max:
            raise Unreadable(f"The file is larger than {self._bytes_max} bytes; send it in smaller parts.")


class Gunzip(Plain):
    """One or several gzip members, one after the other as `cat` joins them."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(bytes_max)
        self._read = 0
        self._stream = zlib.decompressobj(wbits=_GZIP_WINDOW)

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._read += len(data)
        while data:
            if self._stream.eof:
                if not data.strip(b"\x00"):
                    # Tapes and some tools fill up the end with zeros.
                    return
                self._stream = zlib.decompressobj(wbits=_GZIP_WINDOW)
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise Unreadable(f"The file cannot be inflated: {error}. Is it gzip, and whole?") from None
            data = self._stream.unconsumed_tail or self._stream.unused_data
            self._count(len(piece))
            if self.made > RATIO_FREE_BYTES + RATIO_MAX * self._read:
                raise Unreadable(f"The file inflates to more than {RATIO_MAX} times its size.")
            if piece:
                yield piece

    def finish(self) -> None:
        if not self._stream.eof:
            raise Unreadable("The compressed file ends too early; it was cut off before it was sent.")


def inflater_for(first: bytes, encoding: str, bytes_max: int) -> Plain:
    """Told by its first bytes, which begin no text; Unreadable when something else was announced."""
    if first.startswith(MAGIC):
        return Gunzip(bytes_max)
    if encoding:
        raise Unreadable(f"The file was announced as {encoding} and does not begin like that.")
    return Plain(bytes_max)
