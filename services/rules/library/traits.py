"""Which traits does a company have to deliver for some of the library's triggers, and what has to stand in them?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TRAITS: Final[Mapping[str, str]] = {
    "card_expires_on": "the day on which the payment card ends, such as 2027-08-31",
    "celebrates_on": "a day of which month and day are the birthday's, in any year, such as 2000-06-15: the date of"
    " birth itself is kept from rules",
    "child_starts_school_on": "the first day at school of the next child to go there",
    "job_level": "the position at work: staff, senior, manager, director or executive",
    "married_on": "the day of the wedding",
    "retires_on": "the day on which the customer retires",
    "wish_list": 'the codes of the products that the customer has put on a list, such as ["tea-12", "mug"]',
}
"""By name, as an `identify` tells them. All else that the triggers look at follows from events by itself."""
