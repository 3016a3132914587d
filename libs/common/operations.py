"""What can an operator see and do, in the same way in every service with a worker? Units, timers, dead letters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from libs.common import lease, timers
from libs.common.auth import Principal, requires
from libs.common.errors import NotFound
from libs.common.footing import Footing
from libs.common.worker import Worker

Viewer = Annotated[Principal, Depends(requires("viewer", "operator"))]
Operator = Annotated[Principal, Depends(requires("operator"))]


def make_router(footing: Footing) -> APIRouter:
    router = APIRouter(prefix="/v1/workers", tags=["operations"])

    def found(name: str) -> Worker:
        for worker in footing.workers:
            if worker.spec.name == name:
                return worker
        known = ", ".join(worker.spec.name for worker in footing.workers)
        raise NotFound(f"There is no worker {name!r} here; there are {known}.")

    @router.get("")
    async def list_workers(who: Viewer) -> dict[str, Any]:
        """What runs in this process: units held, unread messages, timers that wait, and what is wrong in words."""
        del who
        return {"items": [await _told(footing, worker) for worker in footing.workers], "next": None}

    @router.post("/{name}/redrive", status_code=202)
    async def redrive(name: str, who: Operator) -> dict[str, int]:
        """Handle again what this worker could not handle, once its cause has been mended; each letter is tried once."""
        del who
        worker = found(name)
        async with footing.database.connection() as connection:
            return {"units": await lease.ask_redrive(connection, worker.spec.name)}

    return router


async def _told(footing: Footing, worker: Worker) -> dict[str, Any]:
    async with footing.database.connection() as connection:
        waiting, first_due = await timers.overdue(connection, worker.spec.name)
    lag: dict[str, int] = {}
    for (topic, _), count in worker.lag().items():
        lag[topic] = lag.get(topic, 0) + count
    return {
        "name": worker.spec.name,
        "units": worker.units(),
        "unread": lag,
        "timers_waiting": waiting,
        "first_timer_due": first_due,
        "dead_letters": worker.spec.dead_letters,
        "problems": worker.problems(),
    }
