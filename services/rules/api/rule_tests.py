"""What do the tests of a rule come to, and what fired in them? Run on request, keeping nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from libs.common import documents
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents.routes import VERSION_MAX
from libs.common.documents.views import FaultView
from libs.common.events import RuleTriggered
from libs.common.web import Document
from services.rules.document import checking, rule_tests
from services.rules.document.rule_tests import Result
from services.rules.membership import store as membership

_KIND = "rule"
_TESTS = requires("viewer", "marketer", "approver")


class TestOrder(Document):
    """`document` is a rule that is not kept yet; without it `version` counts, or else the latest."""

    __test__ = False

    version: int | None = Field(None, ge=1, le=VERSION_MAX)
    document: dict[str, Any] | None = None


class Fired(BaseModel):
    """A trigger that came; `event` is the id of the event behind it."""

    customer: str
    at: datetime
    event: str
    include: dict[str, Any]


class TestView(BaseModel):
    """`fired` are all triggers that came; `error` says what was expected and did not come, or came as well."""

    __test__ = False

    name: str
    passed: bool
    fired: list[Fired]
    error: FaultView | None = None


class TestsView(BaseModel):
    __test__ = False

    passed: bool
    items: list[TestView]


def make_router(database: Database, company_zone: str, alone: Executor) -> APIRouter:
    """`alone` is where tests are run, one rule's after the other's."""
    router = APIRouter(tags=["rules"])

    @router.post("/rules/{id}/test", dependencies=[Depends(_TESTS)])
    async def test_rule(id: str, order: TestOrder | None = None) -> TestsView:
        """Runs the tests that are stored with a rule, and says what fired in each, up to one that costs too much."""
        wanted = order or TestOrder(version=None, document=None)
        if wanted.document is not None:
            body = wanted.document | {"id": id}
        else:
            async with database.connection() as connection:
                body = (await documents.get(connection, _KIND, id, wanted.version or "latest")).content
        written = await segments_for(database, body)
        return await asyncio.get_running_loop().run_in_executor(alone, tried, body, company_zone, written)

    return router


async def segments_for(database: Database, document: Any) -> dict[str, bytes]:
    """The segments that a rule may name; none are asked for where it names none, as most do not."""
    if b"segment" not in msgspec.json.encode(document):
        return {}
    async with database.connection() as connection:
        return await membership.written(connection, in_force=False)


def tried(document: Any, company_zone: str, written: checking.Written) -> TestsView:
    """Invalid where it is no rule; tests that fail are what is asked for."""
    rule, body = checking.shaped(document, written)
    rests_on = checking.within(rule, written) or []
    views = [_view(each) for each in rule_tests.results(rule, body, company_zone, segments=rests_on)]
    return TestsView(passed=all(each.passed for each in views), items=views)


def _view(result: Result) -> TestView:
    fault = result.fault
    error = None if fault is None else FaultView(pointer=f"#{fault.pointer}", detail=fault.detail)
    return TestView(name=result.name, passed=fault is None, fired=[_fired(each) for each in result.fired], error=error)


def _fired(trigger: RuleTriggered) -> Fired:
    include = msgspec.to_builtins(trigger.include)
    return Fired(customer=trigger.customer_id, at=trigger.occurred_at, event=trigger.event_id, include=include)
