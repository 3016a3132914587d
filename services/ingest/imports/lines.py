"""Where does one line of a file end and the next begin? Bytes in, lines out, in bounded memory. Pure.

A line of CSV may hold line breaks between quotation marks. What is read from a place on depends on the bytes from
there on alone, so that a reader that begins at the end of any line sees what the first reader saw.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

LINE_BYTES_MAX: Final = 256 * 1024
BREAKS_MAX: Final = 1_000
"""How many line breaks one line of CSV may hold between quotation marks."""
BOM: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """`number` counts from 1 as an editor does, `following` is the number after it; `end` is a place in the file.

    `raw` has no line break at its end. With a `fault`, this is as much of a line as could be told.
    """

    number: int
    following: int
    end: int
    raw: bytes
    fault: str = ""


class Lines:
    """Lines that end at each line feed; blank ones are passed over."""

    def __init__(self, position: int = 0, number: int = 1) -> None:
        self._end = position
        self._number = number
        self._rest = bytearray()
        # How many bytes of a line that is too long were dropped.
        self._dropped = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        pieces = data.split(b"\n")
        if len(pieces) > 1:
            if self._rest or self._dropped:
                yield from self._ended(bytes(self._rest) + pieces[0], 1)
                self._rest.clear()
            else:
                yield from self._ended(pieces[0], 1)
            for piece in pieces[1:-1]:
                yield from self._ended(piece, 1)
        self._rest += pieces[-1]
        if len(self._rest) > LINE_BYTES_MAX:
            self._dropped += len(self._rest) - LINE_BYTES_MAX
            del self._rest[LINE_BYTES_MAX:]

    def finish(self) -> Iterator[Line]:
        """What is left when the file has no line feed at its end."""
        if self._rest:
            rest = bytes(self._rest)
            self._rest.clear()
            yield from self._ended(rest, 0)

    def _ended(self, piece: bytes, feed: int) -> Iterator[Line]:
        number, size = self._number, len(piece) + self._dropped
        self._end += size + feed
        self._number += 1
        self._dropped = 0
        if size > LINE_BYTES_MAX:
            yield from self._broken(Line(number, number + 1, self._end, piece[:LINE_BYTES_MAX], _TOO_LONG))
        else:
            yield from self._whole(piece, number)

    def _whole(self, piece: bytes, number: int) -> Iterator[Line]:
        yield from _line(number, self._end, piece)

    def _broken(self, line: Line) -> Iterator[Line]:
        yield line


class QuotedLines(Lines):
    """Lines of CSV: a field that begins with a quotation mark goes on until the next single one."""

    def __init__(self, delimiter: str, position: int = 0, number: int = 1) -> None:
        super().__init__(position, number)
        mark = re.escape(delimiter.encode("ascii"))
        self._field = re.compile(rb'(?:"[^"]*(?:""[^"]*)*("?))?[^' + mark + rb"]*(" + mark + rb"?)")
        self._closing = re.compile(rb'[^"]*(?:""[^"]*)*("?)[^' + mark + rb"]*(" + mark + rb"?)")
        self._held: list[tuple[bytes, int, int]] = []
        self._held_bytes = 0

    def finish(self) -> Iterator[Line]:
        yield from super().finish()
        while self._held:
            yield from self._give_up()

    def _whole(self, piece: bytes, number: int) -> Iterator[Line]:
        yield from self._taken(piece, number, self._end)
        while self._held_bytes > LINE_BYTES_MAX or len(self._held) > BREAKS_MAX:
            yield from self._give_up()

    def _taken(self, piece: bytes, number: int, end: int) -> Iterator[Line]:
        if not self._held:
            if b'"' not in piece or not self._open_after(piece, 0):
                yield from _line(number, end, piece)
                return
        elif b'"' in piece and not self._stays_open(piece):
            raw = b"\n".join([each for each, _, _ in self._held] + [piece])
            first = self._held[0][1]
            self._held.clear()
            self._held_bytes = 0
            yield Line(first, number + 1, end, raw.removesuffix(b"\r"))
            return
        self._held.append((piece, number, end))
        self._held_bytes += len(piece) + 1

    def _broken(self, line: Line) -> Iterator[Line]:
        while self._held:
            yield from self._give_up()
        yield line

    def _give_up(self) -> Iterator[Line]:
        """The first line that is held is refused alone, and those after it are looked at anew."""
        waiting = deque(self._held)
        self._held.clear()
        self._held_bytes = 0
        piece, number, end = waiting.popleft()
        yield Line(number, number + 1, end, piece.removesuffix(b"\r"), _NEVER_CLOSED)
        while waiting:
            yield from self._taken(*waiting.popleft())

    def _stays_open(self, piece: bytes) -> bool:
        match = self._closing.match(piece)
        assert match is not None
        if not match[1]:
            return True
        return bool(match[2]) and self._open_after(piece, match.end())

    def _open_after(self, piece: bytes, place: int) -> bool:
        while True:
            match = self._field.match(piece, place)
            assert match is not None
            if match[1] == b"":
                return True
            if not match[2]:
                return False
            place = match.end()


def _line(number: int, end: int, piece: bytes) -> Iterator[Line]:
    if piece and not piece.isspace():
        yield Line(number, number + 1, end, piece.removesuffix(b"\r"))


_TOO_LONG: Final = f"The line is longer than {LINE_BYTES_MAX} bytes."
_NEVER_CLOSED: Final = (
    f"A quotation mark is opened in this line and not closed within {BREAKS_MAX} lines and {LINE_BYTES_MAX} bytes; "
    'close it, or write a quotation mark that is meant as one twice ("").'
)


def delimiter_in(header: bytes) -> str:
    """The mark that separates most of the first line's names; a comma when there is none."""
    outside = re.sub(rb'"[^"]*"', b"", header)
    return max((",", ";", "\t"), key=lambda mark: outside.count(mark.encode()))
