"""How do events change what a customer agreed to, and who sees what of it?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from libs.common.clock import from_ms
from libs.common.events import CHANNELS_OF_CONTACT, Consent
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.consents.duties import RECONFIRM, days_owed, place_of, renewed_ms
from services.profile.person.consents.held import Consents, take, union
from services.profile.person.consents.speech import EVERY, PENDING, READERS, key_of, statements
from services.profile.person.consents.standing import (
    LAST_DAY,
    Standing,
    is_granted,
    keys_of,
    refusal,
    standing_of,
    standings,
)
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import written
from services.profile.person.occurrence import Occurrence

if TYPE_CHECKING:
    from services.profile.person.state import Customer

_LONG_AGO_MS: Final = 0
"""The date of what is no statement of the person's and so must undo none that they made elsewhere."""


def _heard(held: Consents, event: Occurrence, definitions: Definitions) -> bool:
    terms = definitions.consents
    return any([take(held, said, terms) for said in statements(event, definitions)])


def all_consents(records: Records, at: Moment) -> dict[str, Standing]:
    """By channel for marketing, `<channel>:<purpose>` for all else."""
    held = union(records, at.definitions.consents)
    return standings(held, at) if held is not None else {}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    """A name in which two purposes fall together says yes where both do."""
    held = union(records, at.definitions.consents)
    if held is None:
        return {}
    seen: dict[str, Any] = {}
    waiting = False
    for key in keys_of(held):
        slot = held.slots.get(key)
        if slot is None or slot.asked:
            if (standing := standing_of(held, key, at)) is None:
                continue
            granted, waiting = standing.granted, waiting or standing.status == PENDING
        else:
            granted = is_granted(held, key, slot, at)
        name = field_of(key)
        seen[name] = granted and seen.get(name, True)
    seen["consent_pending"] = waiting
    seen["consent_reconfirm_due"] = seen["consent_duty_overdue"] = False
    for duty, from_day, due_day in days_owed(held, place_of(records, at.definitions), at):
        seen[f"consent_{duty}_due_on"] = written(due_day)
        seen["consent_duty_overdue"] |= at.day > due_day
        seen["consent_reconfirm_due"] |= duty == RECONFIRM and at.day >= from_day
    return seen


@lru_cache(maxsize=1024)
def field_of(key: str) -> str:
    return "consent_" + key.replace(":", "_").replace("-", "_").replace(".", "_")


def _due(records: Records, at: Moment) -> int | None:
    held = union(records, at.definitions.consents)
    if held is None:
        return None
    days: list[int] = []
    for duty, from_day, due_day in days_owed(held, place_of(records, at.definitions), at):
        days += (from_day, due_day + 1) if duty == RECONFIRM else (due_day + 1,)
    if any(slot.asked for slot in held.slots.values()):
        found = standings(held, at).values()
        days += [each.expires_day + 1 for each in found if each.expires_day is not None]
    return min((day for day in days if at.day < day <= LAST_DAY), default=None)


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    return {key: described(standing) for key, standing in all_consents(records, at).items()}


def described(standing: Standing) -> dict[str, Any]:
    said, confirmed, expires = standing.said, standing.confirmed, standing.expires_day
    return {
        "granted": standing.granted,
        "status": standing.status,
        "at": from_ms(said.at_ms),
        "source": said.source,
        "wording": said.wording or None,
        "proof": said.proof or None,
        "confirmed_at": from_ms(confirmed.at_ms) if confirmed is not None else None,
        "expires_on": date.fromordinal(expires) if expires is not None else None,
    }


def delivered(customer: Customer, at: Moment) -> Mapping[str, Consent]:
    """What one record says, so that the newest statement of a person's records is what the person says.

    What counts has the date of the consent, a refusal that of the refusal; a request that waits is neither, and undoes
    nothing. Where there are other records, a refusal speaks of all that falls with it, and a confirmation of what it
    confirms: they may hold a consent to that.
    """
    held = customer.consents
    if held is None:
        return {}
    found = standings(held, at)
    told = {key: _delivered(standing, renewed_ms(held, key, standing.said)) for key, standing in found.items()}
    if customer.linked:
        _spread(told, held, at)
        _confirm(told, held)
    return dict(sorted(told.items()))


def _delivered(standing: Standing, again_ms: int | None) -> Consent:
    if standing.granted:
        again = from_ms(again_ms) if again_ms is not None else None
        return Consent(True, from_ms(standing.said.at_ms), standing.said.source, again)
    refused = standing.no_ms is not None and standing.no_ms >= standing.said.at_ms
    at_ms = standing.no_ms if standing.no_ms is not None else _LONG_AGO_MS
    return Consent(False, from_ms(at_ms), standing.said.source if refused else "")


def _spread(told: dict[str, Consent], held: Consents, at: Moment) -> None:
    """A refusal as it binds what only another record may know of: night by its name, everything else under `*`."""
    beside = [name for name, purpose in at.definitions.consents.purposes.items() if purpose.needs_marketing]
    for channel in CHANNELS_OF_CONTACT:
        for purpose in (*beside, EVERY):
            key = key_of(channel, purpose)
            no = refusal(held, key, at.definitions) if key not in told else None
            if no is not None:
                told[key] = Consent(False, from_ms(no.at_ms), no.source)


def _confirm(told: dict[str, Consent], held: Consents) -> None:
    """A confirmation where this record has no consent: it is told beside a refusal, or one that undoes nothing."""
    for key, at_ms in held.reconfirmed.items():
        said = told.get(key) or Consent(False, from_ms(_LONG_AGO_MS))
        if not said.granted:
            told[key] = structs.replace(said, renewed_at=from_ms(at_ms))


CONSENTS = Chapter(
    "consents",
    reads=("consents", "traits"),
    keeps="consents",
    state=Consents,
    effects=dict.fromkeys(READERS, _heard),
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=lambda name: name.startswith("consent_"),
)
