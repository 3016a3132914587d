"""Is consent what the customer last said, whatever order it came in, and is nothing ever read in favour of contact?"""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.clock import from_ms, to_ms
from libs.common.consents import newest_consents
from libs.common.events import CHANNELS_OF_CONTACT
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.consent_terms import ConsentTerms, Duties, Level
from services.profile.person.consents import Consents, all_consents, delivered
from services.profile.person.consents.duties import renewed_ms
from services.profile.person.consents.held import KEYS_MAX, REQUESTS_MAX, union
from services.profile.person.consents.speech import READERS
from services.profile.person.consents.standing import Standing

DAY_MS = 86_400_000
FIRST = date(2026, 3, 2).toordinal()
"""The day 0 of these tests."""

PLAIN = Definitions()
DOUBLE = Definitions(consents=ConsentTerms(double_opt_in={"email": date(2026, 1, 1)}, pending_days=7))


def ms(day: float) -> int:
    """An instant of a day in Seoul, which is nine hours ahead: noon for a whole number."""
    return to_ms(PLAIN.starts(FIRST)) + int((day + 0.5) * DAY_MS)


def said(kind: str, day: float, /, **data: Any) -> Occurrence:
    event_id = f"{kind}-{day}-{sorted(data.items(), key=repr)}"
    return Occurrence(kind, ms(day), "form", event_id, data, received_ms=ms(day))


def customer(*events: Occurrence, defined: Definitions = PLAIN) -> Customer:
    made = Customer("p")
    for event in events:
        person.apply(made, event, defined)
    return made


def at(day: int, defined: Definitions = PLAIN) -> Moment:
    return Moment(FIRST + day, defined)


def standings(*records: Customer, day: int = 0, defined: Definitions = PLAIN) -> dict[str, Standing]:
    return all_consents(records, at(day, defined))


def statuses(*records: Customer, day: int = 0, defined: Definitions = PLAIN) -> dict[str, str]:
    return {key: each.status for key, each in standings(*records, day=day, defined=defined).items()}


def granted(*records: Customer, day: int = 0, defined: Definitions = PLAIN) -> set[str]:
    return {key for key, each in standings(*records, day=day, defined=defined).items() if each.granted}


def view(*records: Customer, day: int = 0, defined: Definitions = PLAIN) -> dict[str, Any]:
    return person.view(records, at(day, defined))


# --- Purposes -------------------------------------------------------------------------------------------------------


def test_a_consent_is_of_its_channel_and_purpose_alone() -> None:
    held = customer(
        said("consent_given", 1, channel="sms"),
        said("consent_given", 1, channel="sms", purpose="night"),
        said("consent_given", 1, channel="email", purpose="provision:acme"),
    )
    assert granted(held) == {"sms", "sms:night", "email:provision:acme"}
    seen = view(held)
    assert (seen["consent_sms"], seen["consent_sms_night"], seen["consent_email_provision_acme"]) == (True, True, True)
    assert "consent_email" not in seen


def test_night_counts_only_beside_the_marketing_consent_of_its_channel() -> None:
    alone = customer(said("consent_given", 1, channel="sms", purpose="night"))
    assert statuses(alone) == {"sms:night": "granted"} and not granted(alone)
    assert view(alone)["consent_sms_night"] is False
    other = customer(
        said("consent_given", 1, channel="sms", purpose="night"), said("consent_given", 2, channel="email")
    )
    assert granted(other) == {"email"}


@pytest.mark.parametrize("named", [{}, {"channels": None}, {"channel": "pigeon"}, {"channels": []}])
@pytest.mark.parametrize("purpose", [{}, {"purpose": 7}, {"purpose": "Night!"}, {"purpose": ["night"]}])
def test_a_withdrawal_that_names_nothing_clear_withdraws_all_there_is(
    named: dict[str, Any], purpose: dict[str, Any]
) -> None:
    held = customer(
        said("consent_given", 1),
        said("consent_given", 1, purpose="night"),
        said("consent_given", 1, purpose="provision:acme"),
        said("consent_given", 1, purpose="profiling"),
        said("consent_withdrawn", 2, **named, **purpose),
    )
    assert not granted(held)
    assert len(statuses(held)) == 4 * len(CHANNELS_OF_CONTACT)


