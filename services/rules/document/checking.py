"""May this document be kept as a rule, and what will its author most likely wonder about? Pure but for the time it
takes to run the rule's own tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from libs.common.errors import Fault, Invalid
from services.rules.document import cautions, rule_tests, segments, validation
from services.rules.document.language import Rule
from services.rules.engine.snapshot import Source

CONDITIONS_TOTAL_MAX = 1_000
Written = Mapping[str, bytes]
"""The documents of segments by their ids."""
SERVER_SET = ("version", "status")


class Checked(NamedTuple):
    """A rule that may be kept, and the JSON that is kept of it."""

    rule: Rule
    body: bytes


def read(document: Any, company_zone: str, written: Written | None = None) -> Checked:
    """Invalid with every fault; the tests are run once nothing else is wrong.

    `written` are the segments that there are; without it nobody knows, and tests of rules that name any are not run.
    """
    checked = shaped(document, written)
    require_tested(checked.rule, checked.body, company_zone, written)
    return checked


def shaped(document: Any, written: Written | None = None) -> Checked:
    """The same, but for what its tests say."""
    require_bounded(document)
    rule = validation.read(document)
    if written is not None:
        segments.require_references(rule, definitions(written))
    # What the server sets is accepted, so that a document can be sent back as it was read, and not believed.
    kept = {name: each for name, each in document.items() if name not in SERVER_SET}
    return Checked(rule, msgspec.json.encode(kept))


def require_tested(rule: Rule, body: bytes, company_zone: str, written: Written | None = None) -> None:
    rests_on = within(rule, written or {})
    if rests_on is None:
        return
    if found := rule_tests.faults(rule, body, company_zone, rests_on):
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise Invalid(f"{found[0].pointer}: {found[0].detail}{more}", found)


def definitions(written: Written) -> segments.Definitions:
    return {id: segments.decode(body) for id, body in written.items()}


def within(rule: Rule, written: Written) -> list[Source] | None:
    """The segments that a rule rests on, ready to be compiled with it; None where one of them is not known."""
    needed = segments.needed_by(rule, definitions(written)) if segments.named_by(rule) else set()
    return [Source(written[id], 1) for id in sorted(needed)] if needed <= written.keys() else None


def warnings(rule: Rule, now: datetime) -> list[Fault]:
    return cautions.cautions(rule, now)


def require_bounded(document: Any) -> None:
    """Before anything looks at each of them: a condition of a rule is a handful, and 10,000 are an attack or a slip."""
    count = _conditions_in(document)
    if count > CONDITIONS_TOTAL_MAX:
        detail = f"has {count} conditions in all, at most {CONDITIONS_TOTAL_MAX} are allowed; for many values use in"
        raise Invalid(detail, [Fault("", detail)])


def _conditions_in(document: Any) -> int:
    """Objects that name an operator or a segment, wherever they stand but in data of tests."""
    count, waiting = 0, [document]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            count += isinstance(each.get("op"), str) or isinstance(each.get("in_segment"), str)
            waiting.extend(inner for name, inner in each.items() if name != "tests")
        elif isinstance(each, list):
            waiting.extend(each)
    return count
