"""Do events learn what the catalogue knows, and no more; and is it said what is wrong with which line?"""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.clock import from_ms
from libs.common.errors import Refused
from services.profile import person
from services.profile.identity import IdentityRules, Table
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.reference import Branch, Catalogue, Product
from services.profile.reference.catalogue import Unknown
from services.profile.reference.deliveries import TraitLine, counted, matches, meant_by
from services.profile.reference.documents import PlaceFacts, PlaceLine, ProductLine, parent_fault
from services.profile.reference.lines import read_lines
from services.profile.timeline import Origin, line, occurrence_of

DEFINED = Definitions()
TODAY = 740_000


def catalogue() -> Catalogue:
    made = Catalogue()
    made.products = {"tea-12": Product("drinks/tea/green", "Dawn", 0.4), "mug": Product("", "Clay")}
    made.places = {
        "hq": Branch("head_office"),
        "capital": Branch("region", "hq"),
        "gangnam": Branch("branch", "capital"),
        "kiosk": Branch("branch", "gangnam"),
        "far": Branch("branch", "hq"),
        "ring-1": Branch("branch", "ring-2"),
        "ring-2": Branch("branch", "ring-1"),
    }
    made.settle_regions()
    return made


def looked_up(branch: str, data: dict[str, Any]) -> tuple[Any, list[Unknown]]:
    unknown: list[Unknown] = []
    return catalogue().look_up(branch, data, unknown), unknown


def test_an_item_learns_what_it_does_not_say_itself() -> None:
    data = {
        "items": [{"product": "tea-12"}, {"product": "tea-12", "category": "gifts", "brand": None}, {"product": "mug"}]
    }
    before = copy.deepcopy(data)
    context, unknown = looked_up("gangnam", data)
    assert context.added_to(data)["items"] == [
        {"product": "tea-12", "category": "drinks/tea/green", "brand": "Dawn", "margin": 0.4},
        {"product": "tea-12", "category": "gifts", "brand": "Dawn", "margin": 0.4},
        {"product": "mug", "brand": "Clay"},
    ]
    assert (context.region, unknown) == ("capital", [])
    assert data == before


def test_a_product_of_the_event_itself_is_looked_up_too() -> None:
    context, _ = looked_up("", {"product": "tea-12", "price": 5})
    assert context.added_to({"product": "tea-12"})["category"] == "drinks/tea/green"


def test_what_nobody_knows_is_told_and_adds_nothing() -> None:
    context, unknown = looked_up("moon", {"items": [{"product": "x"}, {"product": 7}, {"product": True}, {}, 5, "x"]})
    assert not context and unknown == [("place", "moon"), ("product", "x"), ("product", "7")]


@pytest.mark.parametrize(
    ("branch", "region"), [("kiosk", "capital"), ("capital", "capital"), ("far", ""), ("hq", ""), ("ring-1", "")]
)
def test_a_place_lies_in_the_nearest_region_above_it(branch: str, region: str) -> None:
    assert looked_up(branch, {})[0].region == region


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["tea-12", "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["product", "category"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["product", "items", "category"]), ANYTHING))
def test_whatever_a_source_sends_can_be_looked_up_and_folded_again_alike(data: dict[str, Any]) -> None:
    context, _ = looked_up("gangnam", data)
    whole = context.added_to(data)
    origin = Origin(from_ms(1), "s", "pos", "gangnam", msgspec.Raw(msgspec.json.encode(data)), 1, context=context)
    row = line("c", Occurrence("purchase", 1, "s", "e", whole), origin, {})
    names = ("customer_id", "time", "event_id", "type", "source", "channel", "body", "told")
    again = occurrence_of(dict(zip(names, row, strict=True)), decoded=True)
    assert again.data == msgspec.json.decode(msgspec.json.encode(whole)) and again.region == "capital"


# --- lines -----------------------------------------------------------------------------------------------------


def test_a_line_that_is_wrong_is_named_and_the_others_are_taken() -> None:
    body = b'{"code": "a", "category": "x/y"}\n\nnonsense\n{"code": "", "margin": 2}\n{"code": "b", "colour": 1}\n'
    found = read_lines("application/x-ndjson", body, ProductLine)
    assert [(each.number, {fault.pointer for fault in each.faults}) for each in found] == [
        (1, set()),
        (3, {""}),
        (4, {"/margin", "/code"}),
        (5, {"/colour"}),
    ]
    assert found[0].document is not None and found[0].document.category == "x/y"


def test_a_table_says_the_same_as_objects() -> None:
    rows = ["code,name,kind,opening_hours", 'gangnam,"Gangnam, main",branch,mon-fri 10:00-20:00; sat 10:00-18:00']
    text = "\ufeff" + "\n".join([*rows, "x,,,", "y,1", ""])
    found = read_lines("text/csv; charset=utf-8", text.encode(), PlaceLine, ["opening_hours"])
    assert found[0].document == PlaceLine(
        code="gangnam", name="Gangnam, main", opening_hours=["mon-fri 10:00-20:00", "sat 10:00-18:00"]
    )
    assert found[1].document == PlaceLine(code="x")
    assert [fault.detail for fault in found[2].faults] == ["has 2 cells, and the first line names 4 columns"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("text/csv", b"\xff"),
        ("text/csv", b"code,code\n"),
        ("text/csv", b""),
        ("application/x-ndjson", b'{"code": "a\x00"}'),
        ("application/x-ndjson", b'{"code": "a"}\n' * 10_001),
    ],
)
def test_a_body_that_is_no_list_is_refused_whole(kind: str, body: bytes) -> None:
    with pytest.raises(Refused):
        read_lines(kind, body, ProductLine)


