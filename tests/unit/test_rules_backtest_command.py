"""Does `make backtest` ask what was meant, and tell the answer so that one can read it?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.backtest import main, progress_of, question_of, told
from deploy.local.failure import StackFailure

OPTIONS = argparse.Namespace(no_overlap=False, in_force_before=True, ignore_valid=False)
ANSWER: dict[str, Any] = {
    "rule_id": "gold",
    "version": 3,
    "from": "2026-10-01T00:00:00Z",
    "to": "2026-11-01T00:00:00Z",
    "state": "finished",
    "error": "",
    "report": {
        "fires": 30,
        "customers": 20,
        "per_day": [{"day": "2026-10-01", "fires": 10}, {"day": "2026-10-02", "fires": 0}],
        "repeats": [{"times": 1, "customers": 15}],
        "outcomes": {"fired": 30, "who": 5},
        "overlap": [{"rule_id": "other", "version": 1, "customers": 5, "share": 0.25, "fires": 6}],
        "events_read": 1_000,
        "seconds": 2.0,
        "events_per_second": 500.0,
        "warnings": ["the log begins late"],
    },
    "examples": [
        {"occurred_at": "2026-10-01T10:00:00Z", "customer_id": "c1", "event_id": "e1", "values": {"event.amount": 7}}
    ],
}


def test_a_day_is_meant_to_its_end_and_a_rule_by_id_version_or_file(tmp_path: Path) -> None:
    asked = question_of("gold@3", "2026-10-01", "2026-10-31", OPTIONS)
    assert (asked["rule_id"], asked["version"], asked["overlap"], asked["in_force_before"]) == ("gold", 3, True, True)
    assert asked["from"].startswith("2026-10-01T00:00:00") and asked["to"].startswith("2026-11-01T00:00:00")
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({"id": "x"}))
    asked = question_of(str(file), "2026-10-01T09:00:00+09:00", "", OPTIONS)
    assert (asked["rule"], asked["from"], "to" in asked) == ({"id": "x"}, "2026-10-01T09:00:00+09:00", False)
    assert "from" in question_of("gold", "", "", OPTIONS)


@pytest.mark.parametrize(
    ("rule", "since", "said"),
    [("gold@x", "", "is no version"), ("gold", "soon", "neither a day"), ("./no.json", "", "cannot read")],
)
def test_what_cannot_be_meant_is_said(rule: str, since: str, said: str) -> None:
    with pytest.raises(StackFailure, match=said):
        question_of(rule, since, "", OPTIONS)


def test_no_rule_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([""]) == 2
    assert "make backtest RULE=" in capsys.readouterr().err


def test_the_answer_is_told_in_lines() -> None:
    lines = list(told(ANSWER))
    assert "30 triggers for 20 customers" in lines[1]
    whole = "\n".join(lines)
    for part in ("gold version 3", "2026-10-01         10  ####", "1x 15", "who 5", "other version 1", "25%", "500/s"):
        assert part in whole, part
    assert "event.amount 7" in whole and "note: the log begins late" in whole
    assert "2026-10-02" not in whole, "days without any are left out"


def test_progress_says_how_far_it_is() -> None:
    progress = {"messages_read": 50, "messages_total": 200, "reached": "2026-10-01T10:20:30Z"}
    shown = progress_of({"state": "running", "progress": progress})
    assert shown.split() == ["25%", "50", "of", "200", "messages,", "at", "2026-10-01", "10:20"]
    assert progress_of({"state": "queued", "progress": progress}) == "waits for its turn"


def test_a_failure_is_told_with_its_reason_and_without_a_report() -> None:
    lines = list(told({**ANSWER, "state": "failed", "error": "too much", "report": None}))
    assert lines[0].endswith("failed") and lines[1:] == ["  too much"]
