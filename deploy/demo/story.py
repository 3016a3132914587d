"""How is one event's way through the services told? Pure: what the APIs know in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Found = Mapping[str, Any]


@dataclass
class Story:
    """`event` is a line of the timeline; everything else is as the APIs answer, and may be empty.

    `listening` are the active rules that look at events of this type, `rules` those that are named in decisions.
    """

    customer: Found
    event: Found
    decisions: Sequence[Found] = ()
    messages: Sequence[Found] = ()
    rules: Mapping[str, Found] = field(default_factory=dict)
    listening: Sequence[Found] = ()
    settings: Sequence[Found] = ()
    """Lines of the timeline in which a rule wrote a field because of this event."""


def is_outside(line: Found) -> bool:
    """Whether an event came from a channel and not from one of the services."""
    return not str(line["source"]).startswith("dangol/")


def types_of(rule: Found) -> set[str]:
    """The event types that a rule document looks at; none for a change, which any event may bring."""
    when = rule.get("when", {})
    parts = [when, when.get("measure", {}), when.get("after", {}), when.get("no", {}), *when.get("steps", [])]
    return {part["event"] for part in parts if isinstance(part, Mapping) and "event" in part}


def tell(story: Story) -> Iterator[str]:
    yield from _event(story)
    yield from _profile(story)
    yield from _rules(story)
    for decision in sorted(story.decisions, key=lambda each: str(each["decided_at"])):
        yield from _decision(decision)
    for message in sorted(story.messages, key=lambda each: str(each["planned_at"])):
        yield from _message(message)


def _event(story: Story) -> Iterator[str]:
    event = story.event
    data = ", ".join(f"{name} {_short(value)}" for name, value in event["data"].items() if not _deep(value))
    yield _line(event["time"], "event", f"{event['type']}  by {event['channel'] or event['source']}  {data}")
    yield _line(None, "", f"id {event['id']}  source {event['source']}")


def _profile(story: Story) -> Iterator[str]:
    customer = story.customer
    profile = customer["profile"]
    names = ("tier", "life_stage", "purchase_count", "zone")
    known = [f"{name} {profile[name]}" for name in names if name in profile]
    yield _line(None, "profile", f"customer {customer['customer_id']}  now: {', '.join(known) or 'nothing yet'}")
    if len(customer["records"]) > 1:
        yield _line(None, "", f"one person with {len(customer['records'])} records")
    given = {channel: held["granted"] for channel, held in customer["consents"].items()}
    consents = [f"{channel} {'yes' if granted else 'no'}" for channel, granted in sorted(given.items())]
    yield _line(None, "", f"consent: {', '.join(consents) or 'never asked'}")
    if customer["suppressed"]:
        yield _line(None, "", f"suppressed: {', '.join(customer['suppressed'])}")


def _rules(story: Story) -> Iterator[str]:
    fired = list(dict.fromkeys(str(each["rule_id"]) for each in story.decisions))
    fired += [rule for rule in (_writer(line) for line in story.settings) if rule not in fired]
    for rule_id in fired:
        name = story.rules.get(rule_id, {}).get("name", "")
        yield _line(None, "rule", f'{rule_id}  "{name}"  FIRED')
    for line in story.settings:
        written = ", ".join(f"{name} = {value}" for name, value in line["data"].items())
        yield _line(line["time"], "", f"{_writer(line)} wrote {written}")
    for rule in story.listening:
        if rule["id"] not in fired:
            yield _line(None, "rule", f'{rule["id"]}  "{rule["name"]}"  no decision came of it')


def _writer(line: Found) -> str:
    return str(line["source"]).removeprefix("dangol/rules/")


def _decision(decision: Found) -> Iterator[str]:
    passed = decision["outcome"] == "contact"
    outcome = "CONTACT, every gate passed" if passed else f"{decision['outcome'].upper()} at gate {decision['gate']}"
    if decision.get("defer_until"):
        outcome += f", again at {_clock(decision['defer_until'])}"
    yield _line(
        decision["decided_at"],
        "campaign",
        f"{decision['campaign_id']} v{decision['campaign_version']}  because of {decision['rule_id']}  {outcome}",
    )
    for verdict in decision["trace"]:
        values = ", ".join(f"{name} {_short(value)}" for name, value in verdict.get("values", {}).items())
        told = "  ".join(part for part in (verdict.get("detail", ""), values) if part)
        yield _line(None, "", f"  {verdict['gate']:<12} {verdict['verdict']:<8} {told}".rstrip())


def _message(message: Found) -> Iterator[str]:
    duplicate = "  (possibly twice)" if message["possible_duplicate"] else ""
    about = f"{message['channel']} by {message['template']} v{message['template_version']}"
    reason = f": {message['reason']}" if message["reason"] else ""
    yield _line(message["planned_at"], "notify", f"{about}  {message['state']}{reason}{duplicate}")
    happened = [(step["at"], step["state"].lower(), step["detail"]) for step in message["steps"]]
    happened += [(each["at"], each["type"], each["data"].get("url", "")) for each in message["responses"]]
    for at, what, detail in sorted(happened, key=lambda each: str(each[0])):
        yield _line(at, "", f"  {what}  {detail}".rstrip())


def _line(at: Any, room: str, text: str) -> str:
    return f"  {_clock(at) if at is not None else '':<12}  {room:<9} {text}".rstrip()


def _clock(instant: Any) -> str:
    """Of this machine, with milliseconds."""
    found = instant if isinstance(instant, datetime) else datetime.fromisoformat(str(instant))
    return found.astimezone().strftime("%H:%M:%S.%f")[:12]


def _deep(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_short(each)}" for name, each in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return str(value)