def test_whoever_withdraws_marketing_withdraws_night_and_provision_with_it_and_keeps_the_rest() -> None:
    purposes = ("marketing", "night", "provision:acme", "newsletter", "profiling")
    held = customer(
        *(said("consent_given", 1, channels=["sms", "email"], purpose=each) for each in purposes),
        said("consent_withdrawn", 2, channel="sms", purpose="marketing"),
    )
    assert {key for key in granted(held) if key.startswith("sms")} == {"sms:profiling"}
    assert len({key for key in granted(held) if key.startswith("email")}) == len(purposes)


def test_a_withdrawal_of_night_leaves_the_day() -> None:
    held = customer(
        said("consent_given", 1, channel="sms"),
        said("consent_given", 1, channel="sms", purpose="night"),
        said("consent_withdrawn", 2, channel="sms", purpose="night"),
    )
    assert granted(held) == {"sms"}


def test_what_is_refused_of_a_family_is_refused_to_every_partner() -> None:
    held = customer(
        said("consent_given", 1, channel="sms", purpose="provision:acme"),
        said("consent_refused", 2, channel="sms", purpose="provision"),
    )
    assert statuses(held) == {"sms:provision": "refused", "sms:provision:acme": "refused"}


@pytest.mark.parametrize("purpose", [5, "Night!", ["marketing"], "x" * 61, "*", {"a": 1}])
def test_a_purpose_that_nobody_understands_permits_nothing(purpose: object) -> None:
    assert not statuses(customer(said("consent_given", 1, channel="sms", purpose=purpose)))


@pytest.mark.parametrize("kind", ["message.unsubscribed", "message.complained"])
def test_whoever_leaves_a_list_withdraws_the_marketing_of_its_channel(kind: str) -> None:
    held = customer(
        said("consent_given", 1),
        said("consent_given", 1, purpose="night"),
        said("consent_given", 1, purpose="profiling"),
        said(kind, 2, channel="email"),
    )
    assert {"email", "email:night"}.isdisjoint(granted(held))
    assert {"sms", "sms:night", "email:profiling"} <= granted(held)
    assert not granted(customer(said("consent_given", 1), said(kind, 2, channel="letter")))


@pytest.mark.parametrize("traffic", ["bot", "test"])
def test_nobody_has_agreed_where_no_customer_is_behind_the_event(traffic: str) -> None:
    given_by_nobody = msgspec.structs.replace(said("consent_given", 1), traffic=traffic)
    assert not granted(customer(given_by_nobody))
    refused_by_whoever = msgspec.structs.replace(said("consent_withdrawn", 2), traffic=traffic)
    assert not granted(customer(said("consent_given", 1), refused_by_whoever))


# --- Time -----------------------------------------------------------------------------------------------------------


def test_of_two_statements_at_one_instant_the_withdrawal_counts() -> None:
    held = customer(said("consent_withdrawn", 1, channel="sms"), said("consent_given", 1, channel="sms"))
    assert not granted(held)


@given(st.floats(1, 400), st.floats(0, 400), st.sampled_from(["consent_given", "consent_confirmed"]), st.booleans())
def test_a_consent_dated_into_the_future_never_outlives_a_withdrawal(
    ahead: float, later: float, kind: str, turned: bool
) -> None:
    """Whatever the statement claims of its time: what was received before a withdrawal is over with it."""
    events = [
        said("consent_given", 1, channel="email", pending=kind == "consent_confirmed"),
        Occurrence(kind, ms(1 + ahead), "form", "x", {"channel": "email"}, received_ms=ms(1)),
        said("consent_withdrawn", 1 + later, channel="email"),
    ]
    held = customer(*(reversed(events) if turned else events))
    assert not granted(held, day=500)
    assert not granted(customer(*events[:1]), customer(*events[1:2]), customer(events[2]), day=500)


# --- Double opt-in --------------------------------------------------------------------------------------------------


def test_a_consent_by_a_channel_that_demands_it_waits_until_it_is_confirmed() -> None:
    asked = said("consent_given", 1, channels=["email", "sms"], token="t1")
    held = customer(asked, defined=DOUBLE)
    assert statuses(held, day=2, defined=DOUBLE) == {"email": "pending", "sms": "granted"}
    assert view(held, day=2, defined=DOUBLE)["consent_email"] is False
    assert view(held, day=2, defined=DOUBLE)["consent_pending"] is True
    person.apply(held, said("consent_confirmed", 3, channel="email", token="t1"), DOUBLE)
    assert statuses(held, day=3, defined=DOUBLE) == {"email": "granted", "sms": "granted"}


