"""Does a write key open what it should, and nothing else?"""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from libs.common import clock
from libs.common.errors import BrokerAway, Forbidden, Misconfigured, Unauthenticated
from libs.common.kafka import Publisher
from services.ingest.intake import Rejected
from services.ingest.keys.book import BROWSER, PUBLIC, KeyBook, Scope, StoredKey, StoredSecret, WriteKey, hash_of
from services.ingest.keys.pace import Pace
from services.ingest.refusals import TooFast
from services.ingest.registry import read_keys_file
from services.profile import identify
from tests.ingest_desk import desk_of
from tests.ingest_events import event, judged

SECRET = b"dk_pos_0123456789abcdef"


def stored(
    secret: bytes = SECRET, key_id: str = "1", *, secrets: tuple[StoredSecret, ...] | None = None, **scope: Any
) -> StoredKey:
    return StoredKey(
        key_id=key_id,
        channel="pos",
        sources=("store-*/pos-*",),
        scope=Scope(**scope),
        secrets=(StoredSecret(f"of-{key_id}", hash_of(secret)),) if secrets is None else secrets,
    )


def verdict_of(key: WriteKey, **changes: Any) -> str:
    """The reason why an event is refused under this key, with its place; empty when it is accepted."""
    (verdict,) = judged(event(**changes), key=key).verdicts
    return f"{verdict.reason} {verdict.pointer}" if isinstance(verdict, Rejected) else ""


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


def test_a_pattern_of_many_stars_costs_no_more_than_a_search() -> None:
    key = WriteKey("1", "pos", ["*-*-*-*x"] * 50, [])
    began = time.thread_time()
    assert not key.may_claim("-" * 200) and key.may_claim("a-b-c-dx") and not key.may_claim("a-b-x")
    assert time.thread_time() - began < 0.1


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


def test_both_secrets_of_a_key_open_it_and_are_told_apart() -> None:
    other = b"dk_pos_another-one"
    two = (StoredSecret("old", hash_of(SECRET)), StoredSecret("new", hash_of(other)))
    book = KeyBook([stored(secrets=two)])
    old, new = book.holding_of(SECRET), book.holding_of(other)
    assert old is not None and new is not None
    assert old.key is new.key
    assert (old.secret_id, new.secret_id) == ("old", "new")


def test_a_change_of_rights_holds_for_headers_that_were_verified_before() -> None:
    before = KeyBook([stored()])
    held = before.holder_of(SECRET)
    after = KeyBook([stored(types=("visit",))], before)
    changed = after.holder_of(SECRET)
    assert held is not None and held.may_send("purchase")
    assert changed is not None and changed is not held and not changed.may_send("purchase")


def test_a_key_that_did_not_change_keeps_what_it_remembers() -> None:
    before = KeyBook([stored(events_per_second=5.0)])
    after = KeyBook([stored(events_per_second=5.0), stored(b"dk_pos_another-one", "2")], before)
    assert after.holder_of(SECRET) is before.holder_of(SECRET)


@pytest.mark.parametrize("ends", ["key", "secret"])
def test_an_expired_key_is_refused_from_that_moment_on(ends: str) -> None:
    end = clock.now() + timedelta(hours=1)
    later = end + timedelta(hours=1)
    secret = StoredSecret("s", hash_of(SECRET), end if ends == "secret" else later)
    desk = desk_of(stored(secrets=(secret,), expires_at=end if ends == "key" else later))
    with time_machine.travel(end - timedelta(seconds=1), tick=False):
        assert desk.key_of(SECRET).key_id == "1"
    with time_machine.travel(end, tick=False), pytest.raises(Unauthenticated, match="expired"):
        desk.key_of(SECRET)


@pytest.mark.parametrize(
    ("types", "kind", "reason"),
    [
        ((), "purchase", ""),
        (("purchase", "refund"), "purchase", ""),
        (("pur*",), "purchase", ""),
        (("visit",), "purchase", "type-not-allowed /type"),
        (("purchas",), "purchase", "type-not-allowed /type"),
    ],
)
def test_a_key_sends_the_types_that_it_names(types: tuple[str, ...], kind: str, reason: str) -> None:
    assert verdict_of(WriteKey("1", "pos", [], [], Scope(types=types)), type=kind) == reason


@pytest.mark.parametrize(
    ("branches", "named", "reason"),
    [
        ((), ..., ""),
        ((), "gangnam", ""),
        (("gangnam", "jongno"), "jongno", ""),
        (("gangnam",), "jongno", "branch-not-allowed /branch"),
        (("gangnam",), ..., "branch-not-allowed /branch"),
        (("gangnam",), None, "branch-not-allowed /branch"),
    ],
)
def test_a_key_with_branches_sends_no_event_of_another_and_none_without(
    branches: tuple[str, ...], named: Any, reason: str
) -> None:
    assert verdict_of(WriteKey("1", "pos", [], [], Scope(branches=branches)), branch=named) == reason


