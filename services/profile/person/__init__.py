"""The person: what is known of a customer, how events change it, and how it looks to whom."""

from services.profile.person.chapter import Chapter, Moment
from services.profile.person.definitions import Definitions
from services.profile.person.folding import (
    EVERYTHING,
    apply,
    computed,
    differences,
    due,
    dues,
    for_delivery,
    has_effect,
    sections,
    suppressed,
    view,
)
from services.profile.person.occurrence import Occurrence
from services.profile.person.private import PRIVATE, without_contact_data
from services.profile.person.state import Customer, join

__all__ = [
    "EVERYTHING",
    "PRIVATE",
    "Chapter",
    "Customer",
    "Definitions",
    "Moment",
    "Occurrence",
    "apply",
    "computed",
    "differences",
    "due",
    "dues",
    "for_delivery",
    "has_effect",
    "join",
    "sections",
    "suppressed",
    "view",
    "without_contact_data",
]