def test_before_the_day_from_which_it_is_demanded_a_consent_counts_by_itself() -> None:
    early = said("consent_given", -100, channel="email")
    assert granted(customer(early, defined=DOUBLE), defined=DOUBLE) == {"email"}


@pytest.mark.parametrize(
    ("asked", "confirmed", "counts"),
    [
        ({"token": "a"}, {"token": "a"}, True),
        ({"token": "a"}, {"token": "b"}, False),
        ({"token": "a"}, {}, False),
        ({"token": 7}, {"token": "7"}, True),
        ({}, {}, True),
        ({}, {"token": "a"}, True),
        ({"token": "a"}, {"token": "a", "channel": None}, True),
        ({}, {"token": "a", "channel": None}, False),
        ({}, {"channel": None}, False),
        ({"token": "a"}, {"token": "a", "channel": "sms"}, False),
        ({"token": "a"}, {"token": "a", "channel": "pigeon"}, False),
        ({"token": "a"}, {"token": "a", "purpose": "night"}, False),
        ({"token": "a"}, {"token": "a", "purpose": 5}, False),
        ({"token": "a", "pending": "who knows"}, {}, False),
    ],
)
def test_only_what_was_asked_for_is_confirmed(asked: dict[str, Any], confirmed: dict[str, Any], counts: bool) -> None:
    events = [
        said("consent_given", 1, **{"channel": "email", "pending": True, **asked}),
        said("consent_confirmed", 2, **{"channel": "email", **confirmed}),
    ]
    for order in (events, events[::-1]):
        assert (granted(customer(*order), day=3) == {"email"}) is counts


def test_one_confirmation_confirms_all_purposes_that_were_asked_for_with_its_token() -> None:
    held = customer(
        said("consent_given", 1, channel="sms", pending=True, token="t"),
        said("consent_given", 1, channel="sms", pending=True, token="t", purpose="night"),
        said("consent_confirmed", 2, channel="sms", token="t"),
    )
    assert granted(held, day=2) == {"sms", "sms:night"}


def test_a_request_that_nobody_confirms_in_time_expires_and_a_late_confirmation_is_none() -> None:
    held = customer(said("consent_given", 0, channel="email", token="t"), defined=DOUBLE)
    assert [statuses(held, day=day, defined=DOUBLE)["email"] for day in (7, 8)] == ["pending", "expired"]
    assert person.due([held], at(0, DOUBLE)) == FIRST + 8
    assert view(held, day=8, defined=DOUBLE)["consent_pending"] is False
    person.apply(held, said("consent_confirmed", 8, channel="email", token="t"), DOUBLE)
    assert statuses(held, day=8, defined=DOUBLE) == {"email": "expired"}
    person.apply(held, said("consent_confirmed", 7, channel="email", token="t"), DOUBLE)
    assert granted(held, day=8, defined=DOUBLE) == {"email"}


def test_a_withdrawal_between_a_request_and_its_confirmation_stands() -> None:
    events = [
        said("consent_given", 1, channel="email", pending=True, token="t"),
        said("consent_withdrawn", 2, channel="email"),
        said("consent_confirmed", 3, channel="email", token="t"),
    ]
    for order in (events, events[::-1], [events[1], events[0], events[2]]):
        assert statuses(customer(*order), day=3) == {"email": "withdrawn"}


def test_a_request_that_waits_takes_nothing_away_that_was_agreed_to_before() -> None:
    held = customer(said("consent_given", 1, channel="email"), said("consent_given", 2, channel="email", pending=True))
    assert granted(held, day=2) == {"email"}


# --- Order, merges, size --------------------------------------------------------------------------------------------

_PURPOSES = [None, "marketing", "night", "provision:acme", "newsletter", "profiling", 5]
_CHANNELS = [None, "email", "sms", "pigeon"]


@st.composite
def statements(draw: st.DrawFn) -> Occurrence:
    kind = draw(
        st.sampled_from(
            "consent_given consent_given consent_withdrawn consent_refused consent_confirmed consent_reconfirmed"
            " consent_notice_sent message.unsubscribed".split()
        )
    )
    data: dict[str, Any] = {
        "channel": draw(st.sampled_from(_CHANNELS)),
        "purpose": draw(st.sampled_from(_PURPOSES)),
        "token": draw(st.sampled_from([None, "a", "b"])),
    }
    if kind == "consent_given":
        data["pending"] = draw(st.booleans())
    day = draw(st.integers(0, 12))
    received = day + draw(st.sampled_from([0, 0, -3, 5]))
    source = draw(st.sampled_from(["form", "till"]))
    history = draw(st.booleans())
    return Occurrence(kind, ms(day), source, "e", data, received_ms=ms(received), history=history)


