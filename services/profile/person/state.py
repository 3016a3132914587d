"""What is kept of one customer record? One attribute per chapter that keeps anything."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from services.profile.person.cases import Cases
from services.profile.person.consents import Consents
from services.profile.person.contacts import Contacts
from services.profile.person.deliverability import Deliverability
from services.profile.person.presence import Presence
from services.profile.person.purchases import Purchases
from services.profile.person.traits import Traits


class Customer(Struct, gc=False, omit_defaults=True):
    """The state of one record; `version` grows with every change, and what nothing is known of is None.

    `person_id`, `linked` and `links_revision` say which records are one person; they are not folded from events.
    `due_day` is the day (ordinal) for which a timer is set, 0 for none; what came about by the passing of time alone
    has been told up to `passed_day`. `refold_job` is the number of the last job that folded it again.
    Tens of thousands stand in the caches: what the collector need not look at does not hold up the others.
    """

    person_id: str
    version: int = 0
    linked: list[str] = []
    links_revision: int = 0
    due_day: int = 0
    passed_day: int = 0
    refold_job: int = 0
    presence: Presence | None = None
    traits: Traits | None = None
    contacts: Contacts | None = None
    consents: Consents | None = None
    deliverability: Deliverability | None = None
    cases: Cases | None = None
    purchases: Purchases | None = None


def join(customer: Customer, person_id: str, linked: Sequence[str], revision: int) -> bool:
    """Take notice of who belongs to the person; what is older than what is known, or the same, changes nothing."""
    kept = list(linked) if len(linked) > 1 else []
    if not person_id or revision < customer.links_revision:
        return False
    if revision == customer.links_revision and len(kept) <= len(customer.linked) and person_id == customer.person_id:
        return False
    changed = customer.person_id != person_id or customer.linked != kept
    customer.person_id, customer.linked, customer.links_revision = person_id, kept, revision
    customer.version += changed
    return changed
