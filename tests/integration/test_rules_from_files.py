"""Do files of rules come into force through the public API, and never over what somebody else did?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from deploy.rules import __main__ as command
from deploy.rules import applying
from deploy.rules.calls import Service
from deploy.rules.files import RuleFile
from deploy.rules.planning import MARK, plan
from deploy.rules.settings import Target
from libs.common.auth import issue_token
from libs.common.db import Database
from services.rules.app import build
from tests.rules_place import BASKET, SECRET, VISITS, Place, opened

EDITED = {**VISITS, "name": "Another name"}


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


@asynccontextmanager
async def served(place: Place, **settings: Any) -> AsyncIterator[Target]:
    """The API on a socket, and the marketer `ci` who calls it."""
    app = await build(place.settings.model_copy(update={"works": False, **settings}))
    database = app.resources[0]
    assert isinstance(database, Database)
    await database.start()
    server = uvicorn.Server(uvicorn.Config(app.web, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(30):
            while not server.started:
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Target(f"http://127.0.0.1:{port}", issue_token(SECRET, subject="ci", roles=["marketer"]))
    finally:
        server.should_exit = True
        await task
        await database.stop()


class Folder:
    """A folder of rules, and the command on it; what it wrote by rule."""

    def __init__(self, path: Path, target: Target, capsys: pytest.CaptureFixture[str]) -> None:
        self._path = path
        self._target = target
        self._capsys = capsys

    def holds(self, *documents: dict[str, Any]) -> None:
        for path in self._path.glob("*.json"):
            path.unlink()
        for document in documents:
            (self._path / f"{document['id']}.json").write_text(json.dumps(document))

    def holds_segments(self, *documents: dict[str, Any]) -> None:
        (self._path / "segments").mkdir(exist_ok=True)
        for path in (self._path / "segments").glob("*.json"):
            path.unlink()
        for document in documents:
            (self._path / "segments" / f"{document['id']}.json").write_text(json.dumps(document))

    async def run(self, name: str, *options: str) -> tuple[int, dict[str, str]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DANGOL_RULES_URL", self._target.url)
            patch.setenv("DANGOL_TOKEN", self._target.token)
            code = await asyncio.to_thread(command.main, [name, str(self._path), *options])
        written = self._capsys.readouterr().out.splitlines()
        return code, dict(line.split(": ", 1) for line in written if ": " in line and not line.startswith(" "))


async def by_hand(target: Target, who: str, method: str, path: str, **more: Any) -> httpx2.Response:
    role = "approver" if who == "cleo" else "marketer"
    headers = {"Authorization": f"Bearer {issue_token(SECRET, subject=who, roles=[role])}"} | more.pop("headers", {})
    async with httpx2.AsyncClient(base_url=target.url, headers=headers) as client:
        return await client.request(method, f"/v1/rules{path}", **more)


async def statuses(target: Target) -> dict[str, Any]:
    items = (await by_hand(target, "cleo", "GET", "")).json()["items"]
    return {each["id"]: (each["version"], each["live_version"], each["live_status"]) for each in items}


async def test_files_are_planned_applied_changed_paused_and_pruned(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(place) as target:
        folder = Folder(tmp_path, target, capsys)
        folder.holds(VISITS, BASKET)
        code, lines = await folder.run("plan")
        assert (code, lines["three-visits"]) == (0, "create and activate")
        assert await statuses(target) == {}, "a plan does nothing"
        code, lines = await folder.run("apply", "--ramp", "20", "--note", "commit 1")
        assert (code, lines["basket-left"]) == (0, "create and activate: done: version 1 is active")
        assert await folder.run("apply") == (0, {"rules": "2 same"})
        folder.holds(EDITED, {**BASKET, "status": "paused"})
        code, lines = await folder.run("apply")
        assert lines["three-visits"] == "change and activate: done: version 2 is active"
        assert lines["basket-left"] == "pause: done: version 1 is paused"
        assert await statuses(target) == {"basket-left": (1, 1, "paused"), "three-visits": (2, 2, "active")}
        changes = (await by_hand(target, "cleo", "GET", "/three-visits/changes")).json()["items"]
        assert [(each["author"], each["note"], each["ramp_percent"]) for each in changes] == [
            ("ci", MARK, 20),
            ("ci", f"{MARK}: commit 1", 20),
        ]
        folder.holds(EDITED)
        code, lines = await folder.run("apply")
        assert (code, lines["basket-left"]) == (0, "left: has no file any more; --prune retires it")
        code, lines = await folder.run("apply", "--prune")
        assert (code, lines["basket-left"]) == (0, "retire: done: version 1 is retired")
        assert (await statuses(target))["basket-left"] == (1, None, None)


async def test_a_rule_that_somebody_edited_is_refused_and_the_others_are_applied(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(place) as target:
        folder = Folder(tmp_path, target, capsys)
        folder.holds(VISITS)
        await folder.run("apply")
        hers = {**VISITS, "name": "Anna's"}
        await by_hand(target, "anna", "PUT", "/three-visits", json=hers, headers={"If-Match": '"1"'})
        folder.holds(EDITED, BASKET)
        code, lines = await folder.run("apply")
        assert code == 1
        assert lines["three-visits"].startswith("refused: version 2 was written by anna at ")
        assert lines["rules"] == "1 done, 1 refused"
        assert await statuses(target) == {"basket-left": (1, 1, "active"), "three-visits": (2, 1, "active")}
        code, _ = await folder.run("apply", "--overwrite")
        assert (code, (await statuses(target))["three-visits"]) == (0, (3, 3, "active"))


async def test_whoever_is_faster_between_the_look_and_the_write_wins(place: Place) -> None:
    async with served(place) as target, Service(target) as service:
        await by_hand(target, "ci", "POST", f"?note={MARK}", json=VISITS)
        file = RuleFile("three-visits.json", "three-visits", EDITED)
        steps = plan([file], await applying.known(service, ["three-visits"]))
        hers = {**VISITS, "name": "Anna's"}
        await by_hand(target, "anna", "PUT", "/three-visits", json=hers, headers={"If-Match": '"1"'})
        [done] = [each async for each in applying.applied(service, steps)]
        assert done.outcome == "refused"
        assert "is at version 2 by now, not 1, written by anna at" in done.told
        assert (await statuses(target))["three-visits"] == (2, None, None)


async def test_a_version_that_needs_approval_is_submitted_and_counts_once_it_is_given(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(place, approval_above_percent=10) as target:
        folder = Folder(tmp_path, target, capsys)
        folder.holds(VISITS)
        code, lines = await folder.run("apply", "--reach", "30")
        assert code == 0
        assert lines["three-visits"].startswith("create and activate: waiting: version 1 is in review; Version 1 of")
        assert (await by_hand(target, "cleo", "POST", "/three-visits/approve", json={"version": 1})).status_code == 200
        code, lines = await folder.run("apply", "--reach", "30")
        assert (code, lines["three-visits"]) == (0, "activate: done: version 1 is active")
        folder.holds(EDITED)
        await folder.run("apply", "--reach", "30")
        no = {"version": 2, "note": "no"}
        assert (await by_hand(target, "cleo", "POST", "/three-visits/reject", json=no)).status_code == 200
        code, lines = await folder.run("apply", "--reach", "30")
        assert code == 1 and "refused: version 2 was rejected" in lines["three-visits"]
        assert (await statuses(target))["three-visits"] == (2, 1, "active")


async def test_segments_come_into_force_before_the_rules_that_name_them_and_are_pruned_after_them(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = {"id": "regulars", "name": "x", "who": [{"field": "profile.tier", "op": "is", "value": "gold"}]}
    outer = {"id": "a-better", "name": "x", "who": [{"in_segment": "regulars"}]}
    rule = {**VISITS, "id": "a-visits", "who": [{"in_segment": "a-better"}]}
    async with served(place) as target:
        folder = Folder(tmp_path, target, capsys)
        folder.holds(rule)
        folder.holds_segments(inner, outer)
        code, lines = await folder.run("apply")
        done = "create and activate: done: version 1 is active"
        assert (code, lines) == (
            0,
            {
                "rules": "3 done",
                "segment regulars": done,
                "segment a-better": done,
                "a-visits": done,
            },
        ), lines
        assert (await folder.run("apply"))[1]["rules"] == "3 same"
        folder.holds_segments({**inner, "name": "Gold", "status": "active"}, outer)
        assert (await folder.run("apply"))[1]["segment regulars"] == "change and activate: done: version 2 is active"
        folder.holds(VISITS)
        folder.holds_segments()
        code, lines = await folder.run("apply", "--prune")
        assert code == 0, lines
        assert [name for name in lines if "retire" in lines[name]] == [
            "a-visits",
            "segment a-better",
            "segment regulars",
        ]


async def test_nothing_is_applied_while_a_file_is_broken(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(place) as target:
        folder = Folder(tmp_path, target, capsys)
        folder.holds(VISITS, {**BASKET, "when": {"type": "absent"}})
        code, lines = await folder.run("apply")
        assert code == 1
        assert lines["basket-left.json"].startswith("error: /when/type")
        assert await statuses(target) == {}
