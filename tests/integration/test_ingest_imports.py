"""Do whole files come in as they should, by clients that we did not write, on the real PostgreSQL and Kafka?"""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from tusclient.exceptions import TusCommunicationError

from libs.common import clock
from libs.common.auth import issue_token
from libs.common.events import EventRejected
from libs.common.topics import EVENT_REJECTED
from tests.ingest_door import POS, SECRET, WEB, Door, fresh, now, running
from tests.ingest_events import naughty_strings
from tests.ingest_imports import COLUMNS, brought, ended, id_of, post, rows, seen, sent, sheet, uploader

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """One service for all tests; each sends ids of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("imports")) as door:
        yield door


async def call(
    door: Door, method: str, path: str, headers: Mapping[str, str] | None = None, key: str = POS, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """A plain request with a write key or a token; status, headers by their names in lower case, body."""
    whole = {"Authorization": f"Bearer {key}"} | dict(headers or {})
    async with door.client.request(method, door.address + path, data=body or None, headers=whole) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read()


def tus(**headers: str) -> dict[str, str]:
    """The headers of tus; names are written with _ for -."""
    return {"Tus-Resumable": "1.0.0"} | {name.replace("_", "-"): value for name, value in headers.items()}


def metadata(**values: str) -> str:
    return ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in values.items())


async def test_a_resumable_upload_goes_on_where_it_broke_off(door: Door) -> None:
    body = sheet([["tus-" + row[0], *row[1:]] for row in rows(5_000)])
    first = uploader(door, body, lines="5000", amount="5000000", currency="KRW")
    await asyncio.to_thread(first.upload, 128 * 1024)
    import_id = id_of(first)
    view = await seen(door, import_id)
    assert (view["state"], view["bytes"]["received"]) == ("uploading", 128 * 1024)
    # A new client, as after a restart of the branch's computer, that knows the address alone.
    second = await asyncio.to_thread(uploader, door, body, url=first.url)
    assert second.offset == 128 * 1024
    await asyncio.to_thread(second.upload)
    view = await ended(door, import_id)
    assert view["state"] == "done", view
    assert view["lines"] == {"total": 5000, "read": 5000, "accepted": 5000, "refused": 0, "skipped": 0}
    assert view["sent"]["amounts"] == {"KRW": "5000000"}
    found = await sent(door)
    assert all(sum(found["store-031/pos-2", f"tus-r-{index}"].values()) == 1 for index in range(5_000))


async def test_an_upload_with_checksums_counts_only_what_agrees(door: Door) -> None:
    body = sheet([["sum-1", *rows(1)[0][1:]]])
    about = metadata(format="csv", source="store-1")
    status, headers, _ = await call(
        door, "POST", "/v1/imports", headers=tus(Upload_Length=str(len(body)), Upload_Metadata=about)
    )
    assert status == 201
    place, piece = headers["location"], {"Content_Type": "application/offset+octet-stream"}
    wrong = "sha1 " + b64encode(hashlib.sha1(b"other").digest()).decode()
    right = "sha1 " + b64encode(hashlib.sha1(body).digest()).decode()
    status, _, _ = await call(
        door, "PATCH", place, body=body, headers=tus(Upload_Offset="0", Upload_Checksum=wrong, **piece)
    )
    assert status == 460
    status, headers, _ = await call(door, "HEAD", place, headers=tus())
    assert (status, headers["upload-offset"], headers["upload-length"]) == (200, "0", str(len(body)))
    assert headers["upload-metadata"] == about and headers["cache-control"] == "no-store"
    status, _, _ = await call(
        door, "PATCH", place, body=body, headers=tus(Upload_Offset="0", Upload_Checksum=right, **piece)
    )
    assert status == 204
    assert (await ended(door, place.rsplit("/", 1)[1]))["lines"]["accepted"] == 1
    checked = uploader(door, sheet([[f"sum-{index}", *rows(1)[0][1:]] for index in range(2_000)]))
    checked.upload_checksum = True
    await asyncio.to_thread(checked.upload)
    assert (await ended(door, id_of(checked)))["lines"]["accepted"] == 2_000


async def test_the_protocol_is_kept_to_the_letter(door: Door) -> None:
    status, headers, _ = await call(door, "OPTIONS", "/v1/imports", key="nobody")
    assert status == 204 and headers["tus-version"] == "1.0.0" and int(headers["tus-max-size"]) == 1 << 30
    assert {"creation", "termination", "checksum"} <= set(headers["tus-extension"].split(","))
    about = metadata(format="csv", source="store-1")
    status, _, _ = await call(door, "POST", "/v1/imports", {"Tus-Resumable": "0.2.2", "Upload-Length": "3"})
    assert status == 412
    status, _, _ = await call(
        door, "POST", "/v1/imports", headers=tus(Upload_Length=str((1 << 30) + 1), Upload_Metadata=about)
    )
    assert status == 413
    status, headers, _ = await call(door, "POST", "/v1/imports", headers=tus(Upload_Length="10", Upload_Metadata=about))
    assert status == 201 and headers["tus-resumable"] == "1.0.0"
    place, piece = headers["location"], {"Content_Type": "application/offset+octet-stream"}
    status, headers, _ = await call(door, "PATCH", place, body=b"id,", headers=tus(Upload_Offset="0", **piece))
    assert (status, headers["upload-offset"]) == (204, "3")
    status, _, _ = await call(door, "PATCH", place, body=b"id,", headers=tus(Upload_Offset="0", **piece))
    assert status == 409
    status, _, _ = await call(door, "PATCH", place, body=b"x", headers=tus(Upload_Offset="3", Content_Type="text/csv"))
    assert status == 415
    status, _, _ = await call(door, "PATCH", place, body=b"x" * 8, headers=tus(Upload_Offset="3", **piece))
    assert status == 413
    assert (await call(door, "HEAD", place, key=WEB, headers=tus()))[0] == 404
    assert (await call(door, "DELETE", place, headers=tus()))[0] == 204
    status, _, _ = await call(door, "PATCH", place, body=b"x", headers=tus(Upload_Offset="3", **piece))
    assert status == 409


async def test_curl_sends_a_compressed_sheet_in_one_shot(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "sales.csv.gz"
    file.write_bytes(gzip.compress(sheet([["curl-" + row[0], *row[1:]] for row in rows(3_000)])))
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-X", "POST", "-T", str(file), "-H", f"Authorization: Bearer {POS}"),
        *("-H", "Content-Type: text/csv", "-H", "Content-Encoding: gzip", "-H", "Transfer-Encoding: chunked"),
        f"{door.address}/v1/imports?source=store-7&lines=3000&amount=3000000&mode=history",
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await curl.communicate()
    assert curl.returncode == 0
    view = await ended(door, json.loads(told)["id"])
    assert (view["state"], view["lines"]["accepted"], view["mode"]) == ("done", 3_000, "history")
    ((raw, times),) = (await sent(door))["store-7", "curl-r-7"].items()
    assert times == 1 and json.loads(raw)["history"] is True


async def test_a_one_shot_that_breaks_off_is_gone_on_with_by_tus(door: Door) -> None:
    whole = sheet([["cut-" + row[0], *row[1:]] for row in rows(8_000)])

    async def cut() -> AsyncIterator[bytes]:
        yield whole[:300_000]
        raise ConnectionResetError

    with pytest.raises(Exception):  # noqa: B017 - whatever the client makes of it.
        await post(door, cut(), source="store-cut")
    token = issue_token(SECRET, subject="ops", roles=["operator"])
    async with asyncio.timeout(10):
        while True:
            _, _, body = await call(door, "GET", "/v1/imports?source=store-cut", key=token)
            (view,) = json.loads(body)["items"]
            if view["bytes"]["received"]:
                break
            await asyncio.sleep(0.05)
    assert view["state"] == "uploading" and view["bytes"]["of"] is None
    place = f"/v1/imports/{view['id']}"
    status, headers, _ = await call(door, "HEAD", place, headers=tus())
    assert (status, headers["upload-defer-length"]) == (200, "1")
    offset = int(headers["upload-offset"])
    status, headers, _ = await call(
        door,
        "PATCH",
        place,
        body=whole[offset:],
        headers=tus(
            Upload_Offset=str(offset), Upload_Length=str(len(whole)), Content_Type="application/offset+octet-stream"
        ),
    )
    assert (status, headers["upload-offset"]) == (204, str(len(whole)))
    assert (await ended(door, view["id"]))["lines"]["accepted"] == 8_000


async def test_while_totals_disagree_nothing_is_sent_until_the_sender_accepts(door: Door) -> None:
    body = sheet([["total-" + row[0], *row[1:]] for row in rows(10)])
    view = await brought(door, body, lines="11", amount="10000.01", currency="KRW")
    assert view["state"] == "totals_disagree"
    assert view["announced"] == {"lines": 11, "amounts": {"KRW": "10000.01"}, "unreadable_amounts": 0}
    assert view["found"] == {"lines": 10, "amounts": {"KRW": "10000"}, "unreadable_amounts": 0}
    assert "11 lines were announced and 10 are there" in view["detail"]
    assert ("store-031/pos-2", "total-r-0") not in await sent(door)
    assert (await call(door, "POST", f"/v1/imports/{view['id']}/accept", key=WEB))[0] == 404
    assert (await call(door, "POST", f"/v1/imports/{view['id']}/accept"))[0] == 200
    view = await ended(door, view["id"])
    assert (view["state"], view["lines"]["accepted"]) == ("done", 10)
    assert ("store-031/pos-2", "total-r-9") in await sent(door)
    again = await brought(door, body, lines="11")
    assert (await call(door, "POST", f"/v1/imports/{again['id']}/cancel"))[0] == 200
    assert (await seen(door, again["id"]))["state"] == "cancelled"
    assert (await call(door, "POST", f"/v1/imports/{again['id']}/accept"))[0] == 409


async def test_each_line_has_its_verdict_and_the_refused_come_back_to_be_mended(door: Door) -> None:
    good = ["verdict-1", *rows(1)[0][1:]]
    bad_type = ["verdict-2", "=purchse", *good[2:]]
    bad_time = ["verdict-3", "purchase", "yesterday", *good[3:]]
    quoted = ["verdict-4", *good[1:4], 'Seoul\n"south"', *good[5:]]
    body = sheet([good, bad_type, bad_time, quoted]) + b"verdict-5,purchase\n" + sheet([good])[len(sheet([])) :]
    view = await brought(door, body)
    assert view["state"] == "done"
    # A branch with a line break is refused as well: its characters are checked like those of any event.
    assert view["lines"] == {"total": 6, "read": 6, "accepted": 2, "refused": 4, "skipped": 0}
    _, _, told = await call(door, "GET", f"/v1/imports/{view['id']}/rejects")
    refused = json.loads(told)["items"]
    assert [(each["line"], each["reason"], each["pointer"]) for each in refused] == [
        (3, "unknown-type", "/type"),
        (4, "wrong-time", "/time"),
        (5, "malformed", "/branch"),
        (7, "malformed", ""),
    ]
    assert "2 fields and the header 7" in refused[3]["detail"]
    status, headers, download = await call(door, "GET", f"/v1/imports/{view['id']}/rejects", {"Accept": "text/csv"})
    assert status == 200 and headers["content-type"].startswith("text/csv")
    table = list(csv.reader(io.StringIO(download.decode())))
    assert table[0][:7] == list(COLUMNS)
    assert table[1][:7] == bad_type and table[3][:7] == quoted
    assert table[4][7:] == ["7", "malformed", "", refused[3]["detail"], "verdict-5,purchase"]
    assert not [cell for line in table[1:] for cell in line[7:] if cell.startswith(("=", "+", "-", "@"))]
    (kept,) = [message for message in await door.log(EVENT_REJECTED.name, b"verdict-2") if message.value]
    assert kept.value is not None
    rejected = msgspec.json.decode(kept.value, type=EventRejected)
    assert rejected.door == f"imports/{view['id']}" and rejected.context["line"] == "3"
    assert rejected.body == sheet([bad_type]).splitlines()[1]
    # Mended, the download itself is a sheet.
    mended = [line for line in table if len(line) == 12]
    mended[1][1], mended[2][2], mended[3][4] = "purchase", now(), "Seoul south"
    view = await brought(door, sheet(mended[1:4], mended[0]))
    assert view["lines"]["accepted"] == 3, view


async def test_a_refused_line_comes_in_by_a_replay_once_its_type_is_known(door: Door) -> None:
    body = sheet([["again-1", "own.again", *rows(1)[0][2:4], "강남", *rows(1)[0][5:]]]).decode().encode("cp949")
    view = await brought(door, body, kind="text/csv; charset=cp949")
    assert view["lines"]["refused"] == 1
    which = {"door": f"imports/{view['id']}"}
    async with asyncio.timeout(15):
        while not (await door.call("GET", f"/v1/rejects?door={which['door']}"))[1]["items"]:
            await asyncio.sleep(0.1)
    assert (await door.call("POST", "/v1/schemas", {"type": "own.again"}))[0] == 201
    status, answer = await door.call("POST", "/v1/rejects/replay", {"filter": which})
    assert (status, answer["accepted"]) == (200, 1), answer
    ((raw, times),) = (await sent(door))["store-031/pos-2", "again-1"].items()
    # The very bytes that the file would make of it today.
    assert (await brought(door, body, kind="text/csv; charset=cp949"))["lines"]["accepted"] == 1
    assert times == 1 and (await sent(door))["store-031/pos-2", "again-1"] == {raw: 2}


async def test_the_same_file_twice_is_the_same_bytes(door: Door) -> None:
    moment = now()
    events = [fresh(id=f"twice-{index}", source=..., time=moment) for index in range(20)]
    body = b"\n".join(json.dumps(event).encode() for event in events) + b"\n\n"
    table = sheet([["twice-c-" + row[0], *row[1:]] for row in rows(20, time=moment)])
    for _ in range(2):
        assert (await brought(door, body, kind="application/x-ndjson", source="twice"))["lines"]["accepted"] == 20
        assert (await brought(door, table, source="twice"))["lines"]["accepted"] == 20
    found = {place: times for place, times in (await sent(door)).items() if place[0] == "twice"}
    assert len(found) == 40
    assert all(list(times.values()) == [2] for times in found.values())


async def test_whole_events_in_ndjson_go_on_byte_for_byte(door: Door) -> None:
    line = json.dumps(fresh(id="bytes-1"), indent=None).encode().replace(b", ", b" ,  ")
    cloud = {"specversion": "1.0", "id": "bytes-2", "source": "store-031/pos-2", "type": "visit", "time": now()}
    timeless = {**cloud, "id": "bytes-3", "time": None}
    body = b"\xef\xbb\xbf" + b"\r\n".join(
        [line, json.dumps(cloud).encode(), json.dumps(timeless).encode(), b"[1]", b"{"]
    )
    view = await brought(door, body, kind="application/x-ndjson")
    assert (view["lines"]["accepted"], view["lines"]["refused"]) == (2, 3)
    assert list((await sent(door))["store-031/pos-2", "bytes-1"]) == [line]


async def test_a_korean_sheet_comes_in_and_is_named_when_its_charset_is_not(door: Door) -> None:
    line = ["cp-1", *rows(1)[0][1:4], "강남점", *rows(1)[0][5:]]
    body = sheet([line], delimiter=";").decode().encode("cp949")
    view = await brought(door, body)
    assert (view["state"], view["lines"]["refused"]) == ("done", 1)
    _, _, told = await call(door, "GET", f"/v1/imports/{view['id']}/rejects")
    assert "charset=cp949" in json.loads(told)["items"][0]["detail"]
    assert (await brought(door, body, kind="text/csv; charset=euc-kr"))["lines"]["accepted"] == 1
    ((raw, _),) = (await sent(door))["store-031/pos-2", "cp-1"].items()
    assert json.loads(raw)["branch"] == "강남점"


@pytest.mark.parametrize(
    ("body", "query", "word"),
    [
        (b"", {}, "no header"),
        (b"id,Phone\n1,2\n", {}, "Phone"),
        (b"id,id\n1,2\n", {}, "Two columns"),
        ("id,type\n".encode("utf-16"), {}, "UTF-16"),
        (b"\x1f\x8bnonsense", {}, "inflated"),
        (gzip.compress(b"id,type\n" * 10_000)[:-9], {}, "ends too early"),
        (b"id,type\n", {"encoding": "gzip"}, "announced as gzip"),
        (gzip.compress(b"id,type\n" + (b"x" * 10_000 + b"\n") * 6_000), {}, "200 times"),
    ],
)
async def test_a_file_that_cannot_be_read_fails_as_a_whole(
    door: Door, body: bytes, query: dict[str, str], word: str
) -> None:
    view = await brought(door, body, **query)
    assert view["state"] == "failed" and word in view["detail"]
    assert view["lines"]["accepted"] == view["lines"]["refused"] == 0


async def test_what_a_key_may_not_do_it_may_not_do_by_file(door: Door) -> None:
    _, made = await door.call("POST", "/v1/keys", {"channel": "pos", "sources": ["store-1/*"]})
    key = made["key"]
    assert (await post(door, b"", key=key, source="store-2/a"))[0] == 403
    assert (await post(door, b"", key=key, source="store-1/a", mode="history"))[0] == 403
    assert (await post(door, b"", key="nobody"))[0] == 401
    body = sheet([["right-1", "store-2/a", *rows(1)[0][1:]]], ("id", "source", *COLUMNS[1:]))
    view = await brought(door, body, key=key, source="store-1/a")
    assert (view["lines"]["accepted"], view["lines"]["refused"]) == (0, 1)
    assert (await call(door, "GET", f"/v1/imports/{view['id']}", key=WEB))[0] == 404
    _, _, told = await call(door, "GET", "/v1/imports", key=key)
    assert [each["id"] for each in json.loads(told)["items"]] == [view["id"]]
    viewer = issue_token(SECRET, subject="vi", roles=["viewer"])
    _, _, told = await call(door, "GET", f"/v1/imports/{view['id']}/rejects", key=viewer)
    assert json.loads(told)["items"][0]["text"] == ""
    assert (await call(door, "GET", f"/v1/imports/{view['id']}/rejects?format=csv", key=viewer))[0] == 403
    assert (await call(door, "POST", f"/v1/imports/{view['id']}/cancel", key=viewer))[0] == 403
    elsewhere = issue_token(SECRET, subject="br", roles=["operator"], branch="busan")
    assert (await call(door, "GET", f"/v1/imports/{view['id']}", key=elsewhere))[0] == 404
    assert (await door.call("DELETE", f"/v1/keys/{made['key_id']}"))[0] == 204
    assert (await call(door, "GET", "/v1/imports", key=key))[0] == 401


@pytest.mark.parametrize(
    ("query", "kind", "status", "pointer"),
    [
        ({"lines": "many"}, "text/csv", 422, "query/lines"),
        ({"amount": "1e5"}, "text/csv", 422, "query/amount"),
        ({"colour": "red"}, "text/csv", 422, "query/colour"),
        ({"mapping": "nobody"}, "text/csv", 422, "query/mapping"),
        ({"sheet_date": "2026-11-21"}, "text/csv", 422, "query/branch"),
        ({"charset": "cp949"}, "application/x-ndjson", 422, "query/charset"),
        ({}, "multipart/form-data; boundary=x", 415, None),
        ({}, "application/octet-stream", 415, None),
    ],
)
async def test_what_is_asked_wrongly_is_said_at_once(
    door: Door, query: dict[str, Any], kind: str, status: int, pointer: str | None
) -> None:
    answered, problem = await post(door, b"id\n", kind=kind, **query)
    assert answered == status and problem["detail"]
    if pointer is not None:
        assert [each["pointer"] for each in problem["errors"]] == [pointer]


async def test_naughty_strings_in_every_column_cost_no_other_line(door: Door) -> None:
    strings = naughty_strings()
    lines = [["naughty-ok", *rows(1)[0][1:], "fine"]]
    lines += [[f"naughty-{n}", *rows(1)[0][1:], text] for n, text in enumerate(strings)]
    lines += [[text, *rows(1)[0][1:], "id"] for text in strings]
    body = sheet(lines, (*COLUMNS, "data.note"))
    view = await brought(door, body)
    counts = view["lines"]
    assert view["state"] == "done" and counts["read"] == counts["accepted"] + counts["refused"] == len(lines)
    found = await sent(door)
    kept = [n for n, text in enumerate(strings) if ("store-031/pos-2", f"naughty-{n}") in found]
    assert len(kept) >= len(strings) - 5
    for n in kept:
        ((raw, _),) = found["store-031/pos-2", f"naughty-{n}"].items()
        note = json.loads(raw)["data"].get("note", "")
        assert note == (strings[n] if strings[n].strip() else "")
    assert (await call(door, "GET", f"/v1/imports/{view['id']}/rejects?format=csv"))[0] == 200


async def test_broken_csv_costs_the_broken_lines_alone(door: Door) -> None:
    good = [b",".join(cell.encode() for cell in ["csv-" + row[0], *row[1:]]) for row in rows(6)]
    body = b"\r\n".join(
        [
            b"\xef\xbb\xbf" + ",".join(COLUMNS).encode(),
            good[0],
            b"",
            b'"never closed,purchase',
            good[1],
            b"x" * 300_000,
            good[2].replace(b"gangnam", b'"gang""nam"'),
            b'"a"b,purchase,,,,,',
            b"\x00,,,,,,",
            b"\xff\xfe,,,,,,",
            good[3],
            b"\n" * 3_000 + good[4],
            good[5],
        ]
    )
    view = await brought(door, body)
    found = await sent(door)
    accepted = [n for n in range(6) if ("store-031/pos-2", f"csv-r-{n}") in found]
    assert view["state"] == "done"
    # The line after the open quotation mark belongs to it until the next mark; nothing behind that is lost.
    assert set(accepted) >= {0, 3, 4, 5}
    assert view["lines"]["accepted"] == len(accepted)
    assert view["lines"]["refused"] == view["lines"]["read"] - len(accepted)


async def test_columns_say_their_kinds_and_a_zone_stands_in_for_offsets(door: Door) -> None:
    names = ("id", "type", "time", "data.score:number", "data.vip:boolean", "data.tags:json", "data.items.0.product")
    moment = clock.now().strftime("%Y-%m-%d %H:%M")
    line = ["kind-1", "survey.answered", moment, "4.50", "true", '["a"]', "tea"]
    view = await brought(door, sheet([line, ["kind-2", *line[1:3], "x", *line[4:]]], names), zone="UTC")
    assert (view["lines"]["accepted"], view["lines"]["refused"]) == (1, 1), view
    ((raw, _),) = (await sent(door))["store-031/pos-2", "kind-1"].items()
    event = json.loads(raw)
    assert b'"score":4.50' in raw
    assert event["data"] == {"score": 4.5, "vip": True, "tags": ["a"], "items": [{"product": "tea"}]}
    assert event["time"].endswith("+00:00")


async def test_a_sheet_is_owed_until_it_has_come(door: Door) -> None:
    operator = issue_token(SECRET, subject="ops", roles=["operator"])
    path = "/v1/imports/expected/gangnam-9"
    expected = {"due": "00:00", "zone": "UTC", "grace_minutes": 0}
    headers = {"Authorization": f"Bearer {operator}"}
    async with door.client.put(door.address + path, json=expected, headers=headers) as answer:
        assert answer.status == 201
    async with door.client.put(door.address + path, json=expected | {"zone": "Mars/Base"}, headers=headers) as answer:
        assert answer.status == 422
    today = clock.now().date().isoformat()

    async def owed(query: str = "") -> list[dict[str, Any]]:
        _, _, told = await call(door, "GET", f"/v1/imports/owed{query}", key=operator)
        items: list[dict[str, Any]] = json.loads(told)["items"]
        return items

    assert [(each["branch"], each["sheet_date"]) for each in await owed()] == [("gangnam-9", today)]
    body = sheet([["owed-1", *rows(1)[0][1:]]])
    await brought(door, body, branch="gangnam-9", sheet_date="2020-01-01")
    assert len(await owed(f"?date={today}")) == 1
    await brought(door, body, branch="gangnam-9", sheet_date=today)
    assert await owed() == []
    assert len((json.loads((await call(door, "GET", "/v1/imports/expected", key=operator))[2]))["items"]) == 1
    assert (await call(door, "DELETE", path, key=operator))[0] == 204
    assert (await call(door, "DELETE", path, key=operator))[0] == 404


async def test_a_list_is_read_page_by_page_and_filtered(door: Door) -> None:
    for number in range(3):
        await brought(door, sheet([[f"page-{number}", *rows(1)[0][1:]]]), branch="paged")
    viewer = issue_token(SECRET, subject="vi", roles=["viewer"])
    found: list[str] = []
    path = "/v1/imports?branch=paged&state=done&limit=2"
    following = ""
    while True:
        _, _, told = await call(door, "GET", path + following, key=viewer)
        page = json.loads(told)
        found += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        following = f"&cursor={page['next']}"
    assert len(found) == len(set(found)) == 3
    assert (await call(door, "GET", "/v1/imports?state=nonsense", key=viewer))[0] == 422


async def test_an_import_that_is_cancelled_stops_where_it_is(door: Door) -> None:
    body = sheet([["stop-" + row[0], *row[1:]] for row in rows(40_000)])
    _, answer = await post(door, body)
    async with asyncio.timeout(30):
        while (await seen(door, answer["id"]))["lines"]["accepted"] == 0:
            await asyncio.sleep(0.02)
    assert (await call(door, "POST", f"/v1/imports/{answer['id']}/cancel"))[0] == 200
    await asyncio.sleep(1.5)
    first = await seen(door, answer["id"])
    await asyncio.sleep(1.0)
    assert first == await seen(door, answer["id"])
    assert first["state"] == "cancelled" and 0 < first["lines"]["accepted"] < 40_000
    status, headers, _ = await call(door, "HEAD", f"/v1/imports/{answer['id']}", tus())
    assert (status, headers["upload-offset"]) == (200, str(len(body)))


async def test_a_client_that_comes_too_late_is_told(door: Door) -> None:
    with pytest.raises(TusCommunicationError):
        await asyncio.to_thread(uploader, door, b"id", url=f"{door.address}/v1/imports/{clock.new_id()}")
