"""Can everything be defined that has a shape, is a contradiction refused with its place, and is the newest in force?"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from libs.common import clock
from libs.common.errors import Invalid, NotCaughtUp
from libs.common.unit import UnitTx
from services.profile import holding
from services.profile.api.definition_subjects import SUBJECTS, checked, document_of
from services.profile.cabinet import Cabinet
from services.profile.defining import made, shapes
from services.profile.identity import IdentityRules, Table
from services.profile.linking import Linking
from services.profile.person import Customer, Definitions, Occurrence
from services.profile.person.measure_terms import Grade, Grades, Lifecycle
from services.profile.person.trait_terms import TraitRule

SEOUL = ZoneInfo("Asia/Seoul")


def written(subject: str, **body: Any) -> Any:
    return checked(subject, document_of(shapes()[subject]), body)


def faults(subject: str, **body: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        written(subject, **body)
    return {fault.pointer: fault.detail for fault in refused.value.errors}


@pytest.mark.parametrize("subject", sorted(SUBJECTS))
def test_what_is_shipped_is_valid_and_comes_back_as_it_was_written(subject: str) -> None:
    shipped = shapes()[subject]()
    assert written(subject) == shipped
    assert written(subject, **msgspec.to_builtins(shipped)) == shipped
    assert made(3, {subject: msgspec.json.encode(shipped)}, SEOUL) == Definitions(number=3, zone=SEOUL)


def test_what_is_not_named_is_as_shipped() -> None:
    assert written("lifecycle", at_risk_days=60) == Lifecycle(at_risk_days=60)
    ladder = [{"name": "gold", "spend_min": {"KRW": 5}}]
    assert written("grades", ladder=ladder) == Grades((Grade("gold", {"KRW": 5.0}),))
    trait = written("traits", rules={"tier": {"keep": "most_trusted", "trusted": ["crm"]}})
    assert trait.rules == {"tier": TraitRule("most_trusted", ("crm",))}


@pytest.mark.parametrize(
    ("subject", "body", "places"),
    [
        ("lifecycle", {"at_risk_days": 200}, ["/body/lapsed_days"]),
        ("lifecycle", {"at_risk_days": 7, "new_days": 0}, ["/body/at_risk_days", "/body/new_days"]),
        ("lifecycle", {"lapsed_days": "x", "new_days": -1}, ["/body/lapsed_days", "/body/new_days"]),
        ("lifecycle", {"at_risk_day": 30}, ["/body/at_risk_day"]),
        ("lifecycle", {"new_days": 10**30}, ["/body/new_days"]),
        ("lifecycle", {"new_days": True}, ["/body/new_days"]),
        ("rfm", {"frequency": [1, 2, 2, 4]}, ["/body/frequency/2"]),
        ("rfm", {"frequency": [1, 2, 3]}, ["/body/frequency/3"]),
        ("rfm", {"monetary": {"won/a": [1, 2, 3, 4]}}, ["/body/monetary/won~1a"]),
        ("rfm", {"window_days": 0}, ["/body/window_days"]),
        ("grades", {"ladder": [{"name": "A b", "spend_min": {}}]}, ["/body/ladder/0/name", "/body/ladder/0/spend_min"]),
        ("grades", {"ladder": [{"spend_min": {"KRW": 1}}]}, ["/body/ladder/0/name"]),
        (
            "grades",
            {"ladder": [{"name": "a", "spend_min": {"KRW": 1}, "window_days": 400, "keeps_days": 400}] * 2},
            ["/body/ladder/0/keeps_days", "/body/ladder/1/keeps_days", "/body/ladder/1/name"],
        ),
        ("grades", {"ladder": [{"name": "a", "spend_min": {"KRW": 0}}]}, ["/body/ladder/0/spend_min/KRW"]),
        ("life_stages", {"events": {"graduated": {"stage": ""}}}, ["/body/events/graduated/stage"]),
        ("life_stages", {"hand": {"rank": 1, "confidence": 2}}, ["/body/hand/confidence"]),
        ("traits", {"rules": {"a": {"keep": "loudest"}}}, ["/body/rules/a/keep"]),
        ("traits", {"other": {"keep": "most_trusted"}}, ["/body/other/trusted"]),
        ("traits", {"rules": {"a": {"trusted": ["crm"]}}}, ["/body/rules/a/trusted"]),
        (
            "consents",
            {"jurisdiction": "JP", "zones": {"Asia/Tokyo": "JP"}},
            ["/body/jurisdiction", "/body/zones/Asia~1Tokyo"],
        ),
        ("consents", {"jurisdictions": {"fr": "EU"}}, ["/body/jurisdictions/fr"]),
        ("consents", {"purposes": {"night": {"title": "At night"}}}, ["/body/purposes"]),
        (
            "consents",
            {
                "purposes": {
                    "marketing": {"title": ""},
                    "b": {"title": "", "needs_marketing": True, "falls_with_marketing": False},
                }
            },
            ["/body/purposes/b/falls_with_marketing", "/body/purposes/marketing"],
        ),
        ("consents", {"purposes": {"Bad name": {"title": ""}}}, ["/body/purposes/Bad name/[key]"]),
        ("consents", {"double_opt_in": {"pigeon": "2026-01-01"}}, ["/body/double_opt_in/pigeon"]),
        ("consents", {"double_opt_in": {"email": "soon"}}, ["/body/double_opt_in/email"]),
        ("consents", {"pending_days": 4_000, "levels": []}, ["/body/levels", "/body/pending_days"]),
        (
            "consents",
            {"duties": {"KR": {"reconfirm_years": 1, "reconfirm_start_days": 400}, "EU": {}, "US": {}}},
            ["/body/duties/KR/reconfirm_start_days"],
        ),
        (
            "consents",
            {"levels": [{"name": "a", "channels": 1}, {"name": "b", "channels": 2}, {"name": "a", "purchases": 1}]},
            ["/body/levels/1", "/body/levels/2", "/body/levels/2/name"],
        ),
        ("points", {"earn": [{"business_unit": "b", "amount": "0"}]}, ["/body/earn/0"]),
        (
            "points",
            {"earn": [{"business_unit": " ", "amount": "1", "currency": "won", "points": 0}]},
            ["/body/earn/0/points"],
        ),
        (
            "points",
            {"earn": [{"business_unit": " ", "amount": "1", "currency": "won", "branches": [""]}]},
            ["/body/earn/0/branches/0", "/body/earn/0/business_unit", "/body/earn/0/currency"],
        ),
        (
            "points",
            {
                "earn": [
                    {"business_unit": "b", "amount": "100"},
                    {"business_unit": "c", "amount": "1", "branches": ["x"]},
                ]
            },
            ["/body/earn/1"],
        ),
        ("points", {"lifetime_days": 40_000}, ["/body/lifetime_days"]),
        ("quality", {"expected": {"name": [], "": ["x"]}}, ["/body/expected/", "/body/expected/name"]),
        ("quality", {"expected": {"a": ["x", "x", " "]}}, ["/body/expected/a/1", "/body/expected/a/2"]),
        ("quality", {"fresh_days": 0, "soft_bounces_max": 11}, ["/body/fresh_days", "/body/soft_bounces_max"]),
        ("identity", {"types": []}, ["/body/types"]),
        (
            "identity",
            {"types": [{"type": "pigeon"}, {"type": "partner:A"}]},
            ["/body/types", "/body/types/0/type", "/body/types/1/type"],
        ),
    ],
)
def test_a_definition_that_cannot_hold_is_refused_with_every_place(
    subject: str, body: dict[str, Any], places: list[str]
) -> None:
    assert sorted(faults(subject, **body)) == places


def types(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    shipped = msgspec.to_builtins(IdentityRules())["types"]
    return [{**each, **changed.get(each["type"], {})} for each in shipped]


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"account": {"unique": False}}, "0/unique"),
        ({"account": {"limit": 2}}, "1/limit"),
        ({"email": {"unique": True}}, "4/unique"),
        ({"phone": {"shared": False}}, "3/shared"),
        ({"phone": {"limit": 0}}, "3/limit"),
        ({"cookie": {"session": False}}, "7/session"),
        ({"loyalty_card": {"ignored": ""}}, "2/ignored"),
    ],
)
def test_what_keeps_people_apart_cannot_be_loosened(changed: dict[str, Any], place: str) -> None:
    number = [each["type"] for each in types()].index(next(iter(changed)))
    assert list(faults("identity", types=types(**changed))) == [f"/body/types/{number}/{place.partition('/')[2]}"]


def test_what_joins_people_can_be_made_stricter_and_partners_have_rules_of_their_own() -> None:
    wanted = [*types(email={"limit": 3, "shared": True}), {"type": "partner:air", "limit": 1, "shared": True}]
    table = Table(written("identity", types=wanted))
    assert (table.of("email").limit, table.of("partner:air").limit, table.of("partner:sea").limit) == (3, 1, 10)
    assert list(faults("identity", types=wanted[::-1])) == ["/body/types"]
    assert list(faults("identity", types=[*wanted, wanted[-1]])) == ["/body/types/9/type"]


def test_identity_follows_the_definitions_in_force() -> None:
    current = Definitions()
    linking = Linking(lambda: current.identity, lambda what, count: None)
    assert linking.table.of("email").limit == 20
    current = Definitions(number=1, identity=written("identity", types=types(email={"limit": 3})))
    assert linking.table.of("email").limit == 3


def test_every_example_in_the_documents_can_be_defined() -> None:
    text = (Path(__file__).parents[2] / "docs" / "profile.md").read_text("utf-8")
    examples = re.findall(r"PUT /v1/definitions/(\w+)\n\n?```json\n(.*?)```", text, re.DOTALL)
    assert {subject for subject, _ in examples} >= {"identity", "consents", "points", "quality"}
    for subject, body in examples:
        assert written(subject, **json.loads(body)["body"]) != shapes()[subject]()


@pytest.mark.parametrize("amount", [float("inf"), float("nan"), 1e300, -1])
def test_an_amount_that_is_no_amount_is_refused(amount: float) -> None:
    assert list(faults("grades", ladder=[{"name": "a", "spend_min": {"KRW": amount}}]))


def test_every_subject_can_be_written_as_a_document_with_a_schema() -> None:
    for shape in shapes().values():
        schema = document_of(shape).model_json_schema()
        assert schema["additionalProperties"] is False
        assert set(schema["properties"]) == {each.name for each in msgspec.structs.fields(shape)}


def test_what_a_newer_code_defined_changes_nothing_here() -> None:
    bodies = {"horoscope": b'{"sign": "x"}', "lifecycle": b'{"at_risk_days": 61, "mood": 1}'}
    found = made(9, bodies, SEOUL)
    assert (found.number, found.lifecycle) == (9, Lifecycle(at_risk_days=61))


def unit(snapshot: int, cache: dict[str, Any]) -> UnitTx:
    at: datetime = clock.now()
    return UnitTx(None, worker="profile.apply", unit=0, cache=cache, clock=at, now=at, snapshot=snapshot)


def test_a_unit_never_goes_back_to_older_definitions() -> None:
    tx = unit(3, {})
    with pytest.raises(NotCaughtUp):
        Cabinet(tx, Definitions(number=2))
    Cabinet(tx, Definitions(number=4))
    assert tx.snapshot == 4


def test_customers_at_hand_are_seen_anew_under_other_definitions() -> None:
    cache: dict[str, Any] = {}
    held = holding.hold("c", Customer("c"))
    cache["customers"] = {"c": held}
    cabinet = Cabinet(unit(0, cache), Definitions())
    purchase = Occurrence("purchase", clock.to_ms(clock.now()), "pos", "1", {"amount": 900_000, "currency": "KRW"})
    assert holding.step(held, purchase, cabinet.definitions, (), clock.now())[0]["grade"].now == "silver"
    known = held.encoded
    Cabinet(unit(0, cache), Definitions())
    assert held.encoded == known
    strict = Definitions(number=1, grades=Grades((Grade("gold", {"KRW": 800_000.0}),)))
    again = Occurrence("product_view", purchase.at_ms, "web", "2")
    _, encoded = holding.step(held, again, Cabinet(unit(0, cache), strict).definitions, (), clock.now())
    assert msgspec.json.decode(encoded)["grade"] == "gold"