@settings(max_examples=400, deadline=None)
@given(st.lists(statements(), max_size=14), st.integers(0, 2**32), st.integers(0, 14), st.integers(0, 800))
def test_neither_order_nor_repeats_nor_merging_change_what_was_said(
    events: list[Occurrence], seed: int, cut: int, day: int
) -> None:
    """A person of two records stands as if one record had heard everything, in whatever order."""
    chance = random.Random(seed)
    whole = customer(*events, defined=DOUBLE)
    shuffled = chance.sample(events, len(events))
    again = customer(*shuffled, *shuffled[:cut], defined=DOUBLE)
    assert again.consents == whole.consents
    parts = [customer(*shuffled[:cut], defined=DOUBLE), customer(*shuffled[cut:], defined=DOUBLE)]
    for records in (parts, parts[::-1]):
        assert union(records, DOUBLE.consents) == whole.consents
        assert view(*records, day=day, defined=DOUBLE) | {"version": 0, "first_seen_at": 0} == view(
            whole, day=day, defined=DOUBLE
        ) | {"version": 0, "first_seen_at": 0}
        assert person.due(records, at(day, DOUBLE)) == person.due([whole], at(day, DOUBLE))


@settings(max_examples=300, deadline=None)
@given(st.lists(statements(), max_size=12), st.integers(0, 12), st.booleans())
def test_what_delivery_adds_up_over_records_permits_nothing_that_the_person_has_not(
    events: list[Occurrence], cut: int, linked: bool
) -> None:
    """Consumers keep the newest statement of all records by key, and a purpose ends with what ended all of them."""
    records = [customer(*events[:cut], defined=DOUBLE), customer(*events[cut:], defined=DOUBLE)]
    for each in records:
        each.linked = ["p", "q"]
    newest = newest_consents(delivered(each, at(12, DOUBLE)) for each in records)
    of_person = granted(*records, day=12, defined=DOUBLE)
    counting = {key for key, told in newest.items() if told.granted and not _overruled(key, told, newest)}
    assert counting <= of_person
    confirmed = {key for key, each in standings(*records, day=12, defined=DOUBLE).items() if each.confirmed}
    assert {key for key in of_person if ":" not in key} <= counting | confirmed
    held = union(records, DOUBLE.consents)
    for key in counting:
        assert held is not None
        again_ms = renewed_ms(held, key, standings(*records, day=12, defined=DOUBLE)[key].said)
        assert newest[key].renewed_at == (None if again_ms is None else from_ms(again_ms))


def _overruled(key: str, told: Any, newest: dict[str, Any]) -> bool:
    channel, _, purpose = key.partition(":")
    every = newest.get(f"{channel}:*") if purpose else None
    return every is not None and every.at >= told.at


def test_of_one_record_delivery_hears_exactly_what_counts() -> None:
    held = customer(
        said("consent_given", 1, channels=["sms", "email"]),
        said("consent_given", 2, channel="sms", purpose="night"),
        said("consent_given", 3, channel="call", pending=True),
        said("consent_given", 3, channel="push", purpose="night"),
        said("consent_withdrawn", 4, channel="email"),
    )
    told = person.for_delivery("p", held, at(5), PLAIN.starts(FIRST)).consents
    assert {key: each.granted for key, each in told.items()} == {
        "sms": True,
        "sms:night": True,
        "call": False,
        "email": False,
        "push:night": False,
    }
    assert [to_ms(told[key].at) for key in ("sms", "sms:night", "email")] == [ms(1), ms(2), ms(4)]


