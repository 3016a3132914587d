"""May this document be kept as a rule, and what will its author most likely wonder about? Pure but for the time it
takes to run the rule's own tests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from libs.common.errors import Fault, Invalid
from services.rules.document import cautions, rule_tests, validation
from services.rules.document.language import Rule

CONDITIONS_TOTAL_MAX = 1_000
SERVER_SET = ("version", "status")


class Checked(NamedTuple):
    """A rule that may be kept, and the JSON that is kept of it."""

    rule: Rule
    body: bytes


def read(document: Any, company_zone: str) -> Checked:
    """Invalid with every fault; the tests are run once nothing else is wrong."""
    checked = shaped(document)
    require_tested(checked.rule, checked.body, company_zone)
    return checked


def shaped(document: Any) -> Checked:
    """The same, but for what its tests say."""
    _require_bounded(document)
    rule = validation.read(document)
    # What the server sets is accepted, so that a document can be sent back as it was read, and not believed.
    kept = {name: each for name, each in document.items() if name not in SERVER_SET}
    return Checked(rule, msgspec.json.encode(kept))


def require_tested(rule: Rule, body: bytes, company_zone: str) -> None:
    if found := rule_tests.faults(rule, body, company_zone):
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise Invalid(f"{found[0].pointer}: {found[0].detail}{more}", found)


def warnings(rule: Rule, now: datetime) -> list[Fault]:
    return cautions.cautions(rule, now)


def _require_bounded(document: Any) -> None:
    """Before anything looks at each of them: a condition of a rule is a handful, and 10,000 are an attack or a slip."""
    count = _conditions_in(document)
    if count > CONDITIONS_TOTAL_MAX:
        detail = f"has {count} conditions in all, at most {CONDITIONS_TOTAL_MAX} are allowed; for many values use in"
        raise Invalid(detail, [Fault("", detail)])


def _conditions_in(document: Any) -> int:
    """Objects that name an operator, wherever they stand but in data of tests."""
    count, waiting = 0, [document]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            count += isinstance(each.get("op"), str)
            waiting.extend(inner for name, inner in each.items() if name != "tests")
        elif isinstance(each, list):
            waiting.extend(each)
    return count
