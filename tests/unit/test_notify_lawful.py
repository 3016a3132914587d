"""Does delivery deny what has become unlawful since it was decided, by what campaign told it of the law?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.common.consents import newest_consents
from libs.common.events import Conditions, Consent, LawfulHours, ProfileUpdated
from services.campaign.law.document import shipped_table
from services.campaign.law.places import Whereabouts
from services.campaign.policy import conditions, evaluate
from services.notify.permission import End, Request, Send, Verdict, Wait, judge, person_of
from tests.campaign_situations import COMPANY, campaign, facts, situation
from tests.oracles import policy as apart

EIGHT = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
"""Eight in the morning in Seoul, of a Monday."""

NIGHT = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
WHOLE_DAYS = [[480, 1260]] * 7
YES = Consent(True, NIGHT - timedelta(days=30))


def verdict(now: datetime, consents: dict[str, Consent], **changes: Any) -> Verdict:
    asked = Conditions(now + timedelta(days=3), ["sms"], **changes)
    record = ProfileUpdated("c", "p", 1, {"phone": "+8210"}, consents)
    request = Request("sms", "marketing", asked, now - timedelta(minutes=5))
    return judge(request, person_of([record]), (), now, now, 30.0)


def test_what_waited_into_the_night_waits_for_the_morning() -> None:
    lawful = [LawfulHours(["Asia/Seoul"], WHOLE_DAYS)]
    assert verdict(NIGHT, {"sms": YES}, lawful=lawful) == Wait(EIGHT, "outside the lawful hours")
    assert verdict(EIGHT, {"sms": YES}, lawful=lawful) == Send("+8210")
    assert isinstance(verdict(EIGHT - timedelta(seconds=1), {"sms": YES}, lawful=lawful), Wait)


def test_a_consent_to_nights_counts_only_while_it_stands_beside_that_of_its_channel() -> None:
    lawful = [LawfulHours(["Asia/Seoul"], WHOLE_DAYS, {}, "sms:night", 24)]

    def said(**more: Consent) -> dict[str, Consent]:
        return {"sms": YES, "sms:night": YES, **{name.replace("_", ":"): each for name, each in more.items()}}

    assert verdict(NIGHT, said(), lawful=lawful) == Send("+8210")
    refused = said(sms_night=Consent(False, NIGHT))
    assert isinstance(verdict(NIGHT, refused, lawful=lawful), Wait)
    overruled = {**said(), "sms:*": Consent(False, NIGHT)}
    assert isinstance(verdict(NIGHT, overruled, lawful=lawful), Wait)
    old = said(sms_night=Consent(True, datetime(2024, 11, 22, 1, tzinfo=UTC)))
    assert isinstance(verdict(NIGHT, old, lawful=lawful), Wait)
    withdrawn = said(sms=Consent(False, NIGHT))
    assert verdict(NIGHT, withdrawn, lawful=lawful) == End("DROPPED", "no_consent:sms")


def test_a_consent_that_grew_too_old_while_the_message_waited_is_none() -> None:
    month = {"consent_months": {"sms": 24}, "consent_zones": ["Asia/Seoul"]}
    given = datetime(2024, 11, 22, 14, 30, tzinfo=UTC)
    the_day_before = datetime(2026, 11, 21, 14, 59, tzinfo=UTC)
    assert verdict(the_day_before, {"sms": Consent(True, given)}, **month) == Send("+8210")
    on_the_day = the_day_before + timedelta(minutes=1)
    assert verdict(on_the_day, {"sms": Consent(True, given)}, **month) == End("DROPPED", "consent_lapsed:sms")


def test_a_consent_that_was_confirmed_anew_counts_on_and_by_whichever_record_that_is_told() -> None:
    month: dict[str, Any] = {"consent_months": {"sms": 24}, "consent_zones": ["Asia/Seoul"]}
    given, again = datetime(2024, 11, 22, 3, tzinfo=UTC), datetime(2026, 11, 2, 3, tzinfo=UTC)
    now, lapsed = datetime(2026, 11, 23, 3, tzinfo=UTC), End("DROPPED", "consent_lapsed:sms")
    assert verdict(now, {"sms": Consent(True, given, renewed_at=again)}, **month) == Send("+8210")
    at_last = datetime(2028, 11, 21, 15, tzinfo=UTC)
    assert verdict(at_last, {"sms": Consent(True, given, renewed_at=again)}, **month) == lapsed
    for key in ("sms", "sms:*"):
        elsewhere = {key: Consent(False, datetime(1970, 1, 1, tzinfo=UTC), renewed_at=again)}
        both = [
            ProfileUpdated(id, "p", 1, {"phone": "+8210"}, said)
            for id, said in (("c", {"sms": Consent(True, given)}), ("d", elsewhere))
        ]
        for records in (both, both[::-1]):
            asked = Request("sms", "marketing", Conditions(now + timedelta(days=3), ["sms"], **month), now)
            assert judge(asked, person_of(records), (), now, now, 30.0) == Send("+8210")


def test_a_law_that_cannot_be_read_here_lets_nothing_through() -> None:
    for hours in (
        LawfulHours(["Nowhere/Land"], WHOLE_DAYS),
        LawfulHours([], WHOLE_DAYS),
        LawfulHours(["Asia/Seoul"], [[]] * 7),
        LawfulHours(["Asia/Seoul"], WHOLE_DAYS[:6]),
    ):
        assert verdict(EIGHT, {"sms": YES}, lawful=[hours]) == End("DROPPED", "no_lawful_time")
    unknown = {"consent_months": {"sms": 24}, "consent_zones": ["Nowhere/Land"]}
    assert verdict(EIGHT, {"sms": YES}, **unknown) == End("DROPPED", "consent_lapsed:sms")


def test_days_with_hours_of_their_own_and_two_laws_at_once() -> None:
    holiday = LawfulHours(["Asia/Seoul"], WHOLE_DAYS, {"2026-11-23": [600, 720]})
    ten = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
    assert verdict(EIGHT, {"sms": YES}, lawful=[holiday]) == Wait(ten, "outside the lawful hours")
    from_eleven = LawfulHours(["Asia/Seoul"], [[660, 1260]] * 7)
    eleven = ten + timedelta(hours=1)
    assert verdict(EIGHT, {"sms": YES}, lawful=[holiday, from_eleven]) == Wait(eleven, "outside the lawful hours")


@pytest.mark.parametrize("seed", range(3))
def test_what_campaign_lets_pass_delivery_lets_pass_at_that_hour_and_at_another_the_law_alone_decides(
    seed: int,
) -> None:
    """The two services read one table: campaign by its rows, notify by the conditions that came of them."""
    oracle, law = apart.Oracle(apart.SHIPPED), msgspec.structs.replace(COMPANY, law=shipped_table())
    asked = 0
    for case in apart.cases(5_000 + seed, 1_500):
        if case.class_ != "marketing" or case.channel == "push":
            continue
        said = {key: Consent(yes, at, renewed_at=case.renewed.get(key)) for key, (yes, at) in case.said.items()}
        known = facts(
            said=newest_consents([said]),
            consents={case.channel: case.said.get(case.channel, (False,))[0]},
            whereabouts=Whereabouts(case.country, case.region, apart.NUMBERS[case.phone], case.zone),
        )
        one = campaign(channel=case.channel)
        now = situation(company=law, campaign=one, facts=known, occurred_at=case.at, now=case.at)
        if evaluate(now).outcome != "contact":
            continue
        held = conditions(now)
        for hours in (0, 7, 13):
            case.at = now.now + timedelta(hours=hours)
            record = ProfileUpdated("c", "p", 1, {"email": "e", "phone": "p", "webhook": "w"}, said)
            found = judge(
                Request(case.channel, "marketing", held, now.now), person_of([record]), (), case.at, case.at, 30.0
            )
            kind = {"lawful": "Send", "later": "Wait", "forbidden": "End"}[oracle.told(case).verdict]
            assert type(found).__name__ == kind, (case, found)
            asked += 1
    assert asked > 300