@pytest.mark.parametrize(
    ("named", "renewed"),
    [
        ({}, {"email", "sms", "sms:night"}),
        ({"channel": "sms"}, {"sms", "sms:night"}),
        ({"channel": "sms", "purpose": "marketing"}, {"sms"}),
        ({"channel": "sms", "purpose": "night"}, {"sms:night"}),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_delivery_hears_which_consents_were_confirmed_anew_and_when_by_whichever_record(
    named: dict[str, Any], renewed: set[str], elsewhere: bool
) -> None:
    one, two = customer(said("consent_given", 1)), customer(said("visit", 1))
    for channel in ("push", "call", "webhook"):
        person.apply(one, said("consent_withdrawn", 2, channel=channel), PLAIN)
    person.apply(one, said("consent_given", 1, channel="sms", purpose="night"), PLAIN)
    person.apply(two if elsewhere else one, said("consent_reconfirmed", 700, **named), PLAIN)
    if elsewhere:
        one.linked = two.linked = ["p", "q"]
    told = newest_consents(delivered(each, at(701)) for each in (one, two))
    assert {key for key, each in told.items() if each.granted} == {"email", "sms", "sms:night"}
    assert {key for key, each in told.items() if each.granted and each.renewed_at is not None} == renewed
    assert {to_ms(each.renewed_at) for each in told.values() if each.renewed_at is not None and each.granted} == {
        ms(700)
    }


def test_a_new_consent_and_a_withdrawal_leave_nothing_of_what_was_confirmed_before() -> None:
    held = customer(said("consent_given", 1, channel="sms"), said("consent_reconfirmed", 2, channel="sms"))
    assert delivered(held, at(3))["sms"].renewed_at is not None
    person.apply(held, said("consent_withdrawn", 3, channel="sms"), PLAIN)
    assert delivered(held, at(3))["sms"].renewed_at is None
    person.apply(held, said("consent_given", 4, channel="sms"), PLAIN)
    assert delivered(held, at(4))["sms"].renewed_at is None


def test_a_withdrawal_on_one_record_ends_the_night_that_another_agreed_to_also_after_a_new_consent() -> None:
    one = customer(said("consent_given", 1, channel="sms"), said("consent_given", 1, channel="sms", purpose="night"))
    two = customer(said("consent_withdrawn", 2, channel="sms"))
    one.linked = two.linked = ["p", "q"]
    person.apply(two, said("consent_given", 3, channel="sms"), PLAIN)
    assert granted(one, two, day=3) == {"sms"}
    at_two = delivered(two, at(3))
    assert at_two["sms"].granted and not at_two["sms:night"].granted
    assert at_two["sms:night"].at > delivered(one, at(3))["sms:night"].at


def test_what_a_source_makes_up_does_not_grow_a_profile_without_bounds() -> None:
    events = [said("consent_given", n, channel="sms", purpose=f"made_up_{n}") for n in range(300)]
    events += [said("consent_given", n, channel="sms", pending=True, token=str(n)) for n in range(100)]
    events += [said("consent_confirmed", n, channel="sms", token=str(n)) for n in range(100)]
    events += [said(kind, 1, purpose=f"p{n}") for n in range(300) for kind in ("consent_reconfirmed",)]
    events += [said("consent_given", 1, channel="sms", purpose="night")]
    held = customer(*events)
    assert isinstance(held.consents, Consents)
    assert len(held.consents.slots) == len(held.consents.reconfirmed) == KEYS_MAX
    assert len(held.consents.slots["sms"].asked) == len(held.consents.confirmed["sms"]) == REQUESTS_MAX
    assert "sms:night" in held.consents.slots, "a purpose that is defined is never crowded out"
    random.Random(1).shuffle(events)
    assert customer(*events).consents == held.consents
    halves = [customer(*events[:400]), customer(*events[400:])]
    assert union(halves, PLAIN.consents) == held.consents


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
WORDS = st.sampled_from("channel channels purpose pending token wording proof reason".split())


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*READERS, "identify"]),
    st.dictionaries(WORDS, ODD | st.sampled_from(["email", "night", ["sms"]]), max_size=5),
    st.dictionaries(st.sampled_from(["country", "zone"]), ODD, max_size=2),
)
def test_whatever_is_said_of_consent_can_be_kept_and_shown(
    kind: str, data: dict[str, Any], traits: dict[str, Any]
) -> None:
    held = customer(
        said("identify", 1, traits=traits), said("consent_given", 1, channel="email"), said(kind, 2, **data)
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(held), type=Customer) == held
    msgspec.json.encode([view(held, day=900), person.sections([held], at(900)), person.due([held], at(900))])
    assert len(msgspec.msgpack.encode(held.consents)) < 4_000


def test_a_consent_of_the_last_days_of_the_calendar_owes_nothing_and_hurts_nobody() -> None:
    far = to_ms(PLAIN.starts(date(9999, 12, 30).toordinal()))
    held = customer(Occurrence("consent_given", far, "form", "e", {"channel": "sms"}))
    assert "consent_reconfirm_due_on" not in person.view([held], Moment(date(9999, 12, 31).toordinal(), PLAIN))


