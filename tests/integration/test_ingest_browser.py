"""Do the browser clients of Segment and RudderStack work here as they are, in a real browser, from another origin?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import OctKey
from playwright.async_api import Browser, Page

from deploy.local.ports import free_port
from libs.common import clock
from libs.common.events import EventReceived
from libs.common.topics import EVENT_RECEIVED
from tests.browsers import browser
from tests.ingest_door import Door, running
from tests.npm_packages import BROWSER, installed

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # On a fresh machine the first of them fetches the clients, and maybe a browser.
    pytest.mark.timeout(420),
]

SEGMENT = "node_modules/@segment/analytics-next/dist/umd"
RUDDERSTACK = "node_modules/@rudderstack/analytics-js/dist/npm/modern/bundled/umd"
VISITOR = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
PAGE = """<!doctype html><meta charset="utf-8"><title>Tea</title>
<script src="/segment/index.js"></script><script src="/rudderstack/index.js"></script>
<a id="away" href="/away">away</a>"""


@dataclass
class Site:
    """A shop on an origin of its own, with a browser key that its pages may use."""

    door: Door
    browser: Browser
    origin: str
    key: str
    key_id: str
    problems: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def visited(self, origin: str = "") -> AsyncIterator[Page]:
        """A page in a browser without a past; whatever it asks of anybody but the test is a problem."""
        context = await self.browser.new_context(user_agent=VISITOR)
        page = await context.new_page()
        page.on("request", lambda request: self._note(request.url))
        await page.goto(f"{origin or self.origin}/tea?email=ada%40example.com")
        try:
            yield page
        finally:
            await context.close()
        assert self.problems == []

    def _note(self, url: str) -> None:
        if "://127.0.0.1:" not in url and "://localhost:" not in url:
            self.problems.append(url)

    async def events(self, *keys: str, number: int) -> list[EventReceived]:
        found = []
        for key in keys:
            found += await self.door.log(EVENT_RECEIVED.name, key.encode(), number=number)
        return [msgspec.json.decode(message.value or b"", type=EventReceived) for message in found]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    packages = await asyncio.to_thread(installed, BROWSER)
    name = f"t{clock.new_id().hex[-12:]}"
    async with (
        browser() as launched,
        running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("browser")) as door,
        serving(packages) as origin,
    ):
        rights = {"channel": "web", "kind": "browser", "sources": ["shop/*"], "origins": [origin]}
        status, made = await door.call("POST", "/v1/keys", rights)
        assert status == 201, made
        yield Site(door, launched, origin, made["key"], made["key_id"])


@asynccontextmanager
async def serving(packages: Path) -> AsyncIterator[str]:
    """A web server with the page and the clients; gives its origin."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_static("/segment", packages / SEGMENT)
    app.router.add_static("/rudderstack", packages / RUDDERSTACK)
    app.router.add_get("/{name}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


SEGMENT_CALLS = """async ({key, address, options, user, token}) => {
  const analytics = AnalyticsNext.AnalyticsBrowser.load({writeKey: key, cdnURL: address}, options)
  const context = token ? {context: {identity_token: token}} : {}
  await analytics.identify(user, {plan: 'gold', email: 'ada@example.com'}, context)
  await analytics.track('Booked a Table', {seats: 4}, context)
  await analytics.page('Shop', 'Tea', {}, context)
  await analytics.group('acme', {plan: 'team'}, context)
  await analytics.alias(user, 'anon-before', context)
  await analytics.track('Order Completed', {order_id: 'o-1', total: 27.5, currency: 'USD'}, context)
  return (await analytics.user()).anonymousId()
}"""


async def test_segments_client_asks_where_to_send_and_every_call_arrives(site: Site, fresh_name: str) -> None:
    async with site.visited() as page:
        said = {"key": site.key, "address": site.door.address, "options": {}, "user": f"ada-{fresh_name}", "token": ""}
        anonymous = await page.evaluate(SEGMENT_CALLS, said)
    events = await site.events(f"cookie:{anonymous}", number=5)
    # Nobody proved who it is, so what arrives speaks of the browser; the alias names another one.
    assert sorted(event.type for event in events) == [
        "identify",
        "purchase",
        "segment.group",
        "segment.track.booked_a_table",
        "visit",
    ]
    assert {tuple(event.identifiers) for event in events} == {("cookie",)}
    visit = msgspec.json.decode(next(event.data for event in events if event.type == "visit"))
    assert visit["page"] == f"{site.origin}/tea?email=(email)"
    assert (visit["title"], visit["page_name"], visit["category"]) == ("Tea", "Tea", "Shop")
    assert all(b"ada@example.com" not in bytes(event.data) and b"%40" not in bytes(event.data) for event in events)
    purchase = next(event for event in events if event.type == "purchase")
    assert msgspec.json.decode(purchase.data)["context"]["library"]["name"] == "analytics.js"


async def test_a_browser_names_a_person_by_a_proof_of_its_server(site: Site, fresh_name: str) -> None:
    user = f"ida-{fresh_name}"
    status, identity = await site.door.call("POST", f"/v1/keys/{site.key_id}/identity-secret")
    assert status in (200, 201), identity
    claims = {"aud": identity["audience"], "sub": user, "exp": clock.now_ms() // 1000 + 600}
    token = jwt.encode({"alg": identity["algorithm"]}, claims, OctKey.import_key(identity["identity_secret"]))
    async with site.visited() as page:
        said = {"key": site.key, "address": site.door.address, "options": {}, "user": user, "token": token}
        async with asyncio.timeout(30):
            # The key learns of its secret within a second.
            await asyncio.sleep(1.2)
            await page.evaluate(SEGMENT_CALLS, said)
    events = await site.events(f"account:{user}", number=6)
    assert len(events) == 6
    assert all(token.encode() not in bytes(event.data) for event in events)


async def test_segments_client_sends_what_it_holds_when_its_page_is_left(site: Site) -> None:
    batching = {"strategy": "batching", "config": {"size": 100, "timeout": 600_000}}
    options = {"integrations": {"Segment.io": {"deliveryStrategy": batching}}}
    async with site.visited() as page:
        anonymous = await page.evaluate(
            """async ({key, address, options}) => {
              const analytics = AnalyticsNext.AnalyticsBrowser.load({writeKey: key, cdnURL: address}, options)
              for (let number = 0; number < 3; number++) analytics.track('Step', {number})
              await analytics.ready()
              await new Promise((resolve) => setTimeout(resolve, 500))
              return (await analytics.user()).anonymousId()
            }""",
            {"key": site.key, "address": site.door.address, "options": options},
        )
        await page.click("#away")
        events = await site.events(f"cookie:{anonymous}", number=3)
    assert sorted(msgspec.json.decode(event.data)["number"] for event in events) == [0, 1, 2]


RUDDERSTACK_CALLS = """async ({key, address, options, user}) => {
  const client = new rudderanalytics.RudderAnalytics()
  client.load(key, address, {configUrl: address, ...options})
  await new Promise((resolve) => client.ready(resolve))
  client.identify(user, {plan: 'gold'})
  client.track('Booked a Table', {seats: 4})
  client.page('Shop', 'Tea')
  client.group('acme', {plan: 'team'})
  return client.getAnonymousId()
}"""


async def _rudderstack(page: Page, site: Site, options: dict[str, Any]) -> str:
    said = {"key": site.key, "address": site.door.address, "options": options, "user": "ada"}
    anonymous: str = await page.evaluate(RUDDERSTACK_CALLS, said)
    return anonymous


async def test_rudderstacks_client_asks_for_its_source_and_every_call_arrives(site: Site) -> None:
    async with site.visited() as page:
        anonymous = await _rudderstack(page, site, {})
        events = await site.events(f"cookie:{anonymous}", number=4)
    assert sorted(event.type for event in events) == [
        "identify",
        "segment.group",
        "segment.track.booked_a_table",
        "visit",
    ]
    traits = msgspec.json.decode(next(event.data for event in events if event.type == "identify"))["traits"]
    assert traits == {"plan": "gold"}


async def test_rudderstacks_client_sends_by_beacon_when_its_page_is_left(site: Site) -> None:
    options = {"useBeacon": True, "beaconQueueOptions": {"maxItems": 100, "flushQueueInterval": 600_000}}
    async with site.visited() as page:
        # Nobody outside sees what a page sends while it is left; the page itself notes it for the next one.
        await page.evaluate(
            """() => {
              const send = navigator.sendBeacon.bind(navigator)
              navigator.sendBeacon = (url, body) => { localStorage.setItem('beacon', url); return send(url, body) }
            }"""
        )
        anonymous = await _rudderstack(page, site, options)
        assert await page.evaluate("localStorage.getItem('beacon')") is None
        await page.click("#away")
        events = await site.events(f"cookie:{anonymous}", number=4)
        noted = await page.evaluate("localStorage.getItem('beacon')")
    assert len(events) == 4
    assert noted.startswith(f"{site.door.address}/beacon/v1/batch?writeKey=")


async def test_a_page_of_another_origin_sends_nothing(site: Site, fresh_name: str) -> None:
    other = site.origin.replace("127.0.0.1", "localhost")
    async with site.visited(other) as page:
        failed = await page.evaluate(
            """async ({key, address}) => {
              const headers = {Authorization: 'Basic ' + btoa(key + ':'), 'Content-Type': 'text/plain'}
              const body = JSON.stringify({anonymousId: 'stranger', event: 'Seen', messageId: 's-1'})
              const answers = []
              for (const path of ['/v1/t', '/v1/events']) {
                try { answers.push((await fetch(address + path, {method: 'POST', headers, body})).status) }
                catch (error) { answers.push(error.name) }
              }
              // A simple request needs no preflight, and is refused on arrival.
              const simple = JSON.stringify({writeKey: key, ...JSON.parse(body)})
              await fetch(address + '/v1/t', {method: 'POST', mode: 'no-cors', body: simple})
              return answers
            }""",
            {"key": site.key, "address": site.door.address},
        )
    assert failed == ["TypeError", "TypeError"]
    assert await site.events("cookie:stranger", number=1) == []


async def test_a_page_may_send_our_own_events_and_reads_what_became_of_them(site: Site, fresh_name: str) -> None:
    event = {
        "id": f"{fresh_name}-1",
        "source": "shop/page",
        "type": "visit",
        "time": clock.now().isoformat(),
        "identifiers": {"cookie": fresh_name},
        "data": {"page": "/tea"},
    }
    async with site.visited() as page:
        answers = await page.evaluate(
            """async ({key, address, bodies}) => {
              const headers = {Authorization: 'Bearer ' + key, 'Content-Type': 'application/json'}
              const answers = []
              for (const body of bodies) {
                const order = {method: 'POST', headers, body: JSON.stringify(body)}
                const answer = await fetch(address + '/v1/events', order)
                answers.push([answer.status, await answer.json()])
              }
              return answers
            }""",
            {"key": site.key, "address": site.door.address, "bodies": [event, event | {"type": "nothing"}]},
        )
    (first, receipt), (second, problem) = answers
    assert (first, receipt["ids"]) == (202, [f"{fresh_name}-1"])
    assert (second, problem["type"]) == (422, "unknown-type")
    assert len(await site.events(f"cookie:{fresh_name}", number=1)) == 1


async def test_a_preflight_is_answered_before_any_key_is_known(site: Site) -> None:
    async def preflight(origin: str, path: str = "/v1/batch") -> tuple[int, dict[str, str]]:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "anonymousid,authorization,content-type,rsa-retry-attempt,sentat",
        }
        async with site.door.client.options(site.door.address + path, headers=headers) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}

    for path in ("/v1/batch", "/v1/t", "/v1/events", f"/v1/projects/{site.key}/settings", "/sourceConfig/"):
        status, headers = await preflight(site.origin, path)
        assert status == 200
        assert headers["access-control-allow-origin"] == site.origin
        assert headers["access-control-max-age"] == "600"
        assert headers["access-control-allow-headers"].split(",")[1] == "authorization"
        assert "access-control-allow-credentials" not in headers
    status, headers = await preflight("http://elsewhere.example")
    assert status == 403 and "access-control-allow-origin" not in headers


async def test_a_refusal_can_be_read_by_the_page_that_it_is_for(site: Site) -> None:
    headers = {"Origin": site.origin, "Authorization": "Bearer dk_web_of_nobody"}
    async with site.door.client.post(f"{site.door.address}/v1/t", data=json.dumps({}), headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["Access-Control-Allow-Origin"] == site.origin
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
