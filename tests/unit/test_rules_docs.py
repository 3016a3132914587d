"""Is what the rules page shows true? Every fence on it is run, and one that nobody can run fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import rules_player, rules_story
from tests.rules_answers import ANSWERS
from tests.rules_story import Document, NotUnderstood

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rules.md"
PLAYED = re.compile(r"\s*<!-- Played by (tests/\S+\.py) -->$")
ORACLE_MIN = 20


class Fence(NamedTuple):
    line: int
    info: str
    text: str


class Example(NamedTuple):
    """A story with the rules above it."""

    line: int
    rules: list[Document]
    story: rules_story.Story


def fences(page: str) -> Iterator[Fence]:
    found: Fence | None = None
    for number, line in enumerate(page.splitlines(), 1):
        if found is None and line.startswith("```"):
            found = Fence(number, line.removeprefix("```").strip(), "")
        elif found is not None and line.strip() == "```":
            yield found
            found = None
        elif found is not None:
            found = found._replace(text=f"{found.text}{line}\n")
    if found is not None:
        yield found._replace(info="nothing: it has no end")


class Read(NamedTuple):
    """What a page comes to: its examples, and of each fence that nobody runs its line and why."""

    examples: list[Example]
    faults: list[str]


def read(page: str) -> Read:
    found = Read([], [])
    rules: list[Document] = []
    untold = 0
    for fence in fences(page):
        if fence.info == "json":
            _require_story(untold, found)
            rules, untold = [], fence.line
        try:
            if fence.info == "json":
                rules = _rules(fence)
            elif fence.info == "story":
                untold = 0
                found.examples.append(_example(fence, rules))
            elif fence.info not in ANSWERS:
                raise NotUnderstood(f"nobody runs a fence of {fence.info!r}")
        except NotUnderstood as error:
            found.faults.append(f"line {fence.line}: {error}")
    _require_story(untold, found)
    return found


def _require_story(untold: int, found: Read) -> None:
    if untold:
        found.faults.append(f"line {untold}: no story follows this rule")


def _example(fence: Fence, rules: list[Document]) -> Example:
    if not rules:
        raise NotUnderstood("a story with no rule above it")
    return Example(fence.line, rules, rules_story.read(fence.text))


def _rules(fence: Fence) -> list[Document]:
    """One or several, each whole or the parts of it that matter; what has a `who` and no `when` is a segment."""
    try:
        given = json.loads(fence.text)
    except json.JSONDecodeError as error:
        raise NotUnderstood(str(error)) from error
    made = []
    for number, each in enumerate(given if isinstance(given, list) else [given], 1):
        if isinstance(each, dict) and "who" in each and "id" in each and "when" not in each:
            made.append({"name": "x", **each})
            continue
        if not isinstance(each, dict) or "when" not in each:
            raise NotUnderstood("no rule; what shows an answer says which, as in ```json faults")
        made.append({"id": f"rule-{number}", "name": "x", "emit": {"trigger": "offer.x"}, **each})
    return made


def unrun(page: str) -> list[int]:
    """The lines of worked examples behind which no fence comes before the next one or the end of the section, nor a
    comment that names the test in which servers play it.
    """
    found, waiting, inside = [], 0, False
    for number, line in enumerate([*page.splitlines(), "# end"], 1):
        played = PLAYED.match(line)
        if line.startswith("```"):
            inside, waiting = not inside, 0
        elif played is not None and (ROOT / played[1]).is_file():
            waiting = 0
        elif not inside and (line.startswith("#") or "*Example.*" in line):
            found += [waiting] if waiting else []
            waiting = number if "*Example.*" in line else 0
    return found


EXAMPLES, FAULTS = read(PAGE.read_text("utf-8"))
SHOWN = [each for each in fences(PAGE.read_text("utf-8")) if each.info in ANSWERS]
KNOWN = [each for each in EXAMPLES if rules_player.plays_with_oracle(each.story, each.rules)]
NAMES = [f"line {each.line}" for each in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_a_story_of_the_page_comes_out_as_it_is_told(example: Example) -> None:
    fired = rules_player.play(example.story, example.rules)
    wanted = rules_story.expected(example.story, [each for each in example.rules if "when" in each])
    assert [each[:3] for each in fired] == [each[:3] for each in wanted]
    for (*_, include), (*_, shown) in zip(fired, wanted, strict=True):
        assert {name: include.get(name) for name in shown} == shown


@pytest.mark.parametrize("example", KNOWN, ids=[f"line {each.line}" for each in KNOWN])
def test_the_oracle_tells_the_same_story(example: Example) -> None:
    oracle, engine = rules_player.oracle_and_engine(example.story, example.rules)
    assert engine == oracle


def test_the_oracle_knows_the_words_of_most_stories() -> None:
    assert len(KNOWN) >= ORACLE_MIN


@pytest.mark.parametrize("fence", SHOWN, ids=[f"line {each.line}, {each.info}" for each in SHOWN])
def test_an_answer_that_the_page_shows_is_the_one_that_is_given(fence: Fence) -> None:
    ANSWERS[fence.info](fence.text)


def test_every_fence_of_the_page_is_run() -> None:
    assert FAULTS == []


def test_no_worked_example_is_words_alone() -> None:
    assert unrun(PAGE.read_text("utf-8")) == []


RULE = '```json\n{"when": {"type": "event", "event": "visit"}}\n```\n'
TALE = "```story\n2026-03-02 10:00  visit => fires\n```\n"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (RULE, "no story follows"),
        (RULE + RULE + TALE, "no story follows"),
        (TALE, "no rule above"),
        (RULE + TALE.removesuffix("```\n"), "it has no end"),
        ('```json\n{"valid": false}\n```\n', "no rule; what shows an answer"),
        (RULE + "```yaml\nwhen: visit\n```\n", "nobody runs a fence of 'yaml'"),
        (RULE + TALE.replace("visit =>", "visit visit =>"), "visit"),
        (RULE + TALE.replace("10:00", "soon"), "there is no time"),
        (RULE + TALE.replace("2026", "Tue 2026"), "that is no Tue"),
        (RULE + TALE.replace("fires", "may fire"), "after =>"),
        (RULE + TALE.replace("visit =>", 'visit {"a": } =>'), "Expecting value"),
        (RULE + TALE.replace("visit", "visit told"), "there is no time"),
    ],
)
def test_an_example_that_cannot_be_run_fails(page: str, why: str) -> None:
    assert [why for fault in read(page).faults if why in fault] == [why]


@pytest.mark.parametrize("lie", [TALE.replace(" => fires", ""), TALE.replace("fires", "fires, fires"), TALE.replace(
    "fires", 'fires {"amount": 3}'
)])  # fmt: skip
def test_a_story_that_is_not_true_fails(lie: str) -> None:
    check: Callable[..., Any] = test_a_story_of_the_page_comes_out_as_it_is_told
    [true], [false] = read(RULE + TALE).examples, read(RULE + lie).examples
    check(true)
    with pytest.raises(AssertionError):
        check(false)


def test_an_example_in_words_alone_is_found() -> None:
    assert unrun(f"# a\n*Example.* Nothing.\n\n*Example.* Something.\n{RULE}{TALE}# b\n*Example.* Nothing.\n") == [
        2,
        12,
    ]