# --- Levels ---------------------------------------------------------------------------------------------------------


def test_somebody_climbs_the_ladder_of_permission_rung_by_rung() -> None:
    bought = Occurrence("purchase", ms(1), "till", "p", {"amount": 5, "currency": "KRW"})
    rungs = [
        said("visit", 1),
        said("identify", 1, traits={"email": "a@example.com"}),
        said("consent_given", 2, channel="email"),
        bought,
        said("consent_given", 3, channel="sms"),
    ]
    names = [view(customer(*rungs[: n + 1]))["consent_level"] for n in range(len(rungs))]
    assert names == ["stranger", "acquaintance", "friend", "customer", "subscriber"]
    assert view(customer(*rungs))["consent_level_rank"] == 4
    assert view(customer(*rungs, said("consent_withdrawn", 4)))["consent_level"] == "acquaintance"


def test_a_rung_is_a_persons_and_not_a_records() -> None:
    one, two = customer(said("consent_given", 1, channel="email")), customer(said("consent_withdrawn", 2))
    assert (view(one)["consent_level"], view(one, two)["consent_level"]) == ("friend", "stranger")


def test_owners_define_the_ladder() -> None:
    ladder = Definitions(consents=ConsentTerms(levels=[Level("open", channels=2)]))
    one = customer(said("consent_given", 1, channel="email"))
    assert view(one, defined=ladder)["consent_level"] == ""
    both = customer(said("consent_given", 1, channels=["email", "sms"]))
    assert (view(both, defined=ladder)["consent_level"], view(both, defined=ladder)["consent_level_rank"]) == (
        "open",
        0,
    )


# --- Duties ---------------------------------------------------------------------------------------------------------


def on(day: int) -> str:
    return date.fromordinal(FIRST + day).isoformat()


@pytest.mark.parametrize("kind", ["consent_given", "consent_withdrawn", "consent_refused"])
def test_the_result_of_a_statement_is_owed_for_fourteen_days(kind: str) -> None:
    held = customer(said(kind, 0, channel="sms"))
    assert view(held)["consent_notice_due_on"] == on(14)
    assert [view(held, day=day)["consent_duty_overdue"] for day in (14, 15)] == [False, True]
    assert person.due([held], at(0)) == FIRST + 15
    person.apply(held, said("consent_notice_sent", 3, channel="sms"), PLAIN)
    assert "consent_notice_due_on" not in view(held, day=3)
    assert view(held, day=15)["consent_duty_overdue"] is False


def test_a_notice_settles_what_was_said_until_then_on_its_channels_and_no_more() -> None:
    held = customer(
        said("consent_given", 0, channels=["sms", "email"]),
        said("consent_notice_sent", 2, channel="sms"),
        said("consent_withdrawn", 5, channel="sms"),
    )
    assert view(held, day=5)["consent_notice_due_on"] == on(14)
    person.apply(held, said("consent_notice_sent", 6, channel="email"), PLAIN)
    assert view(held, day=6)["consent_notice_due_on"] == on(19)
    person.apply(held, said("consent_notice_sent", 7), PLAIN)
    assert "consent_notice_due_on" not in view(held, day=7)


def test_a_withdrawal_of_everything_is_answered_by_a_notice_that_speaks_of_marketing() -> None:
    held = customer(said("consent_withdrawn", 0, channel="sms"))
    person.apply(held, said("consent_notice_sent", 1, channel="sms", purpose="night"), PLAIN)
    assert view(held, day=1)["consent_notice_due_on"] == on(14)
    person.apply(held, said("consent_notice_sent", 2, channel="sms", purpose="marketing"), PLAIN)
    assert "consent_notice_due_on" not in view(held, day=2)


def test_an_older_statement_that_nobody_answered_is_owed_before_the_newer_one() -> None:
    held = customer(said("consent_given", 0, channel="sms"), said("consent_given", 9, channel="sms"))
    assert view(held, day=9)["consent_notice_due_on"] == on(14)


def test_what_is_loaded_as_history_was_answered_by_somebody_else_and_is_still_to_be_confirmed_anew() -> None:
    old = msgspec.structs.replace(said("consent_given", 0, channel="sms"), history=True)
    seen = view(customer(old))
    assert "consent_notice_due_on" not in seen
    assert seen["consent_reconfirm_due_on"] == "2028-03-01"


