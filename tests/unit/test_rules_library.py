"""Does each trigger of the library catch its moment, by events and fields that there really are?"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from libs.common import clock
from services.ingest.schemas.schema import Schema
from services.ingest.schemas.standard import standard
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence, computed, without_contact_data
from services.profile.person.folding import CHAPTERS, OWN_NEWS
from services.profile.person.points import Points, Standing
from services.profile.person.private import is_private
from services.rules.document import cautions, checking, rule_tests, segments
from services.rules.document.language import Rule
from services.rules.engine.snapshot import ENVELOPE, Source
from services.rules.library import SUBJECTS, TRAITS, ReadySegment, Trigger, library, ready_segments
from services.rules.library.__main__ import PAGE
from services.rules.library.page import BEGIN, tables
from services.rules.library.shelf import read

Document = dict[str, Any]
ZONE = "Asia/Seoul"
DEFINED = Definitions()
NOW = datetime(2026, 3, 1, tzinfo=UTC)
BY_THE_CLOCK = ("date", "dormancy", "absence", "deviation")
each_segment = pytest.mark.parametrize("segment", ready_segments().values(), ids=ready_segments())
each_trigger = pytest.mark.parametrize("trigger", library().values(), ids=library())


# --- the documents -----------------------------------------------------------------------------------------------


def test_every_subject_has_its_triggers_and_every_file_is_one() -> None:
    folder = PAGE.parents[1] / "services" / "rules" / "library"
    beside = {(path.parents[1].name, path.stem) for path in folder.glob("*/segments/*.json")}
    assert beside == {(each.subject, each.id) for each in ready_segments().values()}
    found = {(path.parent.name, path.stem) for path in folder.rglob("*.json") if path.parent.name != "segments"}
    assert found == {(each.subject, each.id) for each in library().values()}
    assert {subject for subject, _ in found} == SUBJECTS.keys()
    assert len(found) >= 50


@each_trigger
def test_a_trigger_is_a_rule_whose_tests_hold_and_of_which_nobody_has_to_be_warned(trigger: Trigger) -> None:
    assert not cautions.cautions(_checked(trigger).rule, NOW)


@each_trigger
def test_a_trigger_shows_when_it_fires_and_when_it_does_not(trigger: Trigger) -> None:
    expected = [bool(test["expect"]) for test in trigger.document["tests"]]
    assert True in expected and (False in expected or _fires_less_than_given(trigger))


@each_trigger
def test_a_trigger_says_in_one_sentence_what_it_catches_and_why(trigger: Trigger) -> None:
    sentence = trigger.sentence
    assert 60 <= len(sentence) <= 240 and sentence.endswith(".") and ". " not in sentence
    assert trigger.document["tags"] == [trigger.subject]
    assert {"limits", "time", "emit", "tests"} <= trigger.document.keys()
    assert {"trigger", "priority"} <= trigger.document["emit"].keys()


def test_no_two_triggers_have_one_name() -> None:
    names = [each.document["emit"]["trigger"] for each in library().values()]
    assert len(set(names)) == len(names)
    titles = [each.name for each in library().values()]
    assert len(set(titles)) == len(titles)


@each_trigger
def test_each_condition_of_a_trigger_is_one_that_its_tests_would_miss(trigger: Trigger) -> None:
    """A test that fires nothing shows little, unless it would fire if the trigger were any simpler."""
    missed = [place for place, simpler in _simpler(trigger) if not rule_tests.faults(*_read(simpler), ZONE, _beside())]
    assert not missed


@each_segment
def test_each_condition_of_a_segment_is_one_that_the_tests_of_its_triggers_would_miss(segment: ReadySegment) -> None:
    document = dict(segment.document)
    naming = [each for each in library().values() if segment.id in each.segments]
    assert len(naming) > 1, "whom one trigger alone asks about needs no name"
    assert {each.subject for each in naming} == {segment.subject}, "it lies beside all that name it"
    simpler = dict(_simpler_parts(document))
    for added in (-1, 1):
        more = copy.deepcopy(document)
        more["who"][-1]["value"] += added
        simpler[f"value {added:+}"] = more
    assert not [
        place
        for place, other in simpler.items()
        if other["who"]
        and not any(rule_tests.faults(*_read(dict(each.document)), ZONE, _beside(other)) for each in naming)
    ]


@each_segment
def test_a_segment_is_one_of_which_nobody_has_to_be_warned(segment: ReadySegment) -> None:
    read_back, _ = segments.read(dict(segment.document))
    assert not cautions.of_segment(read_back)
    assert segment.document["tags"] == [segment.subject]
    sentence = segment.sentence
    assert 60 <= len(sentence) <= 240 and sentence.endswith(".") and ". " not in sentence


def test_the_page_is_made_of_the_documents() -> None:
    above, _, below = PAGE.read_text("utf-8").partition(BEGIN)
    assert below == f"\n\n{tables()}", "write it anew by python -m services.rules.library"
    assert above.startswith("# ")


def test_another_wording_is_another_text_and_another_layout_is_not(tmp_path: Path) -> None:
    (trigger, *others) = library().values()
    assert trigger.text not in {each.text for each in others}
    file = tmp_path / "any.json"
    file.write_text(json.dumps(trigger.document, indent=7, sort_keys=True), "utf-8")
    assert read(file).text == trigger.text
    file.write_text(json.dumps({**trigger.document, "name": "Other words"}), "utf-8")
    assert read(file).text != trigger.text


# --- what the documents stand on ---------------------------------------------------------------------------------


@each_trigger
def test_every_event_and_each_of_its_fields_is_one_that_channels_send(trigger: Trigger) -> None:
    unknown = [f"{use.event}.{use.path}" for each in _written(trigger) for use in _uses(each) if not _is_sent(use)]
    assert not unknown


@each_trigger
def test_every_field_of_the_profile_is_one_that_events_fill_or_a_trait_that_is_asked_for(trigger: Trigger) -> None:
    given = {name for each in _given(trigger) for name in each.get("profile", {})}
    named = set[str]().union(*map(_profile_fields, _written(trigger)))
    assert not (named | given) - lived().values.keys() - TRAITS.keys()


@each_trigger
def test_a_change_or_a_date_that_is_waited_for_comes_in_a_life(trigger: Trigger) -> None:
    when = trigger.document["when"]
    name = when.get("field", "").removeprefix("profile.")
    if trigger.kind not in ("change", "date") or name in TRAITS:
        return
    if trigger.kind == "date":
        assert all(isinstance(each, datetime) or date.fromisoformat(each) for each in lived().values[name] - {None})
        return
    moves = [(was, now) for moved, was, now in lived().moves if moved == name]
    assert [each for each in moves if _is_waited_for(when, *each)], moves


def test_what_is_asked_for_as_a_trait_is_used_and_can_reach_a_rule() -> None:
    used = {name for each in library().values() for name in _profile_fields(each.document)}
    assert TRAITS.keys() <= used
    assert not [name for name in TRAITS if computed(name) or is_private(name)]
    assert {name for each in library().values() for name in each.traits} == TRAITS.keys()


@each_trigger
def test_the_events_of_the_tests_are_such_as_ingest_lets_in_and_profile_lets_through(trigger: Trigger) -> None:
    for each in _given(trigger):
        data = each.get("data", {})
        schema = standard().get(each["type"])
        if schema is not None:
            assert schema.is_valid(data), schema.violations(data, len(json.dumps(data)), all_of_them=True)
        else:
            assert each["type"] in _ours() and not data
        assert without_contact_data(data) == data


@each_trigger
def test_who_is_judged_by_the_clock_is_judged_by_nothing_that_fades_unseen(trigger: Trigger) -> None:
    """Sums over days are as of the last event; a measure of the rule is as of the moment."""
    if trigger.kind in BY_THE_CLOCK:
        assert not {name for name in _profile_fields(trigger.document) if name.endswith(("_7d", "_90d", "_365d"))}


@each_trigger
def test_an_amount_stands_beside_its_currency(trigger: Trigger) -> None:
    for conditions in [each for document in _written(trigger) for each in _wheres(document)]:
        named = {each.get("field"): each for each in conditions}
        if {"event.amount", "event.price"} & named.keys():
            assert named["event.currency"]["value"] == "KRW"
    for measure in [each for document in _written(trigger) for each in _parts(document, "of")]:
        if measure.get("field") in ("event.amount", "event.price"):
            assert "event.currency" in {each["field"] for each in measure["where"]}


LADDERS: Mapping[str, frozenset[Any]] = {
    "grade": frozenset({None, *(each.name for each in DEFINED.grades.ladder)}),
    "lifecycle": frozenset("prospect lead new active won_back at_risk lapsed".split()),
    "consent_level": frozenset(each.name for each in DEFINED.consents.levels),
    "nps_class": frozenset({"promoter", "passive", "detractor"}),
    "life_stage": frozenset("engaged married expecting parent family empty_nest retired".split()),
}


@each_trigger
def test_a_rung_that_is_named_is_one_of_its_ladder(trigger: Trigger) -> None:
    for name, value in _compared(trigger.document):
        assert value in LADDERS.get(name, {value})
    for name, value in trigger.document["emit"].get("set", {}).items():
        assert name == "profile.life_stage" and value in LADDERS["life_stage"]


def test_the_profile_itself_declares_stages_that_the_library_knows() -> None:
    terms = DEFINED.life_stages
    assert {each.stage for each in terms.events.values()} <= LADDERS["life_stage"]


# --- how they are read -------------------------------------------------------------------------------------------


class Use(NamedTuple):
    """A field of the events of a type; no path where only the type is named."""

    event: str
    path: str


def _checked(trigger: Trigger) -> checking.Checked:
    return checking.read(dict(trigger.document), ZONE, {id: each.body for id, each in ready_segments().items()})


def _beside(instead: Document | None = None) -> list[Source]:
    """The segments of the library, one of them worded otherwise."""
    found = {id: dict(each.document) for id, each in ready_segments().items()}
    found |= {} if instead is None else {instead["id"]: instead}
    return [Source(msgspec.json.encode(each), 1) for each in found.values()]


def _read(document: Document) -> tuple[Rule, bytes]:
    body = msgspec.json.encode(document)
    return msgspec.json.decode(body, type=Rule), body


def _written(trigger: Trigger) -> list[Mapping[str, Any]]:
    """Its document, and those of the segments that it rests on."""
    return [trigger.document, *(ready_segments()[each].document for each in trigger.segments)]


def _given(trigger: Trigger) -> Iterator[Document]:
    for test in trigger.document["tests"]:
        yield from test["given"]


def _fires_less_than_given(trigger: Trigger) -> bool:
    """Some event of a test that looks like the one that fires does not."""
    return any(len(test["expect"]) < len(test["given"]) for test in trigger.document["tests"])


def _parts(value: Any, name: str) -> Iterator[Document]:
    """All objects within that have something of this name; stored tests are left out."""
    if isinstance(value, Mapping):
        if name in value:
            yield dict(value)
        for key, inner in value.items():
            if key != "tests":
                yield from _parts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner, name)


def _wheres(document: Mapping[str, Any]) -> Iterator[list[Document]]:
    for part in _parts(document, "where"):
        yield part["where"]


def _uses(document: Mapping[str, Any]) -> Iterator[Use]:
    when = document.get("when", {})
    for part in _parts(document, "event"):
        if not isinstance(part["event"], str) or part["event"].startswith("event."):
            continue
        yield Use(part["event"], "")
        named = [part.get("field"), *(leaf["field"] for leaf in _parts(part.get("where", []), "field"))]
        yield from (Use(part["event"], each.removeprefix("event.")) for each in named if each)
    picks = when.get("steps") or [when[name] for name in ("after", "no") if name in when]
    for each in when.get("same", []):
        yield from (Use(pick["event"], each) for pick in picks)
    roots = {**dict(zip(("first", "second", "third", "fourth", "fifth"), picks, strict=False))}
    roots["event"] = picks[-1] if picks else when.get("measure", when)
    for path in [
        *document.get("emit", {}).get("include", {}).values(),
        *(c["field"] for c in document.get("who", []) if "field" in c),
    ]:
        root, _, name = path.partition(".")
        if root in roots:
            yield Use(roots[root]["event"], name)


def _is_sent(use: Use) -> bool:
    schema = standard().get(use.event)
    if schema is None and use.event not in _ours():
        return False
    names = use.path.split(".")
    if not use.path or (len(names) == 1 and names[0] in ENVELOPE):
        return True
    return schema is not None and _has(schema, schema.document, names)


def _has(schema: Schema, part: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether a schema names what stands at a path; a list is looked into."""
    if reference := part.get("$ref"):
        definition = schema.document["$defs"][reference.removeprefix("#/$defs/")]
        if _has(schema, definition, names):
            return True
    if not names:
        return True
    if "items" in part:
        return _has(schema, part["items"], names)
    inner = part.get("properties", {}).get(names[0])
    return inner is not None and (len(names) == 1 or _has(schema, inner, names[1:]))


