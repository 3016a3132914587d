"""Does every string that the door takes come back out of the profile as it went in, wherever it stood?

A branch is taken in and arrives with its event; no API of the profile shows one yet, so it is not compared.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from tests.caller import Caller, event, until
from tests.ingest_events import naughty_strings

_AT_ONCE = 250
_BY = "partner:naughty"


class Placed(NamedTuple):
    """One string in one place of an event, and the name by which its customer is found again."""

    place: str
    text: str
    name: str
    event: dict[str, Any]


async def test_every_naughty_string_comes_back_unharmed_from_every_place(caller: Caller) -> None:
    everything = [each for number, text in enumerate(naughty_strings()) for each in placed(number, text)]
    taken = []
    for start in range(0, len(everything), _AT_ONCE):
        taken += await accepted(caller, everything[start : start + _AT_ONCE])
    assert len(taken) > 0.9 * len(everything), f"{len(taken)} of {len(everything)} accepted"
    for start in range(0, len(taken), 25):
        await asyncio.gather(*(compare(caller, each) for each in taken[start : start + 25]))


def placed(number: int, text: str) -> list[Placed]:
    places: dict[str, dict[str, Any]] = {
        "identifier": {"identifiers": {"account": text}},
        "trait": {"data": {"traits": {"note": text}}},
        "trait's name": {"data": {"traits": {text: "kept"}}},
        "branch": {"branch": text},
        "source": {"source": f"naughty/{text}"},
        "id": {"id": text},
    }
    found = []
    for place, changes in places.items():
        name = f"{number}-{place}"
        whole = event("identify", **{"identifiers": {}, "source": f"naughty-{number}", **changes})
        whole["identifiers"] = {**whole["identifiers"], _BY: name}
        found.append(Placed(place, text, name, whole))
    return found


async def accepted(caller: Caller, batch: list[Placed]) -> list[Placed]:
    """What of it the door took; what it refused it refused alone, with a reason."""
    url = f"{caller.stack.urls['ingest']}/v1/events"
    headers = {"Authorization": f"Bearer {caller.stack.write_keys['web']}"}
    async with caller.session.post(url, json=[each.event for each in batch], headers=headers) as answer:
        assert answer.status == 202, await answer.text()
        refused = {each["index"]: each["detail"] for each in (await answer.json())["rejected"]}
    assert all(refused.values())
    return [each for index, each in enumerate(batch) if index not in refused]


async def applied(caller: Caller, sent: Placed) -> dict[str, Any] | None:
    """The customer once the event is applied: an identifier finds somebody a moment before."""
    found: dict[str, Any] | None = await caller.customer(**{_BY: sent.name})
    return found if found is not None and found["version"] > 0 else None


async def compare(caller: Caller, sent: Placed) -> None:
    found = await until(lambda: applied(caller, sent), f"the customer of {sent}", seconds=60)
    if sent.place == "identifier":
        assert {"type": "account", "value": sent.text.strip()} in found["identifiers"], sent
    elif sent.place == "trait":
        assert found["traits"]["note"]["value"] == sent.text, sent
    elif sent.place == "trait's name":
        assert found["traits"][sent.text]["value"] == "kept", sent
    elif sent.place in ("source", "id"):
        line = next(each for each in await caller.timeline(found["customer_id"]) if each["type"] == "identify")
        assert (line["id"], line["source"]) == (sent.event["id"], sent.event["source"]), sent
