"""Is what was refused kept within bounds, and is what was kept examined as if it came for the first time?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import worker
from libs.common.db import translate
from libs.common.errors import StoreAway
from libs.common.events import EventReceived, EventRejected
from libs.common.unit import Floor, WorkerSpec
from services.ingest.intake import Accepted, Form, Outcome, Rejected, Terms, decode_batch, decode_binary
from services.ingest.records import BODY_BYTES_KEPT, records_of
from services.ingest.rejects import keeping
from services.ingest.rejects.gauge import OTHERS, REASONS_MAX, largest
from services.ingest.rejects.keeping import COUNTED, CUT, WHOLE, Allowance, Slot, Used
from services.ingest.rejects.reexamination import CLOUD_CONTEXT, RECEIVED_AT, Reexamination, as_then, examine_event
from tests.ingest_events import NOW, OFFICE, TILL, event, terms

RECEIVED = "2026-11-20T08:30:00+00:00"


def rejected(body: bytes = b"{}", at: datetime = NOW, **changes: Any) -> EventRejected:
    given: dict[str, Any] = {"source": "s", "id": "e", "type": "t", "reason": "unknown-type", "detail": "No."}
    given |= {"pointer": "/type", "write_key_id": "key-1", "door": "events", "body": body, "rejected_at": at}
    return EventRejected(**(given | changes))


def kept_of(outcome: Outcome, on: Terms) -> list[EventRejected]:
    """What of an outcome goes to the topic of the refused."""
    values = [record.value for record in records_of(outcome, on, 8)]
    return [msgspec.json.decode(value, type=EventRejected) for value in values if value is not None]


def accepted(outcome: Outcome) -> EventReceived:
    (verdict,) = outcome.verdicts
    assert isinstance(verdict, Accepted), f"refused: {verdict}"
    return msgspec.json.decode(verdict.value, type=EventReceived)


# --- what is kept ------------------------------------------------------------------------------------------------


def test_the_same_bytes_by_the_same_key_and_door_are_one_reject() -> None:
    on = terms()
    body = json.dumps(event(type="nothing")).encode()
    (first,), (again,) = (kept_of(decode_batch(body, Form.NATIVE, on), on) for _ in range(2))
    assert first.reject_id == again.reject_id
    others = [
        (body + b" ", on),
        (body, msgspec.structs.replace(on, key=OFFICE)),
        (body, msgspec.structs.replace(on, door="imports/1")),
    ]
    ids = {kept_of(decode_batch(raw, Form.NATIVE, each), each)[0].reject_id for raw, each in others}
    assert len(ids | {first.reject_id}) == 4


def test_repeats_within_a_batch_become_one_with_a_count_and_the_newest_reason() -> None:
    later = NOW + timedelta(seconds=5)
    seen = keeping.gathered(
        [rejected(), rejected(b"other"), rejected(at=later, reason="invalid-data", pointer="/data")]
    )
    (both,) = [each for each in seen if each.attempts == 2]
    assert (both.first_at, both.last_at) == (NOW, later)
    assert (both.reason, both.pointer) == ("invalid-data", "/data")
    assert sorted(each.attempts for each in seen) == [1, 2]


def test_a_message_of_the_time_before_doors_were_named_is_of_the_native_door() -> None:
    (old,) = keeping.gathered([rejected(door="", reject_id="")])
    (new,) = keeping.gathered([rejected()])
    assert old.door == "events" and old.reject_id == new.reject_id


def test_a_body_that_is_cut_says_so_and_one_that_just_fits_is_whole() -> None:
    on = terms()
    for size, kept in ((BODY_BYTES_KEPT, WHOLE), (BODY_BYTES_KEPT + 1, CUT)):
        outcome = Outcome([Rejected(0, "too-large", "Too large.", "", b"x" * size)])
        (seen,) = keeping.gathered(kept_of(outcome, on))
        assert (seen.kept, seen.body_bytes) == (kept, size)
        assert len(seen.body or b"") == BODY_BYTES_KEPT


def test_texts_are_such_as_the_database_takes() -> None:
    (seen,) = keeping.gathered([rejected(source="a\x00b", type="t" * 5_000, detail="\x00" * 5_000)])
    assert "\x00" not in seen.source + seen.detail
    assert len(seen.type) == 200 and len(seen.detail) == 2_000


def test_past_the_allowance_of_a_key_there_is_a_count_and_no_body() -> None:
    new = keeping.gathered([rejected(b"%d" % number) for number in range(10)])
    allotted = keeping.allot(new, {}, Allowance(4, 1_000), unit=3)
    assert len(allotted.stored) == 4
    (count,) = allotted.counted
    assert (count.kept, count.body, count.attempts) == (COUNTED, None, 6)
    assert "more than 4" in count.detail and count.reason == "unknown-type"


def test_the_allowance_is_of_a_key_and_an_hour_and_counts_bytes_too() -> None:
    slot = Slot("key-1", NOW.replace(minute=0))
    full = {slot: Used(0, 95)}
    new = keeping.gathered(
        [
            rejected(b"123456"),
            rejected(b"1234567", write_key_id="key-2"),
            rejected(b"12345678", at=NOW + timedelta(hours=1)),
            rejected(b"1234"),
        ]
    )
    allotted = keeping.allot(new, full, Allowance(100, 100), unit=0)
    assert sorted(each.body or b"" for each in allotted.stored) == [b"1234", b"1234567", b"12345678"]
    assert allotted.used[slot] == Used(1, 4)


def test_one_hour_of_one_key_leaves_few_counts_however_much_comes() -> None:
    ids = set()
    for batch in range(50):
        new = keeping.gathered([rejected(b"%d/%d" % (batch, number), type=f"t{number}") for number in range(20)])
        ids |= {each.reject_id for each in keeping.allot(new, {}, Allowance(0, 0), unit=1).counted}
    assert len(ids) == 1
    elsewhere = keeping.allot(keeping.gathered([rejected()]), {}, Allowance(0, 0), unit=2).counted
    assert ids.isdisjoint(each.reject_id for each in elsewhere), "two units would wait for one another's row"


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(0, 20), st.integers(0, 400))
def test_nothing_that_came_is_forgotten_and_no_allowance_is_passed(
    sizes: list[int], bodies: int, size_max: int
) -> None:
    messages = [rejected(bytes([65 + index % 7]) * size) for index, size in enumerate(sizes)]
    allotted = keeping.allot(keeping.gathered(messages), {}, Allowance(bodies, size_max), unit=0)
    assert sum(each.attempts for each in [*allotted.stored, *allotted.counted]) == len(messages)
    assert len(allotted.stored) <= bodies
    assert sum(len(each.body or b"") for each in allotted.stored) <= size_max


@given(st.lists(st.integers(0, 40), max_size=30))
def test_pieces_hold_everything_in_order_and_none_is_larger_than_one_body_needs(sizes: list[int]) -> None:
    seen = keeping.gathered([rejected(bytes([index]) * (size + 1)) for index, size in enumerate(sizes)])
    pieces = list(keeping.in_slices(seen, 32))
    assert [each for piece in pieces for each in piece] == seen
    assert all(len(piece) == 1 or sum(len(each.body or b"") for each in piece) <= 32 for piece in pieces)


def test_labels_of_the_gauge_stay_few() -> None:
    counts = largest({f"reason-{number}": number + 1 for number in range(100)})
    assert len(counts) == REASONS_MAX + 1
    assert sum(counts.values()) == 5_050 and counts[OTHERS] == sum(range(1, 71))
    assert largest({"a": 1}) == {"a": 1}


# --- what is examined again --------------------------------------------------------------------------------------


def again(kept: EventRejected, on: Terms) -> Outcome:
    return examine_event(kept.body, kept.context | {RECEIVED_AT: RECEIVED}, as_then(on, kept.context))


def test_once_its_type_is_known_an_event_goes_on_as_it_came() -> None:
    body = b' {"type": "own" , "id":"1", "source":"store-1/pos-1", "time":"2026-11-21T10:15:00+09:00"}'
    on = terms()
    (kept,) = kept_of(decode_batch(body, Form.NATIVE, on), on)
    (verdict,) = again(kept, terms(own_types=("own",))).verdicts
    assert isinstance(verdict, Accepted) and verdict.value == body


def test_an_item_that_is_a_list_does_not_become_a_batch_when_it_is_examined_again() -> None:
    on = terms()
    (kept,) = kept_of(decode_batch(json.dumps([[event(), event()]]).encode(), Form.NATIVE, on), on)
    assert isinstance(again(kept, on).verdicts[0], Rejected)
    inner = json.dumps({"events": [event()]}).encode()
    assert isinstance(examine_event(inner, {}, on).verdicts[0], Rejected)


HEADERS = [
    (b"ce-specversion", b"1.0"),
    (b"ce-id", b"c-1"),
    (b"ce-source", b"store-1/pos-1"),
    (b"ce-type", b"own"),
    (b"ce-subject", b"account:kim%20kim"),
]


def test_a_binary_cloud_event_is_kept_with_its_attributes_and_keeps_the_time_at_which_it_came() -> None:
    on = msgspec.structs.replace(terms(), context=CLOUD_CONTEXT)
    (kept,) = kept_of(decode_binary(HEADERS, b"application/json", b'{"page": "/tea"}', on), on)
    assert (kept.id, kept.source, kept.type, kept.pointer) == ("c-1", "store-1/pos-1", "own", "/type")
    known = msgspec.structs.replace(terms(own_types=("own",)), now=NOW + timedelta(days=3))
    read = accepted(again(kept, known))
    assert (read.id, read.identifiers, bytes(read.data)) == ("c-1", {"account": "kim kim"}, b'{"page": "/tea"}')
    assert read.time == datetime.fromisoformat(RECEIVED)
    assert again(kept, known) == again(kept, msgspec.structs.replace(known, now=NOW + timedelta(days=4)))


def test_what_was_meant_as_a_cloud_event_is_never_taken_for_one_of_ours() -> None:
    body = json.dumps(event()).encode()
    assert isinstance(examine_event(body, {}, terms()).verdicts[0], Accepted)
    (verdict,) = examine_event(body, CLOUD_CONTEXT, terms()).verdicts
    assert isinstance(verdict, Rejected) and verdict.pointer == "/specversion"


def test_what_is_too_old_by_now_comes_in_as_history_if_the_key_may_send_it() -> None:
    old = json.dumps(event(time="2026-09-01T10:00:00+09:00"), indent=1).encode()
    on = terms(OFFICE)
    assert isinstance(examine_event(old, {}, on).verdicts[0], Rejected)
    marked = msgspec.structs.replace(on, late_as_history=True)
    read = accepted(examine_event(old, {}, marked))
    assert read.history and read.time.month == 9
    young = json.dumps(event()).encode()
    (verdict,) = examine_event(young, {}, marked).verdicts
    assert isinstance(verdict, Accepted) and verdict.value == young, "what is not late stays live, byte for byte"
    (verdict,) = examine_event(old, {}, msgspec.structs.replace(marked, key=TILL)).verdicts
    assert isinstance(verdict, Rejected) and verdict.reason == "history-not-allowed"


def test_what_a_request_proved_of_itself_is_known_again() -> None:
    on = msgspec.structs.replace(terms(), proven={"account": "kim"}, traffic="test")
    (kept,) = kept_of(decode_batch(json.dumps(event(type="nothing")).encode(), Form.NATIVE, on), on)
    then = as_then(terms(), kept.context)
    assert (then.proven, then.traffic) == ({"account": "kim"}, "test")
    plain = terms()
    assert as_then(plain, {}) is plain


def test_each_door_says_how_its_rejects_are_examined_and_the_most_particular_one_counts() -> None:
    def way(name: str) -> Any:
        def examine(body: bytes, context: Mapping[str, str], on: Terms) -> Outcome:
            raise AssertionError(name)

        return examine

    ways = Reexamination({"key-1": TILL}.get)
    hooks, shop, events = way("hooks"), way("shop"), way("events")
    ways.register("hooks/", hooks, {"hook": OFFICE}.get)
    ways.register("hooks/shopify/", shop)
    ways.register("events", events)
    assert [ways.way_of(door) for door in ("events/x", "event", "")] == [None] * 3
    found = [ways.way_of(door) for door in ("hooks/toast/main", "hooks/shopify/main", "events")]
    assert [each.examine for each in found if each is not None] == [hooks, shop, events]
    assert found[0] is not None and found[0].holder("hook") is OFFICE
    assert found[2] is not None and found[2].holder("key-1") is TILL
    with pytest.raises(ValueError, match="already"):
        ways.register("events", events)


def test_hours_are_told_in_utc() -> None:
    at = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    (seen,) = keeping.gathered([rejected(at=at)])
    assert keeping.slot_of(seen) == Slot("key-1", at.replace(minute=0))


# --- the worker beside the door ----------------------------------------------------------------------------------


class Broken:
    """A database whose driver fails in a way that nobody has foreseen."""

    def __init__(self) -> None:
        self.asked = 0

    def transaction(self) -> Any:
        self.asked += 1
        raise KeyError("no such thing")

    connection = transaction


def test_a_driver_that_is_confused_by_a_dead_connection_is_a_database_that_is_away() -> None:
    assert isinstance(translate(asyncpg.InternalClientError("cannot switch to state 12")), StoreAway)


async def test_a_worker_beside_a_door_is_started_anew_where_another_would_end_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "REVIVE_SECONDS", 0.01)
    spec = WorkerSpec("ingest.rejects", inputs=[], outputs=[])
    for vital in (True, False):
        database: Any = Broken()
        publisher: Any = None
        floor = Floor("here", database, publisher, "127.0.0.1:1", "", 2)
        beside = worker.Worker(spec, floor, vital=vital)
        await beside.start()
        dying = asyncio.create_task(beside.failed())
        if vital:
            with pytest.raises(KeyError):
                await asyncio.wait_for(dying, 2)
            continue
        async with asyncio.timeout(2):
            while database.asked < 3:
                await asyncio.sleep(0.01)
        assert not dying.done() and "KeyError" in beside.problems()[0]
        dying.cancel()
        await asyncio.wait([dying])
