"""Does a write key open what it should, and nothing else?"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from libs.common.errors import Misconfigured
from services.ingest.keys import KeyBook, StoredKey, WriteKey, hash_of
from services.ingest.registry import read_keys_file

SECRET = b"dk_pos_0123456789abcdef"


def stored(secret: bytes = SECRET, key_id: str = "1") -> StoredKey:
    return StoredKey(key_id, hash_of(secret), "pos", ("store-*/pos-*",), ())


@pytest.mark.parametrize(
    "header", [b"Bearer " + SECRET, b"bearer  " + SECRET, b"Basic " + base64.b64encode(SECRET + b":"), SECRET]
)
def test_a_key_is_known_however_it_is_shown(header: bytes) -> None:
    book = KeyBook([stored()])
    key = book.holder_of(header)
    assert key is not None and key.key_id == "1"
    assert book.holder_of(header) is key


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer x", b"Basic !", b"Basic eA==", b"Digest " + SECRET, SECRET + b"0", b"\xff"]
)
def test_anything_else_is_no_key(header: bytes) -> None:
    assert KeyBook([stored()]).holder_of(header) is None


def test_a_key_that_is_gone_from_the_next_book_is_refused_though_it_was_verified() -> None:
    book = KeyBook([stored(), stored(b"dk_pos_another-one", "2")])
    assert book.holder_of(SECRET) is not None
    following = KeyBook([stored(b"dk_pos_another-one", "2")], book)
    assert following.holder_of(SECRET) is None
    assert following.holder_of(b"dk_pos_another-one") is book.holder_of(b"dk_pos_another-one")


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("store-031/pos-2", True),
        ("store-/pos-", True),
        ("store-031/kiosk-2", False),
        ("my-store-031/pos-2", False),
        ("store-031/pos-2\n", True),
        ("", False),
    ],
)
def test_a_source_must_match_a_pattern_from_end_to_end(source: str, allowed: bool) -> None:
    key = WriteKey("1", "pos", ["store-*/pos-*", "hq"], [])
    assert key.may_claim(source) is allowed
    assert key.may_claim(source) is allowed


def test_a_pattern_means_nothing_but_its_stars() -> None:
    key = WriteKey("1", "pos", ["a.c", "x|y"], [])
    assert not key.may_claim("abc")
    assert not key.may_claim("x")
    assert key.may_claim("x|y")


def test_a_key_without_patterns_may_claim_every_source() -> None:
    assert WriteKey("1", "web", [], []).may_claim("anything")


@pytest.mark.parametrize("text", ["{", '{"write_keys": {"pos": "short"}}', '{"write_keys": ["x"]}', "{}"])
def test_a_file_of_keys_that_cannot_be_used_says_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text, "utf-8")
    with pytest.raises(Misconfigured) as caught:
        read_keys_file(file)
    assert "short" not in str(caught.value).replace("shorter", "")


def test_a_file_of_keys_may_hold_other_things_as_well(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"write_keys": {"pos": "dk_pos_0123456789"}, "tokens": {"admin": "x"}}', "utf-8")
    assert read_keys_file(file) == {"pos": "dk_pos_0123456789"}
