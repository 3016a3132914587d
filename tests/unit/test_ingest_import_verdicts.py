"""What becomes of one line: its event, its verdict, its place among what was refused, and how far that brings us?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.ingest.api.import_rejects import ADDED, RejectSheet, harmless
from services.ingest.imports.inflating import Unreadable
from services.ingest.imports.lines import Line
from services.ingest.imports.order import Order
from services.ingest.imports.progress import Progress, advanced, refused_lines, speed_of
from services.ingest.imports.table import Table, names_in
from services.ingest.imports.translation import (
    Compiled,
    Judged,
    Layout,
    Translator,
    again,
    judge,
    layout_of,
    reader_for,
)
from services.ingest.intake import Accepted, Rejected
from tests.ingest_events import NOW, OFFICE, event, terms

HEADER = b"id,type,time,identifiers.phone,branch,data.amount,data.currency"
SALE = b"r-1,purchase,2026-11-21T10:15:00+09:00,+821012345678,gangnam,45000,KRW"


def judged(data: bytes, compiled: Compiled | None = None, **order: Any) -> list[Judged]:
    """The verdicts on all lines of a file."""
    ordered = Order(**{"format": "csv", "source": "store-1"} | order)
    layout = layout_of(ordered, data)
    translator = Translator(ordered, layout, compiled, NOW)
    reader = reader_for(ordered, layout, layout.position, layout.line)
    lines = [*reader.feed(data[layout.position :]), *reader.finish()]
    return [judge(line, translator, terms(OFFICE, ("own.kind",))) for line in lines]


def only(data: bytes, **order: Any) -> Judged:
    (one,) = judged(data, **order)
    return one


def made(data: bytes, **order: Any) -> dict[str, Any]:
    """The event of the only line, which must be accepted."""
    one = only(data, **order)
    assert not one.rejected, one.rejected
    whole: dict[str, Any] = json.loads(one.accepted[0].value)
    return whole


def refusal(data: bytes, **order: Any) -> tuple[str, str, str]:
    one = only(data, **order)
    (reject,) = one.rejected
    return reject.reason, reject.pointer, reject.detail


def test_columns_named_like_the_event_become_one() -> None:
    assert made(HEADER + b"\n" + SALE + b"\n") == {
        "id": "r-1",
        "type": "purchase",
        "time": "2026-11-21T10:15:00+09:00",
        "branch": "gangnam",
        "identifiers": {"phone": "+821012345678"},
        "data": {"amount": "45000", "currency": "KRW"},
        "source": "store-1",
    }


def test_what_a_line_leaves_out_comes_from_the_order_and_history_is_marked() -> None:
    sheet = b"id,type,time,branch,source\nr-1,,2020-01-01T00:00:00Z,,till-2\n"
    event = made(sheet, type="visit", branch="busan", mode="history")
    assert (event["type"], event["branch"], event["source"], event["history"]) == ("visit", "busan", "till-2", True)
    assert refusal(sheet, type="visit")[0] == "wrong-time"


def test_columns_may_say_their_kind() -> None:
    names = b"id,type,time,data.n:number,data.i:integer,data.b:boolean,data.j:json,data.t:text,data.l.1,data.l.0\n"
    line = b'r-1,own.kind,2026-11-21T10:15:00Z,1.50,7,TRUE,"{""a"":[1]}",007,second,first\n'
    one = only(names + line)
    assert b'"n":1.50' in one.accepted[0].value
    data = json.loads(one.accepted[0].value)["data"]
    assert data == {"n": 1.5, "i": 7, "b": True, "j": {"a": [1]}, "t": "007", "l": ["first", "second"]}


@pytest.mark.parametrize(
    ("kind", "cell", "word"),
    [("number", "1,5", "a number"), ("integer", "1.5", "whole"), ("boolean", "ja", "true or"), ("json", "{", "JSON")],
)
def test_a_field_that_is_not_of_its_kind_is_pointed_at(kind: str, cell: str, word: str) -> None:
    sheet = f'id,type,time,data.x:{kind}\nr-1,own.kind,2026-11-21T10:15:00Z,"{cell}"\n'.encode()
    reason, pointer, detail = refusal(sheet)
    assert (reason, pointer) == ("invalid-data", "/data/x") and word in detail


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21 10:15", "2026-11-21T10:15:00+09:00"),
        ("2026/11/21 10:15:30.25", "2026-11-21T10:15:30.250000+09:00"),
        ("2026-11-21T10:15:00Z", "2026-11-21T10:15:00Z"),
    ],
)
def test_times_off_a_clock_get_the_offset_of_their_zone(text: str, instant: str) -> None:
    assert made(b"id,type,time\nr-1,visit," + text.encode() + b"\n", zone="Asia/Seoul")["time"] == instant
    if text.endswith("Z"):
        return
    assert refusal(b"id,type,time\nr-1,visit," + text.encode() + b"\n")[1] == "/time"


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (b"id,Phone", "data.Phone"),
        (b"id,data.a,data.a.b", "exclude each other"),
        (b"id,data.a,data.a:number", "kind only"),
        (b"id,data.a:colour", "a kind is one of"),
        (b"id,history", "mode=history"),
        (b"id,id", "Two columns"),
        (b",,", "names no columns"),
        (b'"id,type', "quotation mark"),
        (",".join(f"data.c{n}" for n in range(501)).encode(), "more than 500"),
    ],
)
def test_a_header_that_cannot_be_meant_stops_the_file(header: bytes, word: str) -> None:
    with pytest.raises(Unreadable, match=word):
        judged(header + b"\n" + SALE + b"\n")


def test_a_korean_header_is_read_and_named_when_its_charset_is_wrong() -> None:
    raw = "id,data.이름".encode("cp949")
    assert names_in(raw, "cp949", ",") == ["id", "data.이름"]
    with pytest.raises(Unreadable, match="charset=cp949"):
        names_in(raw, "utf-8", ",")


@pytest.mark.parametrize(
    ("line", "reason", "word"),
    [
        (b"r-1,purchase", "malformed", "2 fields and the header 7"),
        (b'"r"-1,purchase,,,,,', "malformed", "not CSV"),
        (b"r-1,purchase\xff,,,,,", "not-utf-8", "byte 12"),
        (SALE.replace(b"45000", b"much"), "invalid-data", ""),
        (SALE.replace(b"purchase", b"purchse"), "unknown-type", "Nearest"),
        (b",".join([b"", *SALE.split(b",")[1:]]), "malformed", "'id' is missing"),
    ],
)
def test_a_line_is_refused_for_its_reason_with_its_own_bytes(line: bytes, reason: str, word: str) -> None:
    broken, good = judged(HEADER + b"\n" + line + b"\n" + SALE.replace(b"r-1", b"r-2") + b"\n")
    (reject,) = broken.rejected
    assert reject.reason == reason and word in reject.detail and reject.body == line and reject.index == 2
    assert good.accepted


def test_a_number_that_a_type_demands_is_asked_for_in_the_words_of_columns() -> None:
    reason, pointer, detail = refusal(b"id,type,time,data.results\nr-1,search,2026-11-21T10:15:00Z,7\n")
    assert (reason, pointer) == ("invalid-data", "/data/results")
    assert detail.endswith("Name the column data.results:integer.")


def test_events_in_ndjson_go_on_as_they_are_and_what_is_missing_is_added() -> None:
    raw = json.dumps(event(), indent=None).replace(",", " , ").encode()
    assert only(raw, format="ndjson", source="").accepted[0].value == raw
    assert only(raw, format="ndjson", source="elsewhere").accepted[0].value == raw
    bare = json.dumps(event(source=..., type=None)).encode()
    whole = made(bare, format="ndjson", type="visit", mode="history")
    assert (whole["source"], whole["type"], whole["history"]) == ("store-1", "visit", True)


def test_a_cloud_event_in_a_file_needs_its_own_time() -> None:
    cloud = {"specversion": "1.0", "id": "c-1", "source": "s", "type": "visit"}
    assert refusal(json.dumps(cloud).encode(), format="ndjson")[1] == "/time"
    assert made(json.dumps(cloud | {"time": "2026-11-21T10:15:00Z"}).encode(), format="ndjson")["id"] == "c-1"


@pytest.mark.parametrize("line", [b"[]", b'"x"', b"7", b"{", b'{"events": []}', b'{"id": NaN}', b"\xff"])
def test_what_is_no_event_in_ndjson_is_a_refused_line(line: bytes) -> None:
    assert only(line, format="ndjson").rejected


class Baskets:
    """A mapping that makes an event of each thing in a row, and none of an empty row."""

    def events(self, given: Mapping[str, Any]) -> list[bytes]:
        row = given["body"]
        return [
            json.dumps(event(id=f"{row['no']}-{thing}", source=..., data={"amount": thing, "currency": "KRW"})).encode()
            for thing in row["things"].split()
        ]


def test_a_mapping_makes_none_one_or_several_events_of_a_line() -> None:
    none, two, mixed = judged(b"no,things\n1,\n2,10 20\n3,30 much\n", Baskets(), mapping="baskets", mode="history")
    assert none == Judged(none.line, [], [], [])
    assert [each.id for each in two.accepted] == ["2-10", "2-20"]
    assert two.moneys == [("KRW", Decimal(10)), ("KRW", Decimal(20))]
    assert json.loads(two.accepted[0].value)["source"] == "store-1"
    assert len(mixed.accepted) == len(mixed.rejected) == 1
    progress = advanced(Progress(), [none, two, mixed])
    assert (progress.read, progress.accepted, progress.refused, progress.skipped) == (3, 1, 1, 1)
    assert progress.events == 3 and progress.sent.amounts == {"KRW": Decimal(60)}


def test_progress_adds_up_whatever_the_blocks() -> None:
    lines = [HEADER] + [SALE.replace(b"r-1", b"r-%d" % n) if n % 7 else b"broken" for n in range(100)]
    block = judged(b"\n".join(lines))
    whole = advanced(Progress(), block)
    parts = advanced(advanced(Progress(), block[:33]), block[33:])
    assert whole == parts
    assert (whole.read, whole.accepted, whole.refused) == (100, 85, 15)
    assert whole.position == len(b"\n".join(lines)) and whole.line == 102
    assert [each.line for each in refused_lines(block)] == [n + 2 for n in range(0, 100, 7)]


def test_a_refused_line_can_be_examined_again_from_what_is_kept_of_it() -> None:
    order = Order(format="csv", source="store-1", charset="cp949", delimiter=";", zone="Asia/Seoul", mode="history")
    layout = Layout(names=["id", "type", "time", "branch"], delimiter=";")
    translator = Translator(order, layout, None, NOW)
    line = Line(9, 10, 99, "r-1;own.other;2026-11-21 10:15;강남".encode("cp949"))
    before = judge(line, translator, terms(OFFICE))
    (reject,) = before.rejected
    context = msgspec.json.decode(msgspec.json.encode(translator.context(line)), type=dict[str, str])
    assert again(reject.body, context, terms(OFFICE), {}).verdicts == [reject]
    (verdict,) = again(reject.body, context, terms(OFFICE, ("own.other",)), {}).verdicts
    assert isinstance(verdict, Accepted)
    (direct,) = judge(line, translator, terms(OFFICE, ("own.other",))).accepted
    assert verdict.value == direct.value
    (gone,) = again(b"x", context | {"order": '{"format":"ndjson","mapping":"m"}'}, terms(OFFICE), {}).verdicts
    assert isinstance(gone, Rejected) and "no mapping" in gone.detail


def test_what_was_refused_is_a_sheet_that_computes_nothing_of_ours() -> None:
    order, layout = Order(format="csv"), Layout(names=["id", "import.line", "data.note"], delimiter=",")
    rejects = [
        {"line": 2, "reason": "r", "pointer": "=1", "detail": "+cmd|' /C calc'!A0", "body": b"=1+1,5,@sum"},
        {"line": 3, "reason": "r", "pointer": "", "detail": "d", "body": b"-2,\xff"},
    ]
    table = RejectSheet(order, layout)
    read = list(csv.reader(io.StringIO((table.header() + table.rows(rejects)).decode())))
    assert read[0] == ["id", "data.note", *ADDED]
    # The sender's own fields are as they came, for they are sent again.
    assert read[1] == ["=1+1", "@sum", "2", "r", "'=1", "'+cmd|' /C calc'!A0", ""]
    assert read[2] == ["", "", "3", "r", "", "d", "'-2,\ufffd"]
    for cell in ("=a", "+a", "-a", "@a", "\ta", "\ra"):
        assert harmless(cell) == f"'{cell}"
    assert harmless("a=") == "a="


def test_the_list_of_what_was_refused_can_be_sent_again_as_it_is() -> None:
    names = ["id", "type", "time", *ADDED]
    event = Table(names).event(["r-1", "visit", "2026-11-21T10:15:00Z", "7", "reason", "/type", "detail", ""])
    assert event == {"id": "r-1", "type": "visit", "time": "2026-11-21T10:15:00Z"}


def test_speed_is_that_of_the_present_owner() -> None:
    speed = speed_of(1_500, 2_000, 500, NOW, NOW + timedelta(seconds=10))
    assert speed is not None and (speed.lines_per_second, speed.seconds_left) == (100.0, 5.0)
    assert speed_of(5, None, 0, None, NOW) is None
    unknown = speed_of(5, None, 0, NOW, NOW + timedelta(seconds=1))
    assert unknown is not None and unknown.seconds_left is None