def test_a_server_may_send_consent_and_a_browser_neither_consent_nor_history() -> None:
    consent = {"type": "consent_given", "data": {"channel": "email"}, "identifiers": {"cookie": "c"}}
    assert verdict_of(WriteKey("1", "web", [], []), **consent) == ""
    browser = WriteKey("1", "web", [], ["history"], Scope(kind="browser"))
    assert verdict_of(browser, **consent) == "consent-not-allowed /type"
    assert verdict_of(browser, **consent | {"type": "consent_withdrawn"}) == "consent-not-allowed /type"
    assert verdict_of(browser, history=True, identifiers={"cookie": "c"}) == "history-not-allowed /history"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://shop.example", True),
        (b"https://kr.shop.example", True),
        (b"https://shop.example.evil.test", False),
        (b"https://evilshop.example", False),
        (b"http://shop.example", False),
        (b"null", False),
        (b"", True),
    ],
)
def test_a_browser_key_is_used_on_its_own_pages_and_by_apps_that_have_none(origin: bytes, allowed: bool) -> None:
    desk = desk_of(stored(kind="browser", origins=("https://shop.example", "https://*.shop.example")))
    if allowed:
        assert desk.key_of(SECRET, origin).is_browser
    else:
        with pytest.raises(Forbidden, match="origin"):
            desk.key_of(SECRET, origin)


def test_a_burst_may_be_spent_at_once_and_a_debt_is_waited_for() -> None:
    pace = Pace(100.0)
    assert pace.wait_seconds(0.0) == 0
    pace.charge(199, 0.0)
    assert pace.wait_seconds(0.0) == 0
    pace.charge(501, 0.0)
    assert pace.wait_seconds(0.0) == pytest.approx(5.01)
    assert pace.wait_seconds(5.0) == pytest.approx(0.01)
    assert pace.wait_seconds(5.02) == 0
    pace.charge(0, 1000.0)
    pace.charge(200, 1000.0)
    assert pace.wait_seconds(1000.0) > 0, "what was not used is not saved up beyond the burst"


def test_a_slow_key_may_still_send_a_hundred_events_at_once() -> None:
    pace = Pace(0.5)
    pace.charge(99, 0.0)
    assert pace.wait_seconds(0.0) == 0
    pace.charge(1, 0.0)
    assert pace.wait_seconds(0.0) == pytest.approx(2.0)


def test_a_key_that_has_used_up_its_share_is_told_when_to_come_again_and_counted() -> None:
    desk = desk_of(stored(events_per_second=10.0), stored(b"dk_pos_another-one", "2"))
    key = desk.key_of(SECRET)
    assert key.pace is not None
    key.pace.charge(150, time.monotonic())
    with pytest.raises(TooFast) as caught:
        desk.key_of(SECRET)
    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 6)
    assert desk.key_of(b"dk_pos_another-one").key_id == "2"


async def test_what_the_broker_did_not_take_is_not_paid_for() -> None:
    desk = desk_of(stored(events_per_second=10.0), publisher=Publisher("127.0.0.1:1", queue_bytes_max=0))
    key = desk.key_of(SECRET)
    assert key.pace is not None
    for _ in range(3):
        with pytest.raises(BrokerAway):
            await desk.take(judged([event(id=str(n)) for n in range(90)], key=key), desk.terms(key))
    assert key.pace.wait_seconds(time.monotonic()) == 0


def test_a_new_rate_forgives_no_debt() -> None:
    book = KeyBook([stored(events_per_second=10.0)])
    key = book.holder_of(SECRET)
    assert key is not None and key.pace is not None
    key.pace.charge(1_000, 0.0)
    after = KeyBook([stored(events_per_second=20.0)], book).holder_of(SECRET)
    assert after is not None and after.pace is not None
    assert after.pace.wait_seconds(0.0) == pytest.approx(901 / 20)


def test_what_strangers_write_into_headers_does_not_fill_the_memory() -> None:
    book = KeyBook([stored(kind="browser", origins=("https://shop.example",))])
    for blanks in range(1_000, 1_010):
        assert book.holder_of(b"Bearer" + b" " * blanks + SECRET) is not None
    key = book.holder_of(SECRET)
    assert key is not None and len(book._verified) == 1
    assert not key.may_be_used_from(b"https://" + b"x" * 10_000)
    assert not key._origins._known


def test_what_comes_by_a_key_that_everybody_can_read_says_so_to_its_readers() -> None:
    page, till = WriteKey("1", "web", [], [], Scope(kind=BROWSER)), WriteKey("2", "web", [], [])
    assert (PUBLIC, b"1") in page.headers and (PUBLIC, b"1") in page.headers_of("bot")
    assert PUBLIC not in dict(till.headers)
    assert PUBLIC == identify.PUBLIC, "profile looks for it by this name"
