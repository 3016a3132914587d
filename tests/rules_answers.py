"""Is an answer that the rules page shows one that would be given? One check for each kind of fence that is no story."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.demo import funnel
from deploy.rules.files import RuleFile
from deploy.rules.planning import MARK, Known, Order, plan
from libs.common.documents import limits, reviewing
from libs.common.documents.guard_routes import LimitView
from libs.common.documents.limits import Guards
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.documents.shapes import DocumentVersion
from libs.common.errors import Conflict, Invalid
from services.rules.backtest.gates import GateCount, Gates
from services.rules.backtest.shapes import Report
from services.rules.document import checking, segments
from services.rules.explaining import progress
from services.rules.explaining.progress import Known as KnownOfCustomer
from tests.rules_player import Stage
from tests.rules_story import ZONE, Cast, Document, read

MAKEFILE = Path(__file__).parents[1] / "Makefile"
NOW = datetime(2026, 11, 18, 3, tzinfo=UTC)
VISITS: Document = {
    "id": "three-visits",
    "name": "Three visits in a week",
    "when": {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}}, "reaches": 3},
    "emit": {"trigger": "call.adviser", "include": {"visits": "measure.value"}},
}
LEFT = {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "2 fortnights"}
TV = {"field": "event.category", "op": "is", "value": "tv"}
_GIVEN = [{"type": "visit", "time": f"2026-03-0{day}T10:00:00+09:00"} for day in range(2, 6)]


def faults(shown: str) -> None:
    wrong = {"id": "left", "name": "x", "when": LEFT, "limits": {"repaet": "once"}, "emit": {"trigger": "a.b"}}
    _same_errors(wrong, json.loads(shown)["errors"])


def failed_test(shown: str) -> None:
    test = {"name": "the third visit fires", "given": _GIVEN, "expect": [{"event": "2"}]}
    _same_errors({**VISITS, "tests": [test]}, [json.loads(shown)])


def _same_errors(document: Document, shown: list[Document]) -> None:
    with pytest.raises(Invalid) as refused:
        checking.read(document, ZONE)
    assert [{"pointer": f"#{each.pointer}", "detail": each.detail} for each in refused.value.errors] == shown


def warnings(shown: str) -> None:
    when = {"type": "event", "event": "purchase", "where": [TV, {**TV, "op": "is_not"}]}
    checked = checking.read({"id": "never", "name": "x", "when": when, "emit": {"trigger": "a.b"}}, ZONE)
    found = [{"pointer": f"#{each.pointer}", "detail": each.detail} for each in checking.warnings(checked.rule, NOW)]
    assert json.loads(shown) == {"valid": True, "errors": [], "warnings": found}


def approval(shown: str) -> None:
    version = DocumentVersion("rule", "gold-big-basket", 3, "draft", 100, b"{}", "anna", "", NOW)
    asked: Any = reviewing.require_agreement(None, version, ApprovalPolicy(10), ramp_percent=100, estimate=12)  # type: ignore[arg-type]
    with pytest.raises(Conflict) as raised:
        asyncio.run(asked)
    refused = raised.value
    told = [{"pointer": f"#{each.pointer}", "detail": each.detail} for each in refused.errors]
    assert json.loads(shown) == {"status": refused.status, "detail": str(refused), "errors": told}


def guard(shown: str) -> None:
    company = Guards(0.5, 0.1, 5, 50, 100, 7)
    told = json.loads(shown)
    found = limits.standings(company, frozenset(), {"contacts": told["of"], "unsubscribed": told["count"]})
    [over] = [each for each in found if each.name == told["name"]]
    assert told == LimitView.model_validate(over, from_attributes=True).model_dump()


def tested(shown: str) -> None:
    assert checking.read(json.loads(shown), ZONE).rule.tests


def report(shown: str) -> None:
    """Names and shapes; the figures are of nobody in particular."""
    given = json.loads(re.sub(r",\s*…", "", shown))
    for field in msgspec.structs.fields(Report):
        if field.name in given:
            msgspec.convert(given.pop(field.name), field.type)
    assert not given


def why(shown: str) -> None:
    stage, cast = Stage([VISITS]), Cast()
    story = read("Mon 2026-11-16 12:00  mina: visit\nTue 2026-11-17 12:00  mina: visit")
    for number, line in enumerate(story.lines, 1):
        for event in cast.events(line, number):
            stage.event(str(number), event)
    rule = checking.read(VISITS, ZONE).rule
    found = progress.explain(stage.snapshot, rule, [stage.load("mina")], KnownOfCustomer(), NOW)
    _holds(json.loads(shown), msgspec.to_builtins(found))


def _holds(shown: Any, found: Any) -> None:
    """What is shown is a part of what is found."""
    if isinstance(shown, dict):
        for name, each in shown.items():
            _holds(each, found[name])
    elif isinstance(shown, list):
        for each, other in zip(shown, found, strict=True):
            _holds(each, other)
    else:
        assert shown == found


def command(shown: str) -> None:
    """The Makefile knows the target, and the variables."""
    makefile = MAKEFILE.read_text("utf-8")
    for line in shown.splitlines():
        target, *variables = re.findall(r"(?:make )([\w-]+)|(\b[A-Z]+)=", line.partition("#")[0])
        recipe = re.search(rf"^{target[0]}:.*\n(?:\t.*\n)+", makefile, re.MULTILINE)
        assert recipe is not None
        assert all(f"$({name})" in recipe[0] or f"({name})" in recipe[0] for _, name in variables)


def files(shown: str) -> None:
    at = "2026-03-02T09:00:00Z"
    ordered = Order(2, "paused", "anna", "too many calls", at)
    left = {**VISITS, "id": "basket-left"}
    known = {
        "basket-left": Known(2, "paused", "ci", MARK, at, left, 2, "paused", 100, ordered),
        "three-visits": Known(2, "active", "ci", MARK, at, {**VISITS, "name": "Old"}, 2, "active"),
    }
    wanted = [RuleFile(f"{each['id']}.json", each["id"], each, "active") for each in (left, VISITS)]
    refused, changed = plan(wanted, known)
    assert shown.splitlines() == [
        f"basket-left: {refused.title()}: {refused.refusal}",
        f"three-visits: {changed.title()}: done: version 3 is active",
        "rules: 1 done, 1 refused",
    ]


def segment(text: str) -> None:
    segments.read(json.loads(text))


def gates(shown: str) -> None:
    counts = [
        ("consent", 412, 60, 0, {"never asked": 60}),
        ("policy", 352, 0, 15, {}),
        ("holdout", 352, 33, 0, {"left alone to compare with": 33}),
        ("cap", 319, 120, 0, {"the cap of the campaign is used up": 120}),
    ]
    ends = {"contact": 199, "denied": 180, "holdout": 33}
    through = [GateCount(*each) for each in counts]
    found = Gates("letter", 2, 0, "sms", 412, 187, ends, 15, 0, "99.5", through, [], [])
    assert shown.splitlines() == list(funnel.told(msgspec.to_builtins(found)))


ANSWERS: dict[str, Callable[[str], None]] = {
    "json segment": segment,
    "json faults": faults,
    "json warnings": warnings,
    "json approval": approval,
    "json guard": guard,
    "json tested": tested,
    "json test-fault": failed_test,
    "json report": report,
    "json why": why,
    "text funnel": gates,
    "make": command,
    "files": files,
}