@cache
def _ours() -> frozenset[str]:
    """Types that no channel sends: what messages come to, and what the profile says of itself."""
    acted_on = {kind for chapter in CHAPTERS for kind in chapter.effects}
    return frozenset({kind for kind in acted_on if kind.startswith("message.")} | OWN_NEWS)


def _profile_fields(document: Mapping[str, Any]) -> set[str]:
    text = json.dumps({name: value for name, value in document.items() if name not in ("tests", "note", "name")})
    words = {word for word in text.replace('"', " ").split() if word.partition(".")[0] in ("profile", "was", "now")}
    return {word.split(".")[1] for word in words if "." in word}


def _compared(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    when = document["when"]
    if when["type"] == "change":
        for value in [*when.get("from", []), *when.get("to", []), *when.get("order", [])]:
            yield when["field"].split(".")[1], value
    for leaf in _parts(document.get("who", []), "field"):
        values = leaf.get("value")
        yield from ((leaf["field"].split(".")[-1], each) for each in (values if isinstance(values, list) else [values]))


def _is_waited_for(when: Mapping[str, Any], was: Any, now: Any) -> bool:
    order, direction = when.get("order", []), when.get("direction", "any")
    if was not in when.get("from", [was]) or now not in when.get("to", [now]):
        return False
    if direction == "any":
        return True
    return {was, now} <= set(order) and (order.index(now) > order.index(was)) == (direction == "up")


LEFT_OUT = (("when", "from"), ("when", "to"), ("limits", "cooldown"), ("limits", "repeat"), ("limits", "max"))


def _simpler(trigger: Trigger) -> Iterator[tuple[str, Document]]:
    """The document without one of its conditions, its limits, or of what its events have in common, each in turn."""
    whole = dict(trigger.document)
    yield from _simpler_parts(whole)
    for part, name in LEFT_OUT:
        if whole[part].get(name, "once_per_occasion") != "once_per_occasion":
            simpler = copy.deepcopy(whole)
            del simpler[part][name]
            yield f"{part}/{name}", simpler
    for added in (-1, 1) if "reaches" in whole["when"] else ():
        yield f"reaches {added:+}", {**whole, "when": {**whole["when"], "reaches": whole["when"]["reaches"] + added}}


def _simpler_parts(whole: Document) -> Iterator[tuple[str, Document]]:
    for path, conditions in _lists(whole, ()):
        for at in range(len(conditions)):
            simpler = copy.deepcopy(whole)
            part: Any = simpler
            for name in path:
                part = part[name]
            del part[at]
            yield "/".join(map(str, (*path, at))), simpler


def _lists(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("who", "where", "same", "any"):
                yield (*path, name), inner
            if name != "tests":
                yield from _lists(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _lists(inner, (*path, at))


# --- a life in which everything happens --------------------------------------------------------------------------


class Life(NamedTuple):
    """All fields that the profile gave while it was lived, the values that they had, and all moves between values."""

    values: Mapping[str, set[Any]]
    moves: frozenset[tuple[str, Any, Any]]


@cache
def lived() -> Life:
    """Days go by and events are told; the profile is looked at after each, as the service does."""
    held, start = Customer("r"), clock.to_ms(NOW)
    values: dict[str, set[Any]] = defaultdict(set)
    moves: set[tuple[str, Any, Any]] = set()
    told = defaultdict(list)
    for day, kind, data, branch in _story():
        told[day].append((kind, data, branch))
    before = person.view([held], Moment(DEFINED.day_of(start), DEFINED))
    for day in range(1_500):
        at_ms = start + day * 86_400_000
        moment = Moment(DEFINED.day_of(at_ms), DEFINED)
        # Without an event first: what passes by itself.
        for kind, data, branch in [("", {}, ""), *told[day]]:
            if kind:
                person.apply(held, _occurrence(kind, at_ms, data, branch, moment.day), DEFINED)
            after = person.view([held], moment)
            moves |= {(name, each.was, each.now) for name, each in person.differences(before, after).items()}
            for name, value in after.items():
                values[name].add(value)
            before = after
    return Life(values, frozenset(moves))


def _occurrence(kind: str, at_ms: int, data: Document, branch: str, day: int) -> Occurrence:
    identifiers = {"email": "a@b.example", "phone": "+821012345678", "device": "d-1"}
    channel = "email" if kind.startswith("message.") else "pos"
    # What the ledger would say of the points: it is asked by the service, not by the chapter.
    standing = Standing(Points(500, expiries=[(day + 60, 500)])) if kind.startswith("points.") else None
    source = "dangol/rules/any" if kind == "profile.changed" else "test"
    return Occurrence(
        kind, at_ms, source, f"{kind}-{at_ms}", data, identifiers if kind != "visit" else {},
        channel=channel, branch=branch, received_ms=at_ms, standing=standing,
    )  # fmt: skip


def _story() -> Iterator[tuple[int, str, Document, str]]:
    def told(day: int, kind: str, branch: str = "gangnam", /, **data: Any) -> tuple[int, str, Document, str]:
        return day, kind, data, branch

    def bought(day: int, amount: int, branch: str = "gangnam") -> tuple[int, str, Document, str]:
        item = {"product": "tv", "category": "electronics"}
        return told(day, "purchase", branch, amount=amount, currency="KRW", items=[item])

    def until(day: int) -> str:
        return (NOW + timedelta(days=day)).date().isoformat()

    yield told(0, "visit")
    yield told(1, "identify", traits={"size": "m"})
    yield told(1, "consent_given", channel="email", pending=True, token="t")
    yield told(2, "consent_given", channels=["email", "sms"])
    yield from (bought(3, 600_000), bought(4, 1_500_000), bought(5, 5_000_000, "mapo"), bought(6, 9_000, "mapo"))
    yield bought(7, 9_000, "mapo")
    yield from (told(8, "complaint", case="c-1"), told(9, "complaint_resolved", case="c-1"))
    yield from (told(10, "inquiry", case="i-1"), told(10, "service_request", case="s-1"))
    yield from (told(11, "profile.changed", life_stage=each) for each in ("engaged",))
    yield from (told(20, "life.marriage"), told(30, "profile.changed", life_stage="expecting"))
    yield from (told(60, "life.childbirth"), told(100, "profile.changed", life_stage="family"))
    yield from (told(200, "profile.changed", life_stage="empty_nest"), told(300, "life.retirement"))
    yield from (told(12, "relation.added", role="spouse"), told(12, "referred"))
    yield told(13, "contract.opened", contract="k-1", kind="card", ends_on=until(90))
    yield told(13, "product.registered", product="p-1", warranty_until=until(90))
    yield told(13, "document.received", document="d-1", expires_on=until(90))
    yield told(14, "points.earned", points=500)
    yield from (told(15, "survey.answered", score=7), told(16, "survey.answered", score=9))
    yield from (told(17, "survey.answered", score=2), told(18, "message.accepted"), told(19, "message.clicked"))
    yield told(25, "message.bounced", kind="hard")
    yield from (told(26, "restriction.set", channel="call"), told(27, "care.assigned", staff="s-1"))
    yield bought(600, 9_000)
    yield from (bought(1_400, 9_000, each) for each in ("mapo", "mapo", "gangnam"))
