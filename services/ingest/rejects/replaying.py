"""How does what was refused come in after all? Once: its rows are locked from the examination until they are marked.

A crash after publishing and before marking leaves the rows open. The next replay then publishes the same bytes again,
which whoever reads the log knows for a repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final

import msgspec

from libs.common import clock
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database, Row, Tx
from libs.common.errors import BrokerAway, Refused
from services.ingest.intake import Accepted, Outcome, Rejected, Terms
from services.ingest.reception import Reception
from services.ingest.refusals import MALFORMED, Reject
from services.ingest.rejects.keeping import WHOLE
from services.ingest.rejects.reexamination import RECEIVED_AT, Reexamination, Way, as_then
from services.ingest.store import rejects as store
from services.ingest.store.rejects import Settled

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
KEY_REVOKED: Final = "key-revoked"
NOT_KEPT: Final = "not-kept"
NO_WAY: Final = "no-way"
BUSY: Final = "busy"
NOT_FOUND: Final = "not-found"

REPLAYED_AT_ONCE_MAX: Final = 500
SECONDS_MAX: Final = 10.0
PUBLISHED: Final = "replay_published"
_PIECE_ROWS_MAX = 50
_PIECE_BYTES_MAX = 1 << 20
# Longer than Kafka is waited for; the rows of a frozen process are free again after it.
_OPENING = "SET LOCAL idle_in_transaction_session_timeout = '{:.0f}s'"


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it, and how: `history` marks what has become too old, `dry_run` only looks."""

    actor: str
    history: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Found:
    """What became of one reject. `outcome` is one of those above, or the state of a row that is not open."""

    reject_id: str
    outcome: str
    event_ids: list[str] = field(default_factory=list)
    reason: str = ""
    detail: str = ""
    pointer: str = ""


@dataclass(slots=True)
class _Examined:
    found: Found
    outcome: Outcome | None = None
    terms: Terms | None = None


@dataclass(slots=True)
class Done:
    """`looked_at` rows of those that were asked for have their `found`; `stopped` says why there are not more."""

    found: list[Found] = field(default_factory=list)
    looked_at: int = 0
    stopped: str = ""


