"""What do the headers of a resumable upload say? tus 1.0.0, pure: bytes of headers in, values out.

Of the extensions: creation, creation-with-upload, creation-defer-length, termination and checksum.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import md5, sha1, sha256
from typing import Any, Final, NamedTuple

from libs.common.errors import Refused

VERSION: Final = b"1.0.0"
EXTENSIONS: Final = b"creation,creation-with-upload,creation-defer-length,termination,checksum"
PIECE_TYPE: Final = b"application/offset+octet-stream"
METADATA_LENGTH_MAX: Final = 8_192
_ALGORITHMS: Final = {"sha1": sha1, "sha256": sha256, "md5": md5}
ALGORITHMS: Final = ",".join(_ALGORITHMS).encode()
_LENGTH_DIGITS_MAX = 15


class WrongVersion(Refused):
    status = 412
    title = "Another version of tus"


class WrongType(Refused):
    status = 415
    title = "The content type is not supported"


class WrongChecksum(Refused):
    status = 460
    title = "Checksum mismatch"


class Checksum(NamedTuple):
    """What the bytes of one request should come to; `state` is fed with them."""

    state: Any
    expected: bytes

    def agrees(self) -> bool:
        found: bytes = self.state.digest()
        return found == self.expected


def check_version(header: bytes) -> None:
    if header.strip() != VERSION:
        raise WrongVersion("Send the header Tus-Resumable: 1.0.0, the version of tus that is understood here.")


def number_in(header: bytes, name: str) -> int | None:
    """None without the header; Refused for what is no number."""
    text = header.strip()
    if not text:
        return None
    if not text.isdigit() or len(text) > _LENGTH_DIGITS_MAX:
        raise Refused(f"The header {name} is not a number of bytes.")
    return int(text)


def metadata_in(header: bytes) -> dict[str, str]:
    """`name base64,name base64`; a name alone has an empty value."""
    if len(header) > METADATA_LENGTH_MAX:
        raise Refused(f"The header Upload-Metadata is longer than {METADATA_LENGTH_MAX} bytes.")
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in header.split(b","))):
        name, _, value = pair.partition(b" ")
        try:
            key = name.decode("ascii")
            found[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (UnicodeDecodeError, binascii.Error):
            shown = name.decode("ascii", "replace")[:60]
            raise Refused(f"The value of {shown!r} in Upload-Metadata is not UTF-8 in base64.") from None
    return found


def checksum_in(header: bytes) -> Checksum | None:
    """None without the header; Refused for an algorithm that is not known here."""
    if not header.strip():
        return None
    name, _, value = header.strip().partition(b" ")
    algorithm = _ALGORITHMS.get(name.decode("latin-1").lower())
    if algorithm is None:
        raise Refused(f"The checksums of an upload are {ALGORITHMS.decode()}.")
    try:
        expected = base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        raise Refused("The value of Upload-Checksum is not base64.") from None
    return Checksum(algorithm(usedforsecurity=False), expected)
