"""Which column means what? The mapping file of a replay, in TOML or JSON."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from deploy.local.failure import StackFailure


class Columns(Struct, forbid_unknown_fields=True):
    """Names of columns. A line's money is `amount`, or `quantity` times `price`.

    `identifiers`, `item` and `data` are by what the column becomes: identifier types, fields of an item, fields of
    the event's data. The last two take a basket's first value that is not empty.
    """

    basket: str
    time: str
    quantity: str = ""
    price: str = ""
    amount: str = ""
    branch: str = ""
    identifiers: dict[str, str] = {}
    item: dict[str, str] = {}
    data: dict[str, str] = {}


class Refund(Struct, forbid_unknown_fields=True):
    """A basket is a refund when its sum is negative, or nothing and its name begins with `prefix`."""

    prefix: str = ""


class Mapping(Struct, forbid_unknown_fields=True):
    """`id` is the pattern of event ids, with {basket}; `zone` is where times without an offset belong."""

    channel: str
    source: str
    zone: str
    columns: Columns
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    id: Annotated[str, Meta(pattern=r"\{basket\}")] = "{basket}"
    duplicates: Literal["keep", "drop"] = "keep"
    refund: Refund = msgspec.field(default_factory=Refund)

    @property
    def place(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def needed(self) -> list[str]:
        """Every column that is looked at."""
        return sorted(set(self._named()))

    def fingerprint(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    def _named(self) -> Iterator[str]:
        columns = self.columns
        singles = (columns.basket, columns.time, columns.quantity, columns.price, columns.amount, columns.branch)
        yield from (name for name in singles if name)
        for group in (columns.identifiers, columns.item, columns.data):
            yield from group.values()


def read(file: Path) -> Mapping:
    """StackFailure names the place of what is wrong."""
    try:
        text = file.read_text()
        raw = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        mapping = msgspec.convert(raw, Mapping)
    except OSError as error:
        raise StackFailure(f"the mapping {file} cannot be read: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise StackFailure(f"the mapping {file} is not usable: {error}") from None
    columns = mapping.columns
    if bool(columns.amount) == bool(columns.quantity and columns.price):
        raise StackFailure(f"the mapping {file} needs columns.amount, or columns.quantity and columns.price")
    try:
        ZoneInfo(mapping.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise StackFailure(f'the mapping {file} names no time zone: "{mapping.zone}"; e.g. Europe/London') from None
    return mapping
