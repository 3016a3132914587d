"""What changes in a person's view when other records belong to it than before?"""

from __future__ import annotations

from collections.abc import Mapping

from libs.common.events import Change
from services.profile import holding, person
from services.profile.cabinet import Cabinet
from services.profile.holding import Held, Membership
from services.profile.person import Moment


def regrouped(cabinet: Cabinet, held: Held, membership: Membership) -> dict[str, Change]:
    """Take notice of who belongs to the person. What it changes is told by the eldest record alone, so it is told once.

    After a person has fallen apart each part has an eldest record, and each tells its own.
    """
    before = held.customer.linked
    holding.join(held, membership, cabinet.definitions, cabinet.tx.now)
    customer = held.customer
    if customer.linked == before or customer.person_id != held.id:
        return {}
    at = Moment(held.day, cabinet.definitions)
    earlier = person.view([customer, *cabinet.others_among(before, held)], at)
    return person.differences(earlier, person.view([customer, *cabinet.others(held)], at))


def both(first: Mapping[str, Change], then: Mapping[str, Change]) -> dict[str, Change]:
    """What two changes, one after the other, come to."""
    merged = {**first, **then}
    for name in first.keys() & then.keys():
        merged[name] = Change(first[name].was, then[name].now)
    return {name: change for name, change in merged.items() if change.was != change.now}
