"""How is one address told from another where the address itself must not be said?"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

DIGITS_COMPARED: Final = 8
"""A number with its country code and one without are the same number."""


def address_mark(address: str) -> str:
    """The same for all ways to write an address; of a telephone number its last digits count.

    Whoever has a list of candidates can try them: where no address may be, no mark may be either.
    """
    squeezed = address.strip().casefold()
    digits = "".join(each for each in squeezed if each.isdigit())
    if len(digits) >= DIGITS_COMPARED and not squeezed.strip("+0123456789 -.()\t"):
        squeezed = digits[-DIGITS_COMPARED:]
    return blake2b(squeezed.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
