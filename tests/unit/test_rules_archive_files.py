"""Is only that read of the files of history which is asked for, and is nothing left beside them?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventResolved
from services.rules.archive import exporting, files
from services.rules.archive.files import Row
from services.rules.archive.reading import About, checked, earlier

DAY_MS = 86_400_000
START_MS = 1_772_000_000_000 // DAY_MS * DAY_MS
ABOUT = About("resolved", 1)
DAYS = 4
PER_DAY = 10


def row(offset: int) -> Row:
    at_ms = START_MS + offset * DAY_MS // PER_DAY
    event = EventResolved(
        event_id=f"e{offset}",
        customer_id="c",
        person_id="c",
        type="visit",
        source="test",
        time=clock.from_ms(at_ms),
        received_ms=at_ms,
        data=msgspec.Raw(b"{}"),
        profile=msgspec.Raw(b"{}"),
    )
    return Row(offset, at_ms, "profile.apply/0", offset, 0, event)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A file for each day, with as many messages, at equal distances."""
    checked(tmp_path, ABOUT, make=True)
    for begin in range(0, DAYS * PER_DAY, PER_DAY):
        files.write(tmp_path, 0, begin, begin + PER_DAY, [row(each) for each in range(begin, begin + PER_DAY)])
    return tmp_path


def offsets(archive: Path, since_ms: int) -> list[int]:
    found = earlier(archive, ABOUT, since_ms)
    return [each.offset for chunk in found.runs[0] for _, _, some in chunk for each in some]


@pytest.mark.parametrize(
    ("since_ms", "first"),
    [
        (0, 0),
        (START_MS + DAY_MS, 10),
        (START_MS + DAY_MS + 1, 11),
        (START_MS + 25 * DAY_MS // 10, 25),
        (START_MS + DAYS * DAY_MS, 40),
    ],
)
def test_what_is_read_and_how_much_it_is_follows_from_when_it_was_appended(
    archive: Path, since_ms: int, first: int
) -> None:
    found = earlier(archive, ABOUT, since_ms)
    assert found.messages == DAYS * PER_DAY - first
    assert found.begins == {0: DAYS * PER_DAY}, "where the log goes on is said by all files"
    assert found.begins_ms == START_MS, "and how far history goes back, too"
    assert offsets(archive, since_ms) == list(range(first, DAYS * PER_DAY))


def test_a_file_of_days_before_is_not_opened_and_rows_before_are_not_made(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, made = list[str](), list[int]()
    read, found = files.read, files._found

    def reading(piece: files.Piece, since_ms: int = 0) -> Any:
        opened.append(str(piece.day))
        return read(piece, since_ms)

    def making(batch: Any) -> Any:
        made.append(batch.num_rows)
        return found(batch)

    monkeypatch.setattr(files, "read", reading)
    monkeypatch.setattr(files, "_found", making)
    assert len(offsets(archive, START_MS + 25 * DAY_MS // 10)) == 15
    assert opened == [str(clock.from_ms(START_MS + day * DAY_MS).date()) for day in (2, 3)] and made == [5, 10]


def test_each_file_is_a_sign_of_life_while_they_are_counted_and_while_they_are_read(archive: Path) -> None:
    heard: list[None] = []
    found = earlier(archive, ABOUT, 0, lambda: heard.append(None))
    assert len(heard) == DAYS
    list(found.runs[0])
    assert len(heard) == 2 * DAYS


async def test_what_an_export_that_was_killed_left_unfinished_is_gone_before_the_next_one_writes(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [piece, *_] = files.pieces(archive)[0]
    left = piece.path.with_suffix(".being-written")
    left.write_bytes(b"what somebody did who was erased since")

    class NoLog:
        def __init__(self, *given: Any, **more: Any) -> None:
            raise OSError("the export goes no further here")

    monkeypatch.setattr(exporting, "History", NoLog)
    with pytest.raises(OSError, match="no further"):
        await exporting.export(exporting.Log("", "", ABOUT.topic, ABOUT.partitions), archive)
    assert not left.exists() and piece.path.exists()
