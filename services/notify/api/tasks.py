"""Whom shall the call center call next, and what came of it?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from msgspec.structs import asdict, replace
from pydantic import AwareDatetime, BaseModel, Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.clock import derived_id
from libs.common.db import Database
from libs.common.errors import Conflict, NotFound
from libs.common.events import ResponseReceived
from libs.common.web import PAGE_SIZE_DEFAULT, Cursor, Document, Limit, Page, decode_cursor, page_of
from services.notify.store import responses, tasks
from services.notify.store.tasks import Task

Outcome = Literal[
    "reached", "no_answer", "busy", "wrong_number", "call_back", "interested", "refused", "bought", "do_not_call"
]


class TaskView(BaseModel):
    task_id: str
    message_id: str
    campaign_id: str
    customer_id: str
    state: Literal["open", "done"]
    phone: str
    script: str
    created_at: datetime
    due: datetime
    outcome: str
    note: str
    call_back_at: datetime | None
    done_by: str
    done_at: datetime | None


class OutcomeBody(Document):
    """`note` stays with the task; only the outcome and `call_back_at` become an event."""

    outcome: Outcome
    note: str = Field("", max_length=2_000)
    call_back_at: AwareDatetime | None = None


def router(database: Database) -> APIRouter:
    made = APIRouter(prefix="/v1/tasks", tags=["tasks"])

    @made.get("", dependencies=[Depends(requires("agent", "viewer"))])
    async def queue(
        state: Literal["open", "done"] = "open", limit: Limit = PAGE_SIZE_DEFAULT, cursor: Cursor = None
    ) -> Page[TaskView]:
        place = decode_cursor(cursor, tuple[datetime, str])
        async with database.connection() as connection:
            read = tasks.open_page if state == "open" else tasks.done_page
            found = await read(connection, place, limit + 1)
        kept, following = page_of(
            found, limit, lambda task: (task.due if state == "open" else task.created_at, task.task_id)
        )
        return Page(items=[_view(task) for task in kept], next=following)

    @made.post("/{task_id}/outcome")
    async def outcome(
        task_id: str, body: OutcomeBody, principal: Annotated[Principal, Depends(requires("agent"))]
    ) -> TaskView:
        async with database.transaction() as tx:
            task = await tasks.lock(tx, task_id)
            if task is None:
                raise NotFound(f"There is no task {task_id[:100]!r}.")
            done = _done(task, body, principal.subject, clock.now())
            if done is not task:
                await tasks.finish(tx, done)
                assert done.done_at is not None
                fresh = await responses.note(tx, [(done.unit, _response(done, done.done_at))])
                await responses.tell(tx, done.done_at, fresh)
        return _view(done)

    return made


def _done(task: Task, body: OutcomeBody, subject: str, now: datetime) -> Task:
    """The task itself when the same outcome is reported again; Conflict when it is another one."""
    if task.state == "done":
        if (task.outcome, task.note, task.call_back_at) == (body.outcome, body.note, body.call_back_at):
            return task
        raise Conflict(f"The task is done already, with the outcome {task.outcome!r}.")
    return replace(
        task,
        state="done",
        outcome=body.outcome,
        note=body.note,
        call_back_at=body.call_back_at,
        done_by=subject,
        done_at=now,
    )


def _response(task: Task, at: datetime) -> ResponseReceived:
    data: dict[str, str] = {"outcome": task.outcome}
    if task.call_back_at is not None:
        data["call_back_at"] = task.call_back_at.isoformat()
    return ResponseReceived(
        id=str(derived_id("response", task.message_id, "task.done", "")),
        type="task.done",
        message_id=task.message_id,
        decision_id=task.decision_id,
        campaign_id=task.campaign_id,
        customer_id=task.customer_id,
        person_id=task.person_id,
        channel="call",
        time=at,
        data=data,
    )


def _view(task: Task) -> TaskView:
    return TaskView.model_validate(asdict(task))
