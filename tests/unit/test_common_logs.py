"""Is every line one JSON object, and does nothing of a person get into it?"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from libs.common import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    written = io.StringIO()
    logs.configure("demo", "info", instance="demo-1", stream=written)
    yield written
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(stream: io.StringIO) -> None:
    logs.get("worker").info("batch_done", unit=3, rows=12)
    (line,) = lines(stream)
    assert line["service"] == "demo" and line["instance"] == "demo-1" and line["level"] == "info"
    assert line["event"] == "batch_done" and line["logger"] == "worker"
    assert line["unit"] == 3 and line["rows"] == 12 and line["time"].endswith("Z")


def test_the_standard_library_logs_in_the_same_shape(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("to %s", "kim@example.com")
    (line,) = lines(stream)
    assert line["service"] == "demo" and line["event"] == "to [masked]"


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    logs.get("worker").debug("detail")
    logging.getLogger("aiokafka").info("heartbeat")
    assert lines(stream) == []


CANARIES = [
    "kim.minji+shop@example.co.kr",
    "+821012345678",
    "010-1234-5678",
    "4111 1111 1111 1111",
    "900101-1234567",
    "010.1234.5678",
]


@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_passes_in_a_message_a_field_or_an_exception(canary: str, stream: io.StringIO) -> None:
    log = logs.get("worker")
    log.info(f"cannot reach {canary} now", detail={"deep": [canary]}, reason=f"<{canary}>")
    try:
        raise ValueError(f"bad value {canary!r}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").error("%s", canary)
    assert canary not in stream.getvalue()
    assert stream.getvalue().count(logs.MASK) >= 5


@pytest.mark.parametrize("key", ["phone", "email", "customer_name", "homeAddress", "identifiers", "Authorization"])
def test_a_key_that_names_something_of_a_person_never_shows_its_value(key: str, stream: io.StringIO) -> None:
    logs.get("worker").info("seen", **{key: "Minji"}, nested={key: ["Minji"]})
    (line,) = lines(stream)
    assert line[key] == logs.MASK and line["nested"][key] == logs.MASK


@pytest.mark.parametrize(
    "harmless",
    [
        "01923f0c-7b7e-7000-8000-123456789012",
        "2026-11-22T01:02:03",
        "partition 7 offset 12345678",
        "127.0.0.1:15432",
        "0.123456789012",
    ],
)
def test_ids_times_and_addresses_of_machines_stay_readable(harmless: str) -> None:
    assert logs.mask(harmless) == harmless


def test_a_quoted_database_row_or_input_value_is_cut() -> None:
    text = "duplicate key\nDETAIL:  Key (name)=(Minji) already exists.\nmore"
    assert "Minji" not in logs.mask(text) and "more" in logs.mask(text)
    assert "Minji" not in logs.mask("bad [type=x, input_value='Minji', input_type=str]")


def test_a_line_break_cannot_forge_a_second_line(stream: io.StringIO) -> None:
    logs.get("worker").info('one\r\n{"level": "critical"}\u2028\x1b[2J', reason="a\nb")
    assert len(stream.getvalue().splitlines()) == 1 and stream.getvalue().isascii()


def test_a_bound_correlation_id_is_on_every_line_until_it_is_unbound(stream: io.StringIO) -> None:
    token = logs.bind_correlation("abcdefgh")
    logs.get("worker").info("within")
    logging.getLogger("library").warning("within")
    logs.unbind_correlation(token)
    logs.get("worker").info("without")
    assert [line.get("correlation") for line in lines(stream)] == ["abcdefgh", "abcdefgh", None]


def test_bytes_are_counted_and_not_shown(stream: io.StringIO) -> None:
    logs.get("worker").info("raw", content=b"Minji")
    assert lines(stream)[0]["content"] == "5 bytes"