class Replay:
    """`counted` is told how each reject that was replayed in earnest fared."""

    def __init__(
        self,
        database: Database,
        reception: Reception,
        ways: Reexamination,
        counted: Callable[[str], None],
        crash: CrashPoints,
        *,
        locked_seconds_max: float = 10.0,
    ) -> None:
        self._database = database
        self._reception = reception
        self._ways = ways
        self._counted = counted
        self._crash = crash
        self._opening = _OPENING.format(locked_seconds_max)

    async def run(self, rows: Sequence[Row], order: Order) -> Done:
        """`rows` have reject_id and body_bytes. BrokerAway when not even the first of them could be published."""
        done = Done()
        until = time.monotonic() + SECONDS_MAX
        for piece in _pieces(rows):
            if time.monotonic() > until:
                done.stopped = "The time for one call is over."
                break
            try:
                done.found += await self._piece([str(row["reject_id"]) for row in piece], order)
            except BrokerAway:
                if not done.looked_at:
                    raise
                done.stopped = "Kafka does not answer; what is not listed here is as it was."
                break
            done.looked_at += len(piece)
        return done

    async def _piece(self, reject_ids: Sequence[str], order: Order) -> list[Found]:
        async with self._database.transaction(self._opening) as tx:
            read = store.read_open if order.dry_run else store.lock_open
            examined = [await self._examined(row, order) for row in await read(tx, reject_ids)]
            if not order.dry_run:
                await self._take([each for each in examined if each.found.outcome == ACCEPTED])
                self._crash.reach(PUBLISHED)
                await self._settle(tx, [each.found for each in examined], order)
        found = {each.found.reject_id: each.found for each in examined}
        if not order.dry_run:
            for each in found.values():
                self._counted(each.outcome)
        others = [reject_id for reject_id in reject_ids if reject_id not in found]
        found |= await self._others(others) if others else {}
        return [found[reject_id] for reject_id in reject_ids]

    async def _examined(self, row: Row, order: Order) -> _Examined:
        found = Found(str(row["reject_id"]), REFUSED)
        if row["kept"] != WHOLE:
            found.outcome = NOT_KEPT
            found.detail = "Its body was not kept whole, so there is nothing to examine; ask for it to be sent again."
            return _Examined(found)
        way = self._ways.way_of(row["door"])
        if way is None:
            found.outcome, found.detail = NO_WAY, f"What came by the door {row['door']!r} cannot be examined again."
            return _Examined(found)
        key = way.holder(row["write_key_id"])
        if key is None or (key.scope.expires_at is not None and key.scope.expires_at <= clock.now()):
            found.outcome, found.detail = KEY_REVOKED, "The key that it came by is not live any more."
            return _Examined(found)
        context: dict[str, str] = msgspec.json.decode(row["context"])
        context.setdefault(RECEIVED_AT, row["first_at"].astimezone(UTC).isoformat())
        terms = as_then(self._reception.terms(key, row["door"], context), context)
        if order.history:
            terms = msgspec.structs.replace(terms, late_as_history=True)
        return await self._judged(found, way, row["body"], context, terms)

    async def _judged(self, found: Found, way: Way, body: bytes, context: dict[str, str], terms: Terms) -> _Examined:
        """Accepted is what is accepted whole: of a body with several events all come in, or none."""
        try:
            outcome = await self._reception.examine(len(body), way.examine, body, context, terms)
        except Reject as reject:
            found.reason, found.detail, found.pointer = reject.reason, reject.detail, reject.pointer
            return _Examined(found)
        except Refused as refused:
            found.reason, found.detail = MALFORMED, refused.detail
            return _Examined(found)
        refusal = next((verdict for verdict in outcome.verdicts if isinstance(verdict, Rejected)), None)
        if refusal is not None:
            found.reason, found.detail, found.pointer = refusal.reason, refusal.detail, refusal.pointer
            return _Examined(found)
        found.outcome = ACCEPTED
        found.event_ids = [verdict.id for verdict in outcome.verdicts if isinstance(verdict, Accepted)]
        return _Examined(found, outcome, terms)

    async def _take(self, accepted: Sequence[_Examined]) -> None:
        """All at once, so that they share a flush; BrokerAway unless every one is acknowledged."""
        taking = [
            self._reception.take(each.outcome, each.terms, live=False)
            for each in accepted
            if each.outcome is not None and each.terms is not None
        ]
        for result in await asyncio.gather(*taking, return_exceptions=True):
            if isinstance(result, TimeoutError):
                raise BrokerAway("Kafka did not acknowledge a replay in time") from result
            if isinstance(result, BaseException):
                raise result

    async def _settle(self, tx: Tx, found: Sequence[Found], order: Order) -> None:
        if found:
            await store.settle(tx, [_settled(each) for each in found], order.actor, clock.now())

    async def _others(self, reject_ids: Sequence[str]) -> dict[str, Found]:
        """Why these were not among the open ones."""
        async with self._database.connection() as connection:
            states = await store.states(connection, reject_ids)
        said = {"open": BUSY}
        return {
            reject_id: Found(reject_id, said.get(state, state))
            for reject_id in reject_ids
            for state in [states.get(reject_id, NOT_FOUND)]
        }


def _settled(found: Found) -> Settled:
    shown: dict[str, Any] = {"outcome": found.outcome}
    if found.event_ids:
        shown["event_ids"] = found.event_ids
    shown |= {name: value for name in ("reason", "detail", "pointer") if (value := getattr(found, name))}
    state = "replayed" if found.outcome == ACCEPTED else "open"
    result = msgspec.json.encode(shown).decode()
    if not found.reason:
        return Settled(found.reject_id, state, result)
    return Settled(found.reject_id, state, result, found.reason, found.detail, found.pointer)


def _pieces(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """What one transaction may hold: few rows, and few enough bytes that nobody else in this process waits."""
    piece: list[Row] = []
    filled = 0
    for row in rows:
        if piece and (len(piece) >= _PIECE_ROWS_MAX or filled + row["body_bytes"] > _PIECE_BYTES_MAX):
            yield piece
            piece, filled = [], 0
        piece.append(row)
        filled += row["body_bytes"]
    if piece:
        yield piece
