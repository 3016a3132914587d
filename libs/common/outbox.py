"""What has been committed and is not yet known to be published? One row holds what one transaction wrote.

The rows are written with the state that caused them. Their owner publishes from memory, in the order of `seq`, and
deletes them with its next commit; they are read only in doubt: after a lost answer or a change of owner. The payload is
compressed: for PostgreSQL to write all of it, twice, would cost more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from cramjam import lz4

from libs.common.kafka import Record

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[str, int, bytes | None, bytes | None, list[tuple[str, bytes]]]])


def packed(records: Sequence[Record]) -> bytes:
    return bytes(lz4.compress_block(_encoder.encode(records)))


async def load(connection: Any, worker: str, unit: int) -> list[Record]:
    """Everything of the unit that may not have been published, oldest first."""
    rows = await connection.fetch(
        "SELECT payload FROM outbox WHERE worker = $1 AND unit = $2 ORDER BY seq", worker, unit
    )
    return [Record(*fields) for row in rows for fields in _decoder.decode(lz4.decompress_block(row["payload"]))]
