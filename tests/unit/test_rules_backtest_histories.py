"""Does a backtest over days of a whole shop fire what a brute-force count over the same days fires?"""

from __future__ import annotations

import pytest

from tests import histories
from tests.backtest_log import Document, Log, question, simulated


@pytest.fixture(scope="module")
def days() -> list[Document]:
    return histories.town(20, 7200, size=24)


RULES = histories.rules("purchase", "product_view", 20_000)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["when"]["type"])
def test_days_of_the_demo_backtested_are_what_brute_force_counts(days: list[Document], rule: Document) -> None:
    log = Log(units=2)
    for some, said in histories.steps(days, 1):
        for event in some:
            log.put(event["time"], histories.resolved(event))
        log.marks(said)
    made = simulated(question(rule), log.entries, units=2)
    found = {(rule["id"], each.customer_id, each.event_id) for each in made.examples()}
    assert found == histories.by_brute_force([rule], days, 1)
    assert len(found) > 5, "a kind that hardly fires proves little"