@pytest.mark.parametrize(
    "wrong",
    [
        {"category": "a//b"},
        {"zone": "Moon/Base"},
        {"opening_hours": ["always"]},
        {"opening_hours": ["mon 25:00-26:00"]},
        {"kind": "kiosk"},
        {"ownership": "rented"},
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(wrong: dict[str, Any]) -> None:
    document = ProductLine if "category" in wrong else PlaceLine
    found = read_lines("application/x-ndjson", msgspec.json.encode({"code": "a", **wrong}), document)
    assert found[0].faults and found[0].faults[0].pointer.startswith("/" + next(iter(wrong)))


def test_no_place_lies_beneath_itself_or_what_does_not_stand_above_it() -> None:
    kinds = {"hq": "head_office", "r": "region", "b": "branch"}
    parents = {"hq": "", "r": "b", "b": "r"}
    assert parent_fault("b", PlaceFacts(parent="r"), kinds, {"r": "hq"}) is None
    for code, facts in (
        ("r", PlaceFacts(kind="region", parent="b")),
        ("hq", PlaceFacts(kind="head_office", parent="r")),
        ("b", PlaceFacts(parent="r")),
        ("b", PlaceFacts(parent="nowhere")),
    ):
        assert parent_fault(code, facts, kinds, parents) is not None


def test_lines_of_traits_find_people_by_their_strongest_identifier() -> None:
    body = b"phone,email,cookie,income_band\n010-1234-5678,A@Example.com,,c\n,b@example.com,,d\n,,k,e\n"
    lines = read_lines("text/csv", body, TraitLine)
    meant = meant_by(lines, "KR", Table(IdentityRules()))
    assert [each.keys for each in meant] == [
        ["phone:+821012345678", "email:a@example.com"],
        ["email:b@example.com"],
    ]
    assert [bool(each.faults) for each in lines] == [False, False, True]
    found = matches("d", meant, {"phone:+821012345678": "r1", "email:a@example.com": "r2"})
    assert [(each.customer_id, each.traits) for each in found] == [("r1", {"income_band": "c"})]
    assert counted(found) == {"income_band": 1}
    assert matches("d", meant, {"email:b@example.com": "r1"})[0].command_id != found[0].command_id


# --- chapters --------------------------------------------------------------------------------------------------


def applied(*events: Occurrence) -> Customer:
    held = Customer("p")
    for each in events:
        person.apply(held, each, DEFINED)
    return held


def assigned(at: int, staff: object, **more: Any) -> Occurrence:
    return Occurrence("care.assigned", at, "dangol/api/x", f"a{at}", {"staff": staff, **more}, branch="gangnam")


@given(st.permutations([(1, "s1", ""), (2, "s2", ""), (3, None, "backup"), (4, "s4", "backup"), (5, "", "")]))
def test_who_is_responsible_is_who_was_named_last_in_whatever_order_it_is_told(
    said: list[tuple[int, object, str]],
) -> None:
    seen = applied(*[assigned(at, staff, **({"role": role} if role else {})) for at, staff, role in said])
    assert person.view([seen], Moment(TODAY, DEFINED))["responsible_staff"] is None
    shown = person.sections([seen], Moment(TODAY, DEFINED))["care"]
    assert [(each["role"], each["staff"]) for each in shown["responsible"]] == [("backup", "s4")]
    assert [each["staff"] for each in shown["history"]] == [None, "s4", None, "s2", "s1"]


def enriched(at: int, until: str | None = "2027-03-31", /, **traits: Any) -> Occurrence:
    data = {"traits": traits, "source": "panel", "licence": "17", "expires_on": until}
    return Occurrence("profile.enriched", at, "dangol/api/x", f"e{at}", data)


DAY = 740_071  # 2027-03-31


def test_what_was_lent_counts_up_to_its_last_day_and_not_beside_what_the_customer_says() -> None:
    seen = applied(enriched(1, income_band="c", tier="x", purchase_count=9, email="a@example.com"))
    person.apply(seen, Occurrence("identify", 1, "web", "i", {"traits": {"tier": "gold"}}), DEFINED)
    view = person.view([seen], Moment(DAY, DEFINED))
    assert (view["income_band"], view["tier"], view["purchase_count"]) == ("c", "gold", 0)
    assert "email" not in view
    assert person.due([seen], Moment(DAY - 5, DEFINED)) == DAY + 1
    assert "income_band" not in person.view([seen], Moment(DAY + 1, DEFINED))
    shown = person.sections([seen], Moment(DAY, DEFINED))["enriched"]
    assert shown["income_band"] == {
        "value": "c",
        "at": from_ms(1),
        "source": "panel",
        "licence": "17",
        "expires_on": "2027-03-31",
    }


def test_nothing_is_lent_without_an_end() -> None:
    assert applied(enriched(1, None, income_band="c")).enriched is None


@given(st.permutations([(1, "a"), (2, "b"), (2, "c"), (3, "d")]))
def test_the_newest_delivery_counts_in_whatever_order_they_come(said: list[tuple[int, str]]) -> None:
    events = [msgspec.structs.replace(enriched(at, band=band), id=f"{at}{band}") for at, band in said]
    seen = applied(*events)
    assert person.view([seen], Moment(TODAY, DEFINED))["band"] == "d"
