"""What is kept of one customer record? One attribute per chapter that keeps anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from services.profile.person.care import Care
from services.profile.person.cases import Cases
from services.profile.person.consents import Consents
from services.profile.person.contacts import Contacts
from services.profile.person.deliverability import Deliverability
from services.profile.person.enriched import Enriched
from services.profile.person.erased import Erased
from services.profile.person.holdings import Holdings
from services.profile.person.life_stage import LifeStage
from services.profile.person.notes import Notes
from services.profile.person.papers import Papers
from services.profile.person.points import Points
from services.profile.person.presence import Presence
from services.profile.person.purchases import Purchases
from services.profile.person.quality import Quality
from services.profile.person.relations import Relations
from services.profile.person.responses import Responses
from services.profile.person.restrictions import Restrictions
from services.profile.person.surveys import Surveys
from services.profile.person.traits import Traits

FORM: Final = 1
"""The number of the shape of `Customer`, and of all that is within it; it stands beside each state that is written.

Raise it whenever a state that was written before would be read wrongly or not at all: another field, type, order or
default, and also another meaning of the same, such as of packed bytes. States of other numbers are folded anew.
What no event says (`services/profile/restoring.py`) must stay readable; `Points` lie in their ledger as well.
"""


class Customer(Struct, gc=False, omit_defaults=True):
    """The state of one record; `version` grows with every change, and what nothing is known of is None.

    `person_id`, `linked` and `links_revision` say which records are one person; they are not folded from events.
    `due_day` is the day (ordinal) for which a timer is set, 0 for none, and `dues` what is due by chapter; what came
    about by the passing of time alone has been told up to `passed_day`. `refold_job` is the number of the last job that
    folded it again. `filed` tells by checksums which branch and which row stand in the report on quality, `portrayed`
    of which traits and contact points there is a portrait. One that is `erased` stays empty for good.
    Tens of thousands stand in the caches: what the collector need not look at does not hold up the others.
    """

    person_id: str
    version: int = 0
    linked: list[str] = []
    links_revision: int = 0
    due_day: int = 0
    dues: dict[str, int] = {}
    passed_day: int = 0
    refold_job: int = 0
    filed: tuple[int, int] = (0, 0)
    portrayed: tuple[int, int] = (0, 0)
    erased: bool = False
    presence: Presence | None = None
    traits: Traits | None = None
    contacts: Contacts | None = None
    consents: Consents | None = None
    deliverability: Deliverability | None = None
    cases: Cases | None = None
    purchases: Purchases | None = None
    points: Points | None = None
    care: Care | None = None
    enriched: Enriched | None = None
    relations: Relations | None = None
    holdings: Holdings | None = None
    papers: Papers | None = None
    surveys: Surveys | None = None
    notes: Notes | None = None
    restrictions: Restrictions | None = None
    quality: Quality | None = None
    life_stage: LifeStage | None = None
    responses: Responses | None = None
    erased_before: Erased | None = None


def join(customer: Customer, person_id: str, linked: Sequence[str], revision: int) -> bool:
    """Take notice of who belongs to the person: the higher revision is true, however short its list; else nothing.

    Without a revision, as events were identified before there was one, a person only grows.
    """
    kept = list(linked) if len(linked) > 1 else []
    if not person_id or revision < customer.links_revision or revision == customer.links_revision > 0:
        return False
    if revision == 0 and len(kept) <= len(customer.linked) and person_id == customer.person_id:
        return False
    changed = customer.person_id != person_id or customer.linked != kept
    customer.person_id, customer.linked, customer.links_revision = person_id, kept, revision
    customer.version += changed
    return changed
