"""How does consent look to whoever asks? What holds, what is owed for it, and the ledger. Rows in, documents out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from libs.common import clock
from libs.common.db import Row, Tx
from services.profile.person import Customer, Definitions, Moment
from services.profile.person.consents.chapter import all_consents, described
from services.profile.person.consents.duties import KINDS, Owed, done_ms, owed, place_of
from services.profile.person.consents.held import union
from services.profile.person.consents.levels import level_of
from services.profile.person.consents.speech import parts_of
from services.profile.restoring import load
from services.profile.store import consents as store


async def present(connection: Any, customer_id: str, records: Sequence[str], defined: Definitions) -> dict[str, Any]:
    """What a person has agreed to as of today, their rung on the ladder of permission, and what is owed to them."""
    known = (await load(Tx(connection), records, defined)).known
    states = [known[each] for each in records if each in known]
    at = _today(defined)
    standings = all_consents(states, at)
    wordings = await store.known_wordings(connection, {each.said.wording for each in standings.values()})
    level, rank = level_of(states, at)
    return {
        "customer_id": customer_id,
        "level": level,
        "level_rank": rank,
        "consents": [
            {
                "channel": each.channel,
                "purpose": each.purpose,
                **described(each),
                "wording_known": each.said.wording in wordings if each.said.wording else None,
            }
            for each in standings.values()
        ],
        "duties": duties_of(states, at),
    }


def duties_of(states: Sequence[Customer], at: Moment) -> list[dict[str, Any]]:
    """Every kind of duty that there is, or was, towards a person."""
    terms = at.definitions.consents
    held = union(states, terms)
    if held is None:
        return []
    due = {each.duty: each for each in owed(held, place_of(states, at.definitions), at)}
    found = []
    for duty in KINDS:
        done = done_ms(held, duty)
        if duty in due or done is not None:
            found.append(_duty(duty, due.get(duty), done, at))
    return found


def _duty(duty: str, due: Owed | None, done: int | None, at: Moment) -> dict[str, Any]:
    about = [parts_of(key) for key in due.keys] if due is not None else []
    return {
        "duty": duty,
        "from": date.fromordinal(due.from_day) if due is not None else None,
        "due_on": date.fromordinal(due.due_day) if due is not None else None,
        "overdue": due is not None and at.day > due.due_day,
        "about": [{"channel": channel, "purpose": purpose} for channel, purpose in about],
        "done_at": clock.from_ms(done) if done is not None else None,
    }


async def duties_before(
    connection: Any, rows: Sequence[Row], due_before: date, defined: Definitions
) -> list[dict[str, Any]]:
    """Of what records owe by themselves, that which is owed to the person as well, once for each person."""
    people = await store.records_of_people(connection, {str(row["customer_id"]) for row in rows})
    everybody = sorted({each for _, records in people.values() for each in records})
    known = (await load(Tx(connection), everybody, defined)).known
    at = _today(defined)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        customer_id = str(row["customer_id"])
        person_id, records = people.get(customer_id, (customer_id, [customer_id]))
        states = [known[each] for each in records if each in known]
        for each in duties_of(states, at):
            if each["duty"] == row["duty"] and each["due_on"] is not None and each["due_on"] < due_before:
                found.setdefault(
                    (person_id, each["duty"]), {"customer_id": customer_id, "person_id": person_id, **each}
                )
    return list(found.values())


def entry(row: Row) -> dict[str, Any]:
    """A row of the ledger; `wording_known` is null where no wording is named."""
    return {
        "customer_id": str(row["customer_id"]),
        "event_id": row["event_id"],
        "type": row["type"],
        "channel": row["channel"] or None,
        "purpose": row["purpose"] or None,
        "status": row["status"],
        "at": row["at"],
        "received_at": row["received_at"],
        "source": row["source"],
        "wording": row["wording"] or None,
        "wording_known": row["known"],
        "proof": row["proof"] or None,
        "reason": row["reason"] or None,
    }


def wording(row: Row) -> dict[str, Any]:
    return {
        "id": row["wording_id"],
        "version": row["version"],
        "reference": f"{row['wording_id']}@{row['version']}",
        "language": row["language"],
        "purpose": row["purpose"],
        "channels": row["channels"],
        "text": row["text"],
        "valid_from": row["valid_from"],
        "actor": row["actor"],
        "created_at": row["created_at"],
    }


def unknown_wording(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("wording", "statements", "first_at", "last_at")}


def _today(defined: Definitions) -> Moment:
    return Moment(defined.day_of(clock.now_ms()), defined)
