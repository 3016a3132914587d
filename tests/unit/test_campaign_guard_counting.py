"""As of when does each contact count, and how many messages does it take to say so?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.common.documents.limits import CONTACTS
from services.campaign.guard import counting
from services.campaign.guard.counting import Noted
from services.campaign.guard.store import Cause, Made

NOON = datetime(2026, 11, 16, 3, tzinfo=UTC)
SPRING, AUTUMN = Cause("spring", 1, "visit", 1), Cause("autumn", 2, "visit", 1)


def made(cause: Cause, seconds: float) -> Made:
    return Made(cause, NOON + timedelta(seconds=seconds))


def test_a_contact_counts_as_of_when_it_came_about() -> None:
    assert counting.of_contacts([made(SPRING, 0.25), made(SPRING, -7_200)]) == {
        Noted(SPRING, NOON + timedelta(seconds=0.25), CONTACTS): 1,
        Noted(SPRING, NOON - timedelta(hours=2), CONTACTS): 1,
    }


def test_the_contacts_of_a_second_are_one_message_and_none_is_lost() -> None:
    crowd = [made(SPRING, place / 500) for place in range(1_000)] + [made(AUTUMN, 0.5)]
    tally = counting.of_contacts(crowd)
    assert tally == {
        Noted(SPRING, NOON + timedelta(seconds=0.998), CONTACTS): 500,
        Noted(SPRING, NOON + timedelta(seconds=1.998), CONTACTS): 500,
        Noted(AUTUMN, NOON + timedelta(seconds=0.5), CONTACTS): 1,
    }
    assert sum(fact.counts[CONTACTS] for fact in counting.facts_of(tally)) == 1_001
