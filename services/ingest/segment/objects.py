"""How are JSON objects put together without being taken apart? Pure: bytes of objects in, bytes of an object out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

EMPTY: Final = b"{}"

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()
# Not the whole grammar of addresses, but what stands around them in the text of a URL ends them here too. The sign is
# looked for first and the way to the left is short, so that no text takes longer than its length.
_DOMAIN = re.compile(rb'(?:@|%40)(?:[^\s"\\/?&=#,;:<>()\[\]{}@%.]{1,63}\.){1,8}[A-Za-z]{2,24}')
_ENDS_LOCAL_PARTS = frozenset(b' \t\r\n"\\/?&=#,;:<>()[]{}@')
_LOCAL_PART_BYTES_MAX = 64
_BACKSLASH = ord("\\")
_LOW_SURROGATE = re.compile(rb"\\u[dD][c-fC-F]")
_MASK = b"(email)"


def members(raw: bytes | Raw) -> dict[str, Raw]:
    """The members of an object of checked grammar; none where there is null instead."""
    return _OBJECT.decode(raw) if bytes(raw)[:1] == b"{" else {}


def encoded(value: object) -> bytes:
    return _ENCODER.encode(value)


def text_in(held: Mapping[str, Raw], name: str) -> str | None:
    """The text of this name; None where there is none, or something else."""
    raw = held.get(name)
    if raw is None or bytes(raw)[:1] != b'"':
        return None
    return _TEXT.decode(raw)


def joined(raw: bytes, added: Mapping[str, bytes]) -> bytes:
    """The object with these members after its own; one whose name it has already stands under `segment_<name>`."""
    parts = []
    for name, value in added.items():
        quoted = b'"%b"' % name.encode()
        # The bytes alone may only suspect a name of standing at the top.
        if quoted in raw and name in members(raw):
            quoted = b'"segment_%b"' % name.encode()
        parts.append(quoted + b":" + value)
    if not parts:
        return raw
    own = raw[1:-1].strip()
    return b"{" + b",".join([own, *parts] if own else parts) + b"}"


def without_addresses(raw: bytes) -> bytes:
    """The same without the e-mail addresses that URLs carry along, `?email=ada@example.com` for one."""
    if b"@" not in raw and b"%40" not in raw:
        return raw
    parts: list[bytes] = []
    done = 0
    for found in _DOMAIN.finditer(raw):
        sign = found.start()
        begin, first = sign, max(done, sign - _LOCAL_PART_BYTES_MAX)
        while begin > first and (raw[begin - 1] not in _ENDS_LOCAL_PARTS or _is_letter(raw, begin - 1, sign)):
            begin -= 1
        begin = _character_at(raw, begin, sign)
        if begin < sign:
            parts += (raw[done:begin], _MASK)
            done = found.end()
    return b"".join((*parts, raw[done:]))


def _escapes(raw: bytes, at: int) -> bool:
    """Whether the backslash there begins an escape; the second one of a pair does not."""
    before = at
    while before > 0 and raw[before - 1] == _BACKSLASH:
        before -= 1
    return (at - before) % 2 == 0


def _is_letter(raw: bytes, at: int, end: int) -> bool:
    """Whether a letter stands there that is written as `\\u00e9`: a local part goes on through it."""
    return raw[at] == _BACKSLASH and raw[at + 1 : at + 2] == b"u" and at + 6 <= end and _escapes(raw, at)


def _character_at(raw: bytes, begin: int, end: int) -> int:
    """The first place from `begin` on where a cut leaves whole characters and whole escapes on its left."""
    nearby = max(0, begin - 5)
    if raw.find(b"\\", nearby, begin) >= 0:
        for at in range(nearby, begin):
            if raw[at] == _BACKSLASH and _escapes(raw, at):
                length = 6 if raw[at + 1 : at + 2] == b"u" else 2
                begin = max(begin, at + length)
    while begin < end and raw[begin] & 0xC0 == 0x80:
        begin += 1
    # The second half of a surrogate pair belongs to what stays.
    return begin + 6 if raw[begin] == _BACKSLASH and _LOW_SURROGATE.match(raw, begin) else begin
