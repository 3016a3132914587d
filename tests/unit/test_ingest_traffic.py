"""Is it noticed that no customer is behind an event, and does the event go on with a flag?"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from libs.common import clock
from libs.common.errors import Unauthenticated
from libs.common.kafka import Record
from services.ingest.doors.visit import Head, head_of
from services.ingest.intake import Form, Terms, decode_batch
from services.ingest.keys.book import Scope, WriteKey
from services.ingest.reception import Reception
from services.ingest.records import records_of
from services.ingest.traffic import Traffic
from tests.ingest_desk import desk_of
from tests.ingest_events import event

CHROME = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
PAGE = WriteKey("1", "shop", [], [], Scope(kind="browser"))
SITE = WriteKey("2", "web", [], [])
TILL = WriteKey("3", "pos", [], [])


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def desk() -> Reception:
    return desk_of()


@pytest.mark.parametrize(
    "name",
    [
        b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        b"Mozilla/5.0 (compatible; Yeti/1.1; +https://naver.me/spd)",
        CHROME.replace(b"Chrome/", b"HeadlessChrome/"),
        CHROME + b" Chrome-Lighthouse",
        b"Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        b"Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        b"Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/22.1.0",
    ],
)
@pytest.mark.parametrize("browser", [True, False])
def test_crawlers_headless_browsers_and_monitors_are_bots_whoever_passes_them_on(
    traffic: Traffic, name: bytes, browser: bool
) -> None:
    assert traffic.kind_of(name, browser=browser) == "bot"


@pytest.mark.parametrize(
    "name",
    [
        CHROME,
        b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 KAKAOTALK 10.4",
        b"Mozilla/5.0 (Linux; Android 15; SM-S928N; wv) AppleWebKit/537.36 Chrome/131 Mobile Safari/537.36 NAVER(app)",
        b"Mozilla/5.0 (Linux; Android 9; Cubot) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Mobile Safari/537.36",
        b"okhttp/4.12.0",
        b"Dalvik/2.1.0 (Linux; U; Android 15)",
        b"Shop/3.1 CFNetwork/1494.0.7 Darwin/23.4.0",
        b"\xff\xfe nonsense",
    ],
)
@pytest.mark.parametrize("browser", [True, False])
def test_browsers_and_apps_are_not(traffic: Traffic, name: bytes, browser: bool) -> None:
    assert traffic.kind_of(name, browser=browser) == ""


@pytest.mark.parametrize("name", [b"", b"  ", b"curl/8.7.1", b"python-requests/2.32", b"Python/3.11 aiohttp/3.14"])
def test_a_program_is_a_bot_with_a_browsers_key_and_a_site_with_a_servers(traffic: Traffic, name: bytes) -> None:
    assert traffic.kind_of(name, browser=True) == "bot"
    assert traffic.kind_of(name, browser=False) == ""


def test_names_that_somebody_invents_do_not_fill_the_memory(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.traffic._REMEMBERED_MAX", 10)
    for number in range(30):
        traffic.kind_of(b"Browser/%d" % number, browser=True)
    assert len(traffic._known) <= 10


def test_an_endless_name_is_looked_at_only_so_far(traffic: Traffic) -> None:
    assert traffic.kind_of(CHROME + b" " * 600 + b"Googlebot/2.1", browser=True) == ""


def test_the_list_of_crawlers_is_not_read_by_an_import() -> None:
    script = "import sys, services.ingest.traffic; sys.exit('crawleruseragents' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("key", "head", "flag"),
    [
        (PAGE, Head(user_agent=CHROME), ""),
        (PAGE, Head(user_agent=b"Googlebot/2.1"), "bot"),
        (PAGE, Head(), "bot"),
        (SITE, Head(user_agent=b"Googlebot/2.1"), "bot"),
        (SITE, Head(), ""),
        (TILL, Head(user_agent=b"Googlebot/2.1"), ""),
        (TILL, Head(test=True), "test"),
        (PAGE, Head(user_agent=b"Googlebot/2.1", test=True), "test"),
    ],
)
def test_only_what_comes_from_the_web_is_flagged_by_its_name_and_a_test_wherever_it_comes_from(
    desk: Reception, key: WriteKey, head: Head, flag: str
) -> None:
    assert desk.terms(key, head=head).traffic == flag


@pytest.mark.parametrize(("value", "test"), [(b"true", True), (b" True ", True), (b"false", False), (b"", False)])
def test_a_test_says_so_in_a_header(value: bytes, test: bool) -> None:
    assert head_of([(b"x-dangol-test", value)]).test is test


def test_the_flag_travels_in_the_headers_and_the_bytes_stay_the_same(desk: Reception) -> None:
    moment = clock.now().isoformat()
    plain, flagged = (_records(desk.terms(TILL, head=head), moment) for head in (Head(), Head(test=True)))
    assert dict(flagged[0].headers) == dict(plain[0].headers) | {"traffic": b"test"}
    assert "traffic" not in dict(plain[0].headers)
    assert flagged[0].value == plain[0].value


def test_a_token_that_proves_nothing_stops_a_browsers_request_and_is_of_no_matter_to_a_server(desk: Reception) -> None:
    head = Head(user_agent=CHROME, identity_token=b"a.b.c")
    assert desk.terms(SITE, head=head).proven == {}
    with pytest.raises(Unauthenticated):
        desk.terms(PAGE, head=head)


def _records(terms: Terms, moment: str) -> list[Record]:
    body = json.dumps(event(time=moment)).encode()
    return records_of(decode_batch(body, Form.NATIVE, terms), terms, 2)
