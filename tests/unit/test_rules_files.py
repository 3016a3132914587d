"""Are files of rules checked without a server, and does a plan do what they say and nothing behind anybody's back?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.rules import __main__ as command
from deploy.rules import settings
from deploy.rules.files import SEGMENT, RuleFile
from deploy.rules.planning import MARK, Known, Order, Step, plan

Document = dict[str, Any]
VISITS: Document = {
    "id": "three-visits",
    "name": "Three visits in a week",
    "when": {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}}, "reaches": 3},
    "emit": {"trigger": "call.adviser"},
}
VISIT = {"type": "visit", "time": "2026-03-02T10:00:00+09:00"}
OURS = Known(2, "active", "ci", f"{MARK}: a", "2026-03-01T00:00:00Z", VISITS, 2, "active", 30)
EDITED = {**VISITS, "name": "Another name"}
BY_HAND = Order(2, "paused", "dan", "too many calls", "2026-03-02T00:00:00Z")


def checked(folder: Path, capsys: pytest.CaptureFixture[str], **documents: Any) -> tuple[int, list[str]]:
    for name, document in documents.items():
        text = document if isinstance(document, str) else json.dumps(document)
        (folder / f"{name.replace('_', '-')}.json").write_text(text)
    code = command.main(["check", str(folder)])
    return code, capsys.readouterr().out.splitlines()


def test_files_in_order_are_counted_with_their_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tested = {**VISITS, "tests": [{"name": "one is not enough", "given": [VISIT], "expect": []}]}
    assert checked(tmp_path, capsys, three_visits=tested) == (0, ["rules: 1 files, 0 with errors, 1 tests hold"])


def test_every_fault_is_told_with_its_file_and_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = {**VISITS, "id": "failing", "tests": [{"name": "t", "given": [VISIT], "expect": [{}]}]}
    never = {**VISITS, "id": "past", "valid": {"until": "2020-01-01T00:00:00Z"}}
    twice = json.dumps(VISITS).replace('"name"', '"id": "other", "name"')
    code, lines = checked(
        tmp_path,
        capsys,
        failing=failing,
        no_json="{",
        other_name=VISITS,
        past=never,
        shape={**VISITS, "emit": {}},
        twice=twice,
    )
    assert code == 1
    assert [line.split(": ")[:3] for line in lines[:-1]] == [
        ["failing.json", "error", "/tests/0/expect"],
        ["no-json.json", "error", "the document"],
        ["other-name.json", "error", "/id"],
        ["past.json", "warning", "/valid/until"],
        ["shape.json", "error", "/emit/trigger"],
        ["twice.json", "error", "/id"],
    ]
    assert lines[-1] == "rules: 6 files, 5 with errors, 0 tests hold"


REGULARS: Document = {
    "id": "regulars",
    "name": "Visited twice in a week",
    "who": [{"measure": VISITS["when"]["measure"], "op": "at_least", "value": 2}],
}
BETTER: Document = {"id": "better", "name": "x", "who": [{"in_segment": "regulars"}]}
COMES_IN: Document = {
    "id": "comes-in",
    "name": "x",
    "when": {"type": "segment", "segment": "better", "moves": "in"},
    "emit": {"trigger": "a.b"},
    "tests": [
        {"name": "the second visit", "given": [VISIT, {**VISIT, "id": "v2"}], "expect": [{"event": "v2"}]},
        {"name": "one is not enough", "given": [VISIT], "expect": []},
    ],
}


def with_segments(folder: Path, *written: Document) -> None:
    (folder / "segments").mkdir(exist_ok=True)
    for each in written:
        (folder / "segments" / f"{each['id']}.json").write_text(json.dumps(each))


def test_tests_of_rules_that_name_a_segment_run_with_the_segments_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_segments(tmp_path, BETTER, REGULARS)
    assert checked(tmp_path, capsys, comes_in=COMES_IN) == (0, ["rules: 3 files, 0 with errors, 2 tests hold"])
    with_segments(tmp_path, {**REGULARS, "who": [{**REGULARS["who"][0], "value": 3}]})
    code, lines = checked(tmp_path, capsys)
    assert code == 1 and lines[0].startswith("comes-in.json: error: /tests/0/expect: the second visit: nothing fired")


def test_segments_have_faults_and_cautions_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf: Document = {"field": "profile.a", "op": "is", "value": "x"}
    nobody: Document = {"id": "never", "name": "x", "who": [leaf, {**leaf, "op": "is_not"}]}
    circle = {**REGULARS, "who": [{"not": {"in_segment": "better"}}]}
    with_segments(tmp_path, circle, BETTER, nobody, {**BETTER, "id": "wrong", "who": []})
    code, lines = checked(tmp_path, capsys)
    assert code == 1
    assert [line.split(": ")[:3] for line in lines[:-1]] == [
        ["segments/better.json", "error", "/who/0/in_segment"],
        ["segments/never.json", "warning", "/who"],
        ["segments/regulars.json", "error", "/who/0/not/in_segment"],
        ["segments/wrong.json", "error", "/who"],
    ]


def test_a_segment_that_has_no_file_is_told_of_and_the_tests_are_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_segments(tmp_path, BETTER)
    code, lines = checked(tmp_path, capsys, comes_in={**COMES_IN, "who": [{"in_segment": "vip"}]})
    assert (code, lines) == (
        0,
        [
            "segments/better.json: warning: /who/0/in_segment: regulars is no segment of these files",
            "comes-in.json: warning: /who/0/in_segment: vip is no segment of these files, so that the tests of the"
            " rule are not run here",
            "rules: 2 files, 0 with errors, 0 tests hold",
        ],
    )


def test_a_segment_is_there_before_whatever_names_it_and_goes_after_that() -> None:
    written = [
        RuleFile("a", "comes-in", COMES_IN, names=("better",)),
        RuleFile("b", "better", BETTER, kind=SEGMENT, names=("regulars",)),
        RuleFile("c", "regulars", REGULARS, kind=SEGMENT),
    ]
    steps = [(step.told, step.title()) for step in plan(written, {})]
    made = "create and activate"
    assert steps == [("segment regulars", made), ("segment better", made), ("comes-in", made)]

    def ours(document: Document) -> Known:
        return Known(1, "active", "ci", MARK, "", document, 1, "active")

    known, segments = {"comes-in": ours(COMES_IN)}, {"better": ours(BETTER), "regulars": ours(REGULARS)}
    assert [(step.told, step.title()) for step in plan([], known, segments, prune=True)] == [
        ("comes-in", "retire"),
        ("segment better", "retire"),
        ("segment regulars", "retire"),
    ]
    assert plan(written, known, segments)[0].is_nothing, "a rule and a segment of one id are two things"
    left = plan(written[:1], known, {"comes-in": ours(BETTER)})
    assert [(step.told, step.title()) for step in left] == [("segment comes-in", "left"), ("comes-in", "as it is")]


def test_a_folder_without_rules_is_one_line_and_a_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(tmp_path)]) == 1
    assert "holds no rules" in capsys.readouterr().err
    assert command.main(["plan", str(tmp_path / "gone")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_the_service_is_named_by_the_environment_or_is_the_local_one() -> None:
    found = settings.target({"DANGOL_RULES_URL": "https://rules.example/", "DANGOL_TOKEN": "t"})
    assert found == settings.Target("https://rules.example", "t")
    assert settings.company_zone({}) == "Asia/Seoul"
    assert settings.company_zone({"DANGOL_COMPANY_ZONE": "Europe/Paris"}) == "Europe/Paris"


def planned(document: Document, known: Known | None, status: str = "active", **how: Any) -> Step:
    file = RuleFile("three-visits.json", "three-visits", document, status)
    [step] = plan([file], {} if known is None else {"three-visits": known}, **how)
    return step


@pytest.mark.parametrize(
    ("document", "known", "status", "title"),
    [
        (VISITS, None, "active", "create and activate"),
        (VISITS, None, "draft", "create"),
        (VISITS, None, "paused", "create"),
        (VISITS, None, "retired", "as it is"),
        (VISITS, OURS, "active", "as it is"),
        (VISITS, OURS, "draft", "as it is"),
        (VISITS, OURS, "paused", "pause"),
        (VISITS, OURS, "retired", "retire"),
        (EDITED, OURS, "active", "change and activate"),
        (EDITED, OURS, "paused", "change and pause"),
        (EDITED, OURS, "draft", "change"),
        (VISITS, Known(3, "draft", "ci", MARK, "", VISITS, 2, "active"), "active", "activate"),
    ],
)
def test_a_plan_is_what_the_files_ask_for(document: Document, known: Known | None, status: str, title: str) -> None:
    assert planned(document, known, status).title() == title


def test_a_change_says_what_differs_and_keeps_the_ramp() -> None:
    step = planned(EDITED, OURS)
    assert step.differences == [{"pointer": "/name", "was": "Three visits in a week", "now": "Another name"}]
    assert (step.expected, step.ramp_percent) == (2, 30)


def test_what_somebody_wrote_by_hand_is_not_overwritten_unasked() -> None:
    by_anna = Known(3, "draft", "anna", "", "2026-03-02T00:00:00Z", EDITED, 2, "active")
    step = planned(VISITS, by_anna)
    assert step.refusal.startswith("version 3 was written by anna at 2026-03-02T00:00:00Z, and not from files")
    assert planned(VISITS, by_anna, overwrite=True).title() == "change and activate"
    assert planned(EDITED, by_anna, "draft").title() == "as it is"


def test_what_somebody_paused_by_hand_is_not_resumed_unasked() -> None:
    paused = Known(2, "paused", "ci", MARK, "", VISITS, 2, "paused", 30, BY_HAND)
    step = planned(VISITS, paused)
    assert step.refusal.startswith('version 2 was made paused by dan at 2026-03-02T00:00:00Z: "too many calls"')
    assert planned(VISITS, paused, "paused").title() == "as it is"
    assert planned(VISITS, paused, overwrite=True).title() == "activate"
    from_files = Order(2, "paused", "ci", MARK, "")
    assert (
        planned(VISITS, Known(2, "paused", "ci", MARK, "", VISITS, 2, "paused", 30, from_files)).title() == "activate"
    )


def test_whoever_activated_by_hand_what_the_files_ask_for_stands_in_nobodys_way() -> None:
    after_approval = Order(2, "active", "anna", "approved", "")
    known = Known(2, "active", "ci", MARK, "", VISITS, 2, "active", 100, after_approval)
    assert planned(EDITED, known).title() == "change and activate"
    rolled_back = Known(2, "retired", "ci", MARK, "", VISITS, 1, "active", 100, Order(1, "active", "anna", "bad", ""))
    assert "version 1 was made active by anna" in planned(EDITED, rolled_back).refusal


def test_a_rule_whose_file_is_gone_is_retired_only_when_that_is_asked_for() -> None:
    other = RuleFile("other-rule.json", "other-rule", {**VISITS, "id": "other-rule"})
    not_from_files = Known(1, "active", "anna", "", "", VISITS, 1, "active")
    known = {"three-visits": OURS, "by-hand": not_from_files}
    assert [(step.id, step.title()) for step in plan([other], known)] == [
        ("other-rule", "create and activate"),
        ("three-visits", "left"),
    ]
    pruned = plan([other], known, prune=True)
    assert [(step.id, step.title()) for step in pruned] == [
        ("other-rule", "create and activate"),
        ("three-visits", "retire"),
    ]
    ended = Known(2, "retired", "ci", MARK, "", VISITS)
    assert [step.id for step in plan([other], {"three-visits": ended}, prune=True)] == ["other-rule"]
