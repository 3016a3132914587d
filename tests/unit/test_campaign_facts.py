"""Is the newest thing that a person said the one that counts, on whichever record they said it?"""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from libs.common.errors import Poison
from libs.common.events import Consent, ProfileUpdated
from services.campaign.facts import facts_of, person_of, record_of
from services.campaign.law.places import Whereabouts
from tests.campaign_situations import NOON, profile, record, trigger

HOUR = timedelta(hours=1)


def test_the_copy_of_a_profile_holds_no_address() -> None:
    kept = record_of(ProfileUpdated("c1", "p1", 7, contacts={"email": "kim@example.com", "phone": "+821012345678"}))
    assert kept.standing.points == ["email", "phone"]
    assert b"example.com" not in msgspec.json.encode(kept) and b"+82" not in msgspec.json.encode(kept)


def test_a_consent_that_the_triggering_event_itself_gave_counts() -> None:
    copy = record(version=3, consents={})
    fired = trigger(profile=profile(version=4, consent_sms=True, has_phone=True))
    assert facts_of(fired, {"c1": copy})[0].consents == {"sms": True}


def test_a_withdrawal_that_came_after_the_trigger_counts() -> None:
    copy = record(version=5, consents={"sms": Consent(False, NOON + HOUR)})
    fired = trigger(profile=profile(version=4, consent_sms=True, has_phone=True))
    assert facts_of(fired, {"c1": copy})[0].consents == {"sms": False}


def test_a_customer_of_whom_there_is_no_copy_yet_is_known_by_the_trigger() -> None:
    fired = trigger(profile=profile(version=1, consent_email=True, has_email=True, zone="Asia/Seoul"))
    known, ids = facts_of(fired, {})
    assert known.consents == {"email": True}
    assert known.points == {"email"} and known.zone == "Asia/Seoul"
    assert ids == ["c1"]


def test_a_customer_of_whom_nothing_is_known_consents_to_nothing() -> None:
    known, _ = facts_of(trigger(), {})
    assert not known.consents and not known.points


@pytest.mark.parametrize(("first", "second"), [("c1", "c2"), ("c2", "c1")])
def test_over_linked_records_the_newest_statement_wins(first: str, second: str) -> None:
    records = {
        first: record(linked=["c1", "c2"], consents={"sms": Consent(True, NOON - HOUR)}),
        second: record(linked=["c1", "c2"], consents={"sms": Consent(False, NOON)}),
    }
    assert facts_of(trigger(), records)[0].consents == {"sms": False}


def test_of_two_statements_of_one_moment_the_refusal_counts() -> None:
    records = {
        "c1": record(linked=["c1", "c2"], consents={"sms": Consent(True, NOON)}),
        "c2": record(linked=["c1", "c2"], consents={"sms": Consent(False, NOON)}),
    }
    assert facts_of(trigger(), records)[0].consents == {"sms": False}


def test_a_statement_that_the_trigger_merely_repeats_stays_as_old_as_it_was() -> None:
    records = {
        "c1": record(version=1, consents={"sms": Consent(True, NOON - 10 * HOUR)}),
        "c2": record(consents={"sms": Consent(False, NOON - HOUR)}),
    }
    fired = trigger(linked=["c1", "c2"], profile=profile(version=2, consent_sms=True, has_phone=True))
    assert facts_of(fired, records)[0].consents == {"sms": False}


def test_what_forbids_contact_on_one_record_forbids_it_for_the_person() -> None:
    records = {"c1": record(linked=["c1", "c2"]), "c2": record(suppressed=["open_complaint"])}
    assert facts_of(trigger(), records)[0].suppressed == {"open_complaint"}


def test_a_newer_snapshot_opens_and_closes_a_complaint_and_lifts_nothing_else() -> None:
    copy = record(version=3, suppressed=["bounced:email", "open_complaint"])
    closed = trigger(profile=profile(version=4, has_phone=True, open_complaint=False))
    assert facts_of(closed, {"c1": copy})[0].suppressed == {"bounced:email"}
    opened = trigger(profile=profile(version=4, has_phone=True, open_complaint=True))
    assert facts_of(opened, {"c1": record(version=3)})[0].suppressed == {"open_complaint"}


