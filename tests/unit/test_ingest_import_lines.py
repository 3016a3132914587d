"""Where do lines begin and end, whatever stands in a file and however it arrives?"""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.imports.inflating import Gunzip, Plain, Unreadable, inflater_for
from services.ingest.imports.lines import BREAKS_MAX, LINE_BYTES_MAX, Line, Lines, QuotedLines, delimiter_in

TRICKY = st.text(alphabet='ab",\n\r ', max_size=60).map(str.encode)
SIZES = st.lists(st.integers(1, 20), min_size=1, max_size=10)


def read(reader: Lines, data: bytes, sizes: list[int] | None = None) -> list[Line]:
    found: list[Line] = []
    place = step = 0
    while place < len(data):
        size = sizes[step % len(sizes)] if sizes else len(data)
        found += reader.feed(data[place : place + size])
        place, step = place + size, step + 1
    return [*found, *reader.finish()]


@pytest.mark.parametrize("make", [Lines, lambda *place: QuotedLines(",", *place)])
@given(data=TRICKY, sizes=SIZES)
def test_how_a_file_is_cut_up_on_its_way_changes_nothing(
    make: Callable[..., Lines], data: bytes, sizes: list[int]
) -> None:
    assert read(make(), data) == read(make(), data, sizes)


@pytest.mark.parametrize("make", [Lines, lambda *place: QuotedLines(",", *place)])
@given(data=TRICKY)
def test_a_reader_that_begins_at_the_end_of_a_line_sees_what_the_first_one_saw(
    make: Callable[..., Lines], data: bytes
) -> None:
    lines = read(make(), data)
    for index, line in enumerate(lines):
        assert read(make(line.end, line.following), data[line.end :]) == lines[index + 1 :]


@given(table=st.lists(st.lists(st.text(alphabet='ab",;\n 한', max_size=6), min_size=2, max_size=4), max_size=6))
def test_what_a_writer_of_csv_wrote_comes_back(table: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(table)
    lines = read(QuotedLines(","), written.getvalue().encode())
    assert [next(csv.reader([line.raw.decode()], strict=True)) for line in lines] == table


def test_lines_are_numbered_as_an_editor_does() -> None:
    data = b'a,b\n\n"x\ny\nz",1\r\nlast,2'
    assert [(line.number, line.raw) for line in read(QuotedLines(","), data)] == [
        (1, b"a,b"),
        (3, b'"x\ny\nz",1'),
        (6, b"last,2"),
    ]


def test_a_line_that_is_too_long_costs_neither_memory_nor_the_next_one() -> None:
    reader = Lines()
    found = [line for _ in range(100) for line in reader.feed(b"x" * 100_000)]
    assert not found and len(reader._rest) <= LINE_BYTES_MAX
    long, short = list(reader.feed(b"\nnext\n"))
    assert long.fault and len(long.raw) == LINE_BYTES_MAX and long.end == 10_000_001
    assert short == Line(2, 3, 10_000_006, b"next")


def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_alone() -> None:
    after = b"".join(b"%d,fine\n" % number for number in range(BREAKS_MAX + 10))
    broken, *good = read(QuotedLines(","), b'"never,closed\n' + after)
    assert broken.number == 1 and "not closed" in broken.fault and broken.raw == b'"never,closed'
    assert [line.raw for line in good] == after.splitlines() and not any(line.fault for line in good)
    assert [line.fault != "" for line in read(QuotedLines(","), b'"open\nat,the end\n')] == [True, False]


@pytest.mark.parametrize(
    "data",
    [b'"\n' + b"\n" * 500_000, b'a,"\n' + b"xx\n" * 300_000, b'"' * 2_000_000, b',"' * 1_000_000, b'"a\n' * 200_000],
)
def test_no_file_takes_more_than_time_in_proportion(data: bytes) -> None:
    began = time.process_time()
    read(QuotedLines(","), data, [16_384])
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize(
    ("header", "mark"),
    [(b"id,type", ","), (b"id;type;a,b", ";"), (b"id\ttype", "\t"), (b'"a,b,c";d', ";"), (b"id", ",")],
)
def test_the_delimiter_is_found_in_the_header(header: bytes, mark: str) -> None:
    assert delimiter_in(header) == mark


def pieces(reader: Plain, data: bytes, size: int = 1000) -> Iterator[bytes]:
    for place in range(0, len(data), size):
        yield from reader.feed(data[place : place + size])
    reader.finish()


@given(parts=st.lists(st.binary(max_size=2_000), min_size=1, max_size=3), size=st.integers(1, 300))
def test_what_was_compressed_comes_back_also_when_files_were_joined(parts: list[bytes], size: int) -> None:
    packed = b"".join(gzip.compress(part) for part in parts)
    reader = inflater_for(packed, "", 1 << 20)
    assert type(reader) is Gunzip
    assert b"".join(pieces(reader, packed, size)) == b"".join(parts)


def test_a_bomb_is_ended_before_it_goes_off() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    reader, made = Gunzip(1 << 30), 0
    with pytest.raises(Unreadable, match="200 times"):
        for piece in pieces(reader, bomb):
            assert len(piece) <= 256 * 1024
            made += len(piece)
    assert made < 40_000_000
    with pytest.raises(Unreadable, match="larger than 1000000"):
        list(pieces(Gunzip(1_000_000), bomb))
    with pytest.raises(Unreadable, match="larger than 1000000"):
        list(pieces(Plain(1_000_000), bytes(2_000_000)))


@pytest.mark.parametrize("end", [-1, -9, 30])
def test_a_compressed_file_that_was_cut_off_is_no_file(end: int) -> None:
    packed = gzip.compress(bytes(range(256)) * 100)
    with pytest.raises(Unreadable, match="ends too early"):
        list(pieces(Gunzip(1 << 20), packed[:end]))
