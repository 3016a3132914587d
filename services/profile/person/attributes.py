"""What may a message say of a customer? What was said of them, and what follows where more is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.profile.person.chapter import Moment
from services.profile.person.life_stage import LIFE_STAGE

if TYPE_CHECKING:
    from services.profile.person.state import Customer


def attributes_of(customer: Customer, at: Moment) -> dict[str, Any]:
    """By name; a stage of life is the one that is believed, not the one that a source gives as a trait."""
    traits = customer.traits.held if customer.traits is not None else {}
    found = {name: trait.value for name, trait in traits.items() if not LIFE_STAGE.reserved(name)}
    return dict(sorted((found | LIFE_STAGE.fields([customer], at)).items()))