def test_a_person_is_reached_at_the_contact_points_of_all_records() -> None:
    records = {"c1": record(linked=["c1", "c2"], points=["email"]), "c2": record(points=["phone"])}
    assert facts_of(trigger(), records)[0].points == {"email", "phone"}


def test_after_an_unmerge_the_newer_copy_says_who_belongs_together() -> None:
    fired = trigger(linked=["c1", "c2"], profile=profile(version=1))
    assert facts_of(fired, {"c1": record(version=2, linked=[])})[1] == ["c1"]
    assert facts_of(fired, {})[1] == ["c1", "c2"]


def test_whoever_says_which_records_belong_together_says_whose_they_are() -> None:
    fired = trigger(linked=["c1", "c2"], person_id="c2", profile=profile(version=1))
    assert person_of(fired, {"c1": record(version=2, linked=[], person_id="c1")}) == "c1"
    assert person_of(fired, {"c1": record(version=0, linked=[], person_id="c1")}) == "c2"
    assert person_of(fired, {"c1": record(version=2)}) == "c2", "a copy from before people had an id in it"
    assert person_of(fired, {}) == "c2"


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"{", b"null"])
def test_a_profile_that_is_no_object_is_poison(raw: bytes) -> None:
    with pytest.raises(Poison, match="trigger-c1-1"):
        facts_of(trigger(profile=msgspec.Raw(raw)), {})


def test_values_of_a_wrong_kind_in_a_profile_say_nothing() -> None:
    odd = profile(version="7", consent_sms=True)
    assert not facts_of(trigger(profile=odd), {})[0].consents
    yes = profile(version=2, consent_sms="yes", has_phone=1, zone=9, open_complaint="no")
    known, _ = facts_of(trigger(profile=yes), {})
    assert not known.consents and not known.points and known.zone is None


def test_that_one_address_is_dead_does_not_forbid_the_living_one_of_another_record() -> None:
    dead = record(linked=["c1", "c2"], points=["email", "phone"], suppressed=["bounced:email", "wrong:phone"])
    alive = record(points=["email"])
    assert facts_of(trigger(), {"c1": dead, "c2": alive})[0].suppressed == {"wrong:phone"}
    other = record(points=["email"], suppressed=["wrong:email"])
    assert facts_of(trigger(), {"c1": dead, "c2": other})[0].suppressed == {
        "bounced:email",
        "wrong:email",
        "wrong:phone",
    }


def test_where_somebody_is_follows_from_what_they_named_and_their_number_and_only_the_country_is_kept() -> None:
    told = ProfileUpdated(
        "c1", "p1", 7, {"phone": "+821012345678"}, zone="Asia/Tokyo", attributes={"country": "us", "region": "TX"}
    )
    known, _ = facts_of(trigger(), {"c1": record_of(told)})
    assert known.whereabouts == Whereabouts("US", "TX", "KR", "Asia/Tokyo")
    newer = trigger(profile=profile(version=8, country="DE", zone="Europe/Berlin"))
    assert facts_of(newer, {"c1": record_of(told)})[0].whereabouts == Whereabouts("DE", "", "KR", "Europe/Berlin")
    nonsense = ProfileUpdated("c1", "p1", 7, {"phone": "no"}, attributes={"country": "Korea", "region": 7})
    assert facts_of(trigger(), {"c1": record_of(nonsense)})[0].whereabouts == Whereabouts()


def test_of_linked_records_country_and_region_are_those_that_one_of_them_says_together() -> None:
    records = {
        "c1": record(linked=["c1", "c2"], region="FL", zone=None),
        "c2": record(linked=["c1", "c2"], country="KR", region="11", zone="Asia/Seoul"),
    }
    assert facts_of(trigger(), records)[0].whereabouts == Whereabouts("KR", "11", "", "Asia/Seoul")


def test_a_consent_to_nights_outlives_a_newer_profile_in_the_trigger_which_cannot_speak_of_it() -> None:
    night = Consent(True, NOON - 30 * 24 * HOUR)
    copy = record(version=3, consents={"sms": night, "sms:night": night})
    fired = trigger(profile=profile(version=4, consent_sms=True, has_phone=True))
    assert facts_of(fired, {"c1": copy})[0].said == {"sms": night, "sms:night": night}