def test_a_request_is_answered_once_it_is_confirmed() -> None:
    held = customer(said("consent_given", 0, channel="email", token="t"), defined=DOUBLE)
    assert "consent_notice_due_on" not in view(held, defined=DOUBLE)
    person.apply(held, said("consent_confirmed", 5, channel="email", token="t"), DOUBLE)
    assert view(held, day=5, defined=DOUBLE)["consent_notice_due_on"] == on(19)


def test_every_two_years_before_the_same_day_of_the_calendar_it_is_time_to_confirm_anew() -> None:
    held = customer(said("consent_given", 0, channel="sms"), said("consent_notice_sent", 1))
    anniversary = date(2028, 3, 2).toordinal() - FIRST
    seen = view(held, day=1)
    assert (seen["consent_reconfirm_due_on"], seen["consent_reconfirm_due"]) == ("2028-03-01", False)
    assert person.due([held], at(1)) == FIRST + anniversary - 30
    assert [view(held, day=anniversary - days)["consent_reconfirm_due"] for days in (31, 30)] == [False, True]
    assert [view(held, day=anniversary - days)["consent_duty_overdue"] for days in (1, 0)] == [False, True]
    person.apply(held, said("consent_reconfirmed", anniversary - 20, channel="sms"), PLAIN)
    seen = view(held, day=anniversary)
    assert (seen["consent_reconfirm_due_on"], seen["consent_reconfirm_due"]) == ("2030-03-01", False)
    assert seen["consent_duty_overdue"] is False


@pytest.mark.parametrize(
    ("given_on", "again_on", "due_on"),
    [
        ("2024-02-29", None, "2026-02-27"),
        ("2024-02-29", "2026-02-20", "2028-02-28"),
        ("2020-05-10", None, "2022-05-09"),
        ("2020-05-10", "2022-05-20", "2024-05-09"),
        ("2020-05-10", "2023-04-01", "2024-05-09"),
        ("2020-05-10", "2023-06-01", "2026-05-09"),
        ("2020-05-10", "2020-06-01", "2022-05-09"),
        ("2020-05-10", "2019-06-01", "2022-05-09"),
        ("1971-01-01", "2026-01-01", "2028-12-31"),
    ],
)
def test_a_confirmation_settles_the_recurring_day_that_it_is_nearest_to(
    given_on: str, again_on: str | None, due_on: str
) -> None:
    def day(of: str) -> int:
        return date.fromisoformat(of).toordinal() - FIRST

    events = [said("consent_given", day(given_on), channel="sms")]
    if again_on is not None:
        events.append(said("consent_reconfirmed", day(again_on)))
    assert view(customer(*events))["consent_reconfirm_due_on"] == due_on


def test_nothing_is_to_be_confirmed_anew_that_was_withdrawn_or_is_no_advertising() -> None:
    held = customer(
        said("consent_given", 0, channel="sms"),
        said("consent_withdrawn", 1),
        said("consent_given", 2, channel="email", purpose="profiling"),
    )
    assert "consent_reconfirm_due_on" not in view(held, day=2)


@pytest.mark.parametrize(
    ("traits", "owes"),
    [
        ({}, True),
        ({"country": "KR"}, True),
        ({"country": "DE"}, False),
        ({"country": "US", "zone": "Asia/Seoul"}, False),
        ({"zone": "Europe/Berlin"}, False),
        ({"zone": "Asia/Seoul"}, True),
        ({"country": "XX"}, True),
        ({"country": ["DE"]}, True),
    ],
)
def test_what_is_owed_follows_from_where_somebody_lives(traits: dict[str, Any], owes: bool) -> None:
    held = customer(said("consent_given", 0, channel="sms"), said("identify", 0, traits=traits))
    assert ("consent_notice_due_on" in view(held)) is owes
    split = [customer(said("consent_given", 0, channel="sms")), customer(said("identify", 0, traits=traits))]
    assert ("consent_notice_due_on" in view(*split)) is owes


def test_owners_define_what_is_owed() -> None:
    strict = Definitions(consents=ConsentTerms(duties={"KR": Duties(notice_days=3)}))
    seen = view(customer(said("consent_given", 0, channel="sms"), defined=strict), defined=strict)
    assert seen["consent_notice_due_on"] == on(3) and "consent_reconfirm_due_on" not in seen
