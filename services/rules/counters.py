"""How often did each rule fire, and what stopped it when it did not? Metrics with a bounded number of labels."""

from __future__ import annotations

from libs.common.metrics import Metrics

RULES_MAX = 1_000
OTHER = "other"


class RuleCounters:
    """Rules beyond the first thousand that have something to count share one label."""

    def __init__(self, metrics: Metrics) -> None:
        self._counter = metrics.counter(
            "rule_outcomes_total",
            "Chances to fire by what became of them: fired, who, limits, late, paused and the like.",
            ["rule", "outcome"],
        )
        self._known: set[str] = set()

    def count(self, rule_id: str, outcome: str, count: int) -> None:
        if rule_id not in self._known:
            if len(self._known) >= RULES_MAX:
                rule_id = OTHER
            else:
                self._known.add(rule_id)
        self._counter.labels(rule_id, outcome).inc(count)
