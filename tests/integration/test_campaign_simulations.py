"""Does a simulation over the API say what the live worker decides on the same triggers, by the law as well?"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from libs.common import clock, migrations
from libs.common.auth import issue_token
from libs.common.documents import SnapshotWatcher
from libs.common.events import Consent, ContactRequested
from libs.common.kafka import Publisher, ensure_topics
from libs.common.runtime import App
from libs.common.unit import Floor
from libs.common.worker import Worker
from services.campaign.app import build, company_of, spec_of
from services.campaign.settings import CampaignSettings
from tests.campaign_stage import UNITS, Place, customer, fired, settled

SECRET = "a secret of the tests, long enough 0123456789"
PEOPLE: list[dict[str, Any]] = [
    {},
    {"sms": False},
    {"consents": {}},
    {"consents": {"sms": Consent(True, datetime(2020, 1, 1, tzinfo=UTC))}},
    {"consents": {"sms": Consent(True, datetime(2020, 1, 1, tzinfo=UTC))}, "attributes": {"country": "DE"}},
    {"zone": None, "attributes": {"country": "US", "region": "TX"}},
    {"zone": "America/New_York", "attributes": {"country": "US", "region": "FL"}},
    {"zone": "Australia/Lord_Howe", "attributes": {"country": "AU"}},
    {"suppressed": ["open_complaint"]},
    {"contacts": {}},
]


@dataclass
class Stage:
    app: App
    place: Place
    settings: CampaignSettings

    async def __call__(self, method: str, path: str, *, role: str = "marketer", **more: Any) -> httpx2.Response:
        token = issue_token(SECRET, subject=f"the-{role}", roles=[role])
        transport = httpx2.ASGITransport(app=self.app.web)
        async with httpx2.AsyncClient(transport=transport, base_url="http://campaign") as client:
            return await client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)

    @property
    def policies(self) -> SnapshotWatcher[Any]:
        found = self.app.components[1]
        assert isinstance(found, SnapshotWatcher)
        return found

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[None]:
        """The live worker, by the law that is in force."""
        law = self.policies
        spec = spec_of(
            self.place.library, company_of(self.settings), lambda outcome, gate: None, lambda: law.require().content
        )
        worker = Worker(spec, self.place.floor)
        await worker.start()
        try:
            yield
        finally:
            await worker.stop()


@pytest.fixture
async def stage(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Stage]:
    settings = CampaignSettings(
        database_url=postgres_url,
        database_prefix=f"{fresh_name}_",
        kafka_bootstrap=kafka_bootstrap,
        topic_prefix=topic_prefix,
        token_secret=SecretStr(SECRET),
        port=0,
    )
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS)
    await migrations.upgrade("campaign", settings.database_url_of("campaign"))
    app = await build(settings)
    database, [library, policies, *_] = app.resources[0], app.components
    publisher = Publisher(kafka_bootstrap, prefix=topic_prefix)
    parts = [database, publisher, library, policies]
    for part in parts:
        await part.start()
    connection = await asyncpg.connect(settings.database_url_of("campaign"))
    floor = Floor("one", database, publisher, kafka_bootstrap, topic_prefix, UNITS)  # type: ignore[arg-type]
    yield Stage(app, Place(floor, library, connection), settings)  # type: ignore[arg-type]
    await connection.close()
    for part in reversed(parts):
        await part.stop()
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{fresh_name}_campaign" WITH (FORCE)')
    await server.close()


async def test_a_simulation_says_what_the_live_worker_decided_on_the_same_triggers(stage: Stage) -> None:
    place = stage.place
    await place.activate(cap={"times": 2, "per": "7d"}, holdout_percent=20)
    people = [customer(f"c{number}", **PEOPLE[number % len(PEOPLE)]) for number in range(60)]
    triggers = [fired(number, each.customer_id) for number in range(3) for each in people]
    async with stage.deciding():
        await place.meet(*people)
        await place.give(*triggers)
        await place.until("SELECT count(*)::int FROM decision", [(len(triggers),)])
        requested = await place.published(ContactRequested)
        await place.give(*(settled(each.message_id, True, each.customer_id) for each in requested))
        await place.until("SELECT count(*)::int FROM contact WHERE state <> 'committed'", [(0,)])
    firings = [[each.customer_id, each.person_id, each.occurred_at.isoformat()] for each in triggers]
    asked = {"campaign": "spring", "firings": firings, "examples": 20}
    answer = await stage("POST", "/v1/simulations", json=asked)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    live: Counter[tuple[str, str]] = Counter()
    for outcome, gate in await place.rows("SELECT outcome, gate FROM decision"):
        live[outcome, gate] += 1
    waited = sum(count for (outcome, _), count in live.items() if outcome == "deferred")
    assert said["deferred"] == waited
    # What waits is decided at its release; each of the others had one end, the same in both.
    simulated = Counter({("holdout", "holdout"): said["outcomes"].get("holdout", 0)})
    for gate in said["gates"]:
        if gate["gate"] != "holdout":
            simulated["denied", gate["gate"]] = gate["stopped"]
    simulated["contact", "channel"] = said["outcomes"].get("contact", 0)
    for gate_name in ("suppression", "consent", "policy"):
        assert simulated["denied", gate_name] == live["denied", gate_name] > 0, (simulated, live)
    if not waited:
        assert +simulated == live
    assert said["firings"] == len(triggers) == sum(said["outcomes"].values())


async def test_each_decision_without_a_wait_has_its_twin_in_the_simulation(stage: Stage) -> None:
    """Person by person, with caps that fill up: by e-mail, which no hour keeps back."""
    place = stage.place
    await place.activate(channel="email", cap={"times": 2, "per": "7d"}, holdout_percent=20)
    yes = {"email": Consent(True, clock.now())}
    contacts = {"email": "a@example.org"}
    people = [customer(f"c{number}", consents=yes, contacts=contacts) for number in range(30)]
    triggers = [fired(number, each.customer_id) for number in range(4) for each in people]
    async with stage.deciding():
        await place.meet(*people)
        await place.give(*triggers)
        await place.until("SELECT count(*)::int FROM decision", [(len(triggers),)])
    firings = [[each.customer_id, each.person_id, each.occurred_at.isoformat()] for each in triggers]
    live = {
        person: Counter(outcomes)
        for person, outcomes in await place.rows("SELECT person_id, array_agg(outcome) FROM decision GROUP BY 1")
    }
    for each in people:
        own = [firing for firing in firings if firing[0] == each.customer_id]
        said = (await stage("POST", "/v1/simulations", json={"campaign": "spring", "firings": own})).json()
        assert said["outcomes"] == dict(live[each.person_id]), each.customer_id
    whole = (await stage("POST", "/v1/simulations", json={"campaign": "spring", "firings": firings})).json()
    assert whole["outcomes"] == dict(sum(live.values(), Counter()))
    assert whole["outcomes"]["denied"] > 20 and whole["outcomes"]["holdout"] > 0
    rows = await place.rows("SELECT count(*)::int FROM decision")
    assert rows == [(len(triggers),)], "a simulation keeps nothing"


async def test_a_campaign_that_was_never_kept_can_be_simulated_and_a_wrong_one_says_what_is_wrong(stage: Stage) -> None:
    document = {"id": "draft", "name": "Draft", "trigger": "a.b", "channel": "sms", "template": "t", "cost": "0.35"}
    await stage.place.floor.publisher.publish([])
    yesterday = (clock.now() - timedelta(days=1)).isoformat()
    firings = [["nobody", "nobody", yesterday]]
    said = (await stage("POST", "/v1/simulations", json={"campaign": document, "firings": firings})).json()
    assert (said["outcomes"], said["campaign_version"], said["cost"]) == ({"denied": 1}, 0, "0.00")
    assert said["examples"][0]["gate"] == "suppression" and len(said["assumes"]) == 4
    wrong = await stage("POST", "/v1/simulations", json={"campaign": {**document, "chanel": 1}, "firings": []})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "#/campaign/chanel"
    missing = await stage("POST", "/v1/simulations", json={"campaign": "no-such", "firings": []})
    assert missing.status_code == 404
    many = await stage("POST", "/v1/simulations", json={"campaign": document, "firings": firings * 2_001})
    assert many.status_code == 422 and many.json()["errors"][0]["pointer"].startswith("#/firings")


NIGHT = "2026-11-22T23:00:00+09:00"


async def test_the_company_writes_its_own_rows_by_an_approver_and_takes_them_back(stage: Stage) -> None:
    shipped = (await stage("GET", "/v1/policies/shipped")).json()
    assert shipped["version"] == 0 and all(row["source"] for row in shipped["rows"])
    asked = {
        "channel": "sms",
        "phone": "+821012345678",
        "consents": {"sms": {"granted": True, "at": "2026-11-01T00:00:00Z"}},
        "at": NIGHT,
    }
    said = (await stage("POST", "/v1/policies/check", json=asked)).json()
    assert (said["verdict"], said["by"], said["policy_version"]) == ("later", ["kr.ad.night"], 0)
    assert said["next_lawful"] == "2026-11-22T23:00:00Z" and said["rows"] == ["kr.ad.consent", "kr.ad.night"]
    own = {
        "rows": [
            {
                "id": "house.sunday",
                "source": "a promise of ours",
                "where": ["KR"],
                "hours": {"open": {"mon-sat": ["00:00-24:00"], "holidays": []}},
            }
        ]
    }
    assert (await stage("POST", "/v1/policies", json=own)).status_code == 403
    assert (await stage("POST", "/v1/policies", json=own, role="approver")).status_code == 201
    assert (await stage("POST", "/v1/policies/company/activate", json={}, role="approver")).status_code == 200
    sunday = {**asked, "channel": "email", "consents": {"email": asked["consents"]["sms"]}}  # type: ignore[index]
    said = (await stage("POST", "/v1/policies/check", json=sunday)).json()
    assert (said["verdict"], said["by"], said["policy_version"]) == ("later", ["house.sunday"], 1)
    assert said["next_lawful"] == "2026-11-22T15:00:00Z"
    in_force = (await stage("GET", "/v1/policies/in-force")).json()
    assert in_force["version"] == 1 and in_force["rows"][-1]["id"] == "house.sunday"
    paused = await stage("POST", "/v1/policies/company/pause", json={}, role="approver")
    assert paused.status_code == 200
    assert (await stage("POST", "/v1/policies/check", json=sunday)).json()["verdict"] == "lawful"
    wrong = await stage("POST", "/v1/policies/validate", json={"rows": [{"id": "x"}]}, role="approver")
    assert wrong.json()["valid"] is False


async def test_every_decision_that_the_law_was_asked_for_names_its_version_and_rows(stage: Stage) -> None:
    place = stage.place
    await place.activate()
    async with stage.deciding():
        await place.meet(customer())
        await place.give(fired())
        await place.until("SELECT count(*)::int, max(policy_version) FROM decision", [(1, 0)])
    [decision] = (await stage("GET", "/v1/decisions")).json()["items"]
    [verdict] = [each for each in decision["trace"] if each["gate"] == "policy"]
    assert verdict["values"]["version"] == decision["policy_version"] == 0
    assert verdict["values"]["rows"] == ["kr.ad.consent", "kr.ad.night"] and verdict["values"]["places"] == ["KR"]
