"""Are the services' metrics read as they are written?"""

from __future__ import annotations

from deploy.demo.status import Counts, line, total

METRICS = """# HELP dangol_rules_rule_outcomes_total Chances to fire.
# TYPE dangol_rules_rule_outcomes_total counter
dangol_rules_rule_outcomes_total{outcome="fired",rule="a"} 81.0
dangol_rules_rule_outcomes_total{outcome="who",rule="a"} 305.0
dangol_rules_rule_outcomes_total{outcome="fired",rule="b"} 7.0
dangol_rules_rule_outcomes_created{outcome="fired",rule="b"} 1.7e+09
"""


def test_samples_of_a_metric_are_added_up_by_their_labels() -> None:
    assert total(METRICS, "dangol_rules_rule_outcomes_total", 'outcome="fired"') == 88
    assert total(METRICS, "dangol_rules_rule_outcomes_total") == 393


def test_a_metric_that_nobody_has_touched_yet_counts_nothing() -> None:
    assert total(METRICS, "dangol_campaign_decisions_total") == total("", "dangol_x") == 0


def test_the_line_tells_the_rate_since_the_line_before() -> None:
    told = line(Counts(1_300, 9, 8, 7, 0), Counts(1_100, 0, 0, 0, 0), 10.0)
    assert told == "demo shop: 1,300 events sent (20/s)   9 triggers   8 decisions   7 messages   lag 0"
