"""How does a plan become what the rules service has? Through its public API, naming the version that was looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deploy.local.failure import StackFailure
from deploy.rules.calls import Answer, Service
from deploy.rules.files import RULE
from deploy.rules.planning import MARK, Known, Order, Step

_PAGE = 200


@dataclass(frozen=True)
class Done:
    """What became of a step: `outcome` is done, waiting (for approval), refused, left or same."""

    step: Step
    outcome: str
    told: str = ""


async def known(service: Service, ids: Iterable[str], kind: str = RULE) -> dict[str, Known]:
    """All rules, or segments, that the service has; those that are asked for with what is in force, and by whom."""
    wanted, root = set(ids), _root(kind)
    return {
        each["id"]: await _known(service, root, each, each["id"] in wanted) async for each in _listed(service, root)
    }


def _root(kind: str) -> str:
    return f"/v1/{kind}s"


async def _listed(service: Service, root: str) -> AsyncIterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = await _read(service, f"{root}?limit={_PAGE}{cursor}")
        for each in page["items"]:
            yield each
        if page["next"] is None:
            return
        cursor = f"&cursor={quote(page['next'])}"


async def _known(service: Service, root: str, listed: dict[str, Any], wanted: bool) -> Known:
    order, ramp_percent = None, int(listed["ramp_percent"])
    if wanted or listed["note"].startswith(MARK):
        path = f"{root}/{listed['id']}"
        changes = (await _read(service, f"{path}/changes?limit=1"))["items"]
        order = (
            Order(*(changes[0][name] for name in ("version", "status", "author", "note", "at"))) if changes else None
        )
        if listed["live_version"] not in (None, listed["version"]):
            ramp_percent = (await _read(service, f"{path}/versions/{listed['live_version']}"))["ramp_percent"]
    return Known(
        listed["version"],
        listed["status"],
        listed["author"],
        listed["note"],
        listed["created_at"],
        listed["document"],
        listed["live_version"],
        listed["live_status"],
        ramp_percent,
        order,
    )


async def _read(service: Service, path: str) -> Any:
    answer = await service.call("GET", path)
    if answer.status != 200:
        raise StackFailure(f"GET {path} of the rules service was refused with {answer.status}: {answer.told()}")
    return answer.body


async def applied(
    service: Service,
    steps: Sequence[Step],
    *,
    note: str = "",
    ramp_percent: int | None = None,
    reach: float | None = None,
) -> AsyncIterator[Done]:
    """One after the other; what is refused leaves the others alone."""
    for step in steps:
        if step.is_nothing:
            yield Done(step, "same")
        elif step.refusal or step.left:
            yield Done(step, step.title(), step.refusal or step.left)
        else:
            yield await _Applying(service, f"{MARK}: {note}" if note else MARK, ramp_percent, reach).run(step)


class _Applying:
    def __init__(self, service: Service, note: str, ramp_percent: int | None, reach: float | None) -> None:
        self._service = service
        self._note = note
        self._ramp_percent = ramp_percent
        self._reach = reach

    async def run(self, step: Step) -> Done:
        version = step.version
        if step.expected is not None:
            written = await self._write(step)
            if written.status not in (200, 201):
                return Done(step, "refused", f"nothing was written: {written.told()}")
            version = written.body["version"]
        if not step.switch:
            return Done(step, "done", f"version {version}")
        return await self._switch(step, version)

    async def _write(self, step: Step) -> Answer:
        query = f"?note={quote(self._note)}"
        if step.expected == 0:
            return await self._service.call("POST", f"{_root(step.kind)}{query}", step.document)
        return await self._service.call("PUT", f"{_root(step.kind)}/{step.id}{query}", step.document, step.expected)

    async def _switch(self, step: Step, version: int) -> Done:
        order: dict[str, Any] = {"note": self._note}
        if step.switch == "activate":
            ramp = self._ramp_percent if self._ramp_percent is not None else step.ramp_percent
            order |= {"version": version}
            order |= {"ramp_percent": 100 if ramp is None else ramp} if step.kind == RULE else {}
            order |= {} if self._reach is None else {"reach_percent": self._reach}
        answer = await self._service.call("POST", f"{_root(step.kind)}/{step.id}/{step.switch}", order)
        if answer.status == 200:
            return Done(step, "done", f"version {answer.body['version']} is {answer.body['status']}")
        if step.switch == "activate" and answer.status == 409 and "/version" in answer.pointers():
            return await self._ask(step, version, answer)
        return Done(step, "refused", f"version {version} is there, and is not made to count: {answer.told()}")

    async def _ask(self, step: Step, version: int, refusal: Answer) -> Done:
        """Submits it for approval, but not against a rejection: that takes another version, or a person."""
        judged = await self._service.call("GET", f"{_root(step.kind)}/{step.id}/versions/{version}")
        if judged.status == 200 and judged.body["review"] == "rejected":
            return Done(step, "refused", f"version {version} was rejected; change the file, or submit it by hand")
        asked = await self._service.call(
            "POST", f"{_root(step.kind)}/{step.id}/submit", {"version": version, "note": self._note}
        )
        if asked.status != 200:
            return Done(step, "refused", f"version {version} cannot be submitted: {asked.told()}")
        return Done(step, "waiting", f"version {version} is in review; {refusal.told()}")
