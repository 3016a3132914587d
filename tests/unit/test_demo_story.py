"""Is an event's way told as it was, with what stopped it?"""

from __future__ import annotations

from typing import Any

from deploy.demo.story import Story, is_outside, tell, types_of

AT = "2026-11-21T10:15:00.250+00:00"
CUSTOMER: dict[str, Any] = {
    "customer_id": "c-1",
    "records": ["c-1"],
    "profile": {"tier": "gold", "purchase_count": 3},
    "consents": {"email": {"granted": False}, "call": {"granted": True}},
    "suppressed": [],
}
EVENT: dict[str, Any] = {
    "id": "e-1",
    "time": AT,
    "type": "purchase",
    "source": "till",
    "channel": "pos",
    "data": {"amount": 100, "items": [{"product": "tea"}]},
}
RULE: dict[str, Any] = {"id": "big", "name": "Big", "when": {"type": "event", "event": "purchase"}}


def decision(**changes: Any) -> dict[str, Any]:
    whole = {
        "decided_at": AT,
        "campaign_id": "receipt",
        "campaign_version": 2,
        "rule_id": "big",
        "outcome": "denied",
        "gate": "consent",
        "defer_until": None,
        "trace": [
            {"gate": "switch", "verdict": "pass"},
            {"gate": "consent", "verdict": "deny", "detail": "refused or withdrawn", "values": {"channel": "email"}},
        ],
    }
    return whole | changes


def told(story: Story) -> str:
    return "\n".join(tell(story))


def test_a_denied_contact_is_told_gate_by_gate_with_the_reason() -> None:
    text = told(Story(CUSTOMER, EVENT, [decision()], rules={"big": RULE}, listening=[RULE]))
    assert "purchase  by pos  amount 100" in text
    assert "consent: call yes, email no" in text
    assert 'big  "Big"  FIRED' in text
    assert "DENIED at gate consent" in text
    assert text.index("switch") < text.index("refused or withdrawn  channel email")


def test_a_rule_that_listens_and_caused_nothing_is_not_said_to_have_fired() -> None:
    text = told(Story(CUSTOMER, EVENT, rules={"big": RULE}, listening=[RULE]))
    assert 'big  "Big"  no decision came of it' in text
    assert "FIRED" not in text


def test_a_message_is_told_with_its_steps_and_responses_in_their_order() -> None:
    message = {
        "planned_at": AT,
        "channel": "email",
        "template": "receipt",
        "template_version": 1,
        "state": "DELIVERED",
        "reason": "",
        "possible_duplicate": False,
        "steps": [{"at": AT, "state": "PLANNED", "detail": ""}],
        "responses": [{"at": "2026-11-21T10:15:02+00:00", "type": "message.clicked", "data": {"url": "https://x"}}],
    }
    text = told(Story(CUSTOMER, EVENT, messages=[message]))
    assert "email by receipt v1  DELIVERED" in text
    assert text.index("planned") < text.index("message.clicked  https://x")


def test_what_a_rule_wrote_is_told() -> None:
    written = {"time": AT, "source": "dangol/rules/big", "data": {"tier": "vip"}}
    text = told(Story(CUSTOMER, EVENT, rules={"big": RULE}, settings=[written]))
    assert "big wrote tier = vip" in text and 'big  "Big"  FIRED' in text


def test_events_of_the_services_themselves_are_not_from_outside() -> None:
    assert is_outside(EVENT)
    assert not is_outside({**EVENT, "source": "dangol/notify"})


def test_the_types_that_a_rule_looks_at_are_found_in_every_kind() -> None:
    absence = {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "1h"}
    assert types_of({"when": absence}) == {"cart_add", "purchase"}
    assert types_of({"when": {"type": "measure", "measure": {"event": "visit"}}}) == {"visit"}
    assert types_of({"when": {"type": "change", "field": "profile.tier"}}) == set()
