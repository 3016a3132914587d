"""Is it said rightly of two records whether they are one person, and is nobody merged whom a slip cannot explain?"""

from __future__ import annotations

from collections import Counter
from math import log2
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.duplicates.blocking import candidate_pairs, keys_of, keys_to_follow, ranked
from services.profile.duplicates.comparing import FIELDS, LEVELS, compare, level_name
from services.profile.duplicates.dates import birth_digits
from services.profile.duplicates.deciding import APART, MERGE, REVIEW, Judgement, decide, judge
from services.profile.duplicates.finding import duplicates_among
from services.profile.duplicates.grouping import Edge, groups, one_to_one, place
from services.profile.duplicates.learning import learn, strangers_among, value_counts
from services.profile.duplicates.names import split
from services.profile.duplicates.portrait import Portrait, portrait_of
from services.profile.duplicates.weights import SHIPPED, Weights, priors, score

ANNA: dict[str, Any] = {
    "first_name": "Johanna",
    "last_name": "Thornfield",
    "birth_date": "1984-03-17",
    "address": "12 Chapel Street",
    "city": "Woodbury",
    "postal_code": "4012",
    "phone": "+821012345678",
    "email": "johanna@example.org",
}


def portrait(record: str = "a", base: dict[str, Any] = ANNA, /, **changes: Any) -> Portrait:
    """`base` with some traits changed, or left out where they are None."""
    traits = {name: value for name, value in (base | changes).items() if value is not None}
    return portrait_of(record, traits, region="KR")


def levels(left: Portrait, right: Portrait) -> dict[str, str]:
    return {field: level_name(field, level) for field, level in zip(FIELDS, compare(left, right), strict=True)}


NOBODY = dict.fromkeys(ANNA)


@pytest.mark.parametrize(
    "traits",
    [
        {"given_name": "JOHANNA ", "surname": "thornfield", "date_of_birth": "19840317"},
        {"firstName": "Johanna", "lastName": "Thornfield", "dob": "17/03/1984"},
        {"full_name": "Ms. Johanna Thornfield", "birthday": "1984.3.17"},
        {"name": "Thornfield, Johanna", "birth_date": "1984-03-17T00:00:00Z"},
        {"traits": {"forename": "Johanna", "family_name": "Thornfield"}, "Date of birth": 19840317},
    ],
)
def test_a_person_looks_the_same_whatever_the_sources_call_the_fields(traits: dict[str, Any]) -> None:
    seen = portrait_of("a", traits)
    assert (seen.given, seen.surname, seen.birth) == ("johanna", "thornfield", "19840317")


@pytest.mark.parametrize(
    ("full", "given_name", "surname"),
    [
        ("김민준", "민준", "김"),
        ("김 민준 고객님", "민준", "김"),
        ("남궁옥분", "옥분", "남궁"),
        ("황보 관", "관", "황보"),
        ("Kim Min-jun", "minjun", "kim"),
        ("Minjun Kim", "minjun", "kim"),
        ("Ana María López", "ana maría", "lópez"),
        ("Cher", "cher", ""),
        ("unknown", "", ""),
        ("12345", "", ""),
    ],
)
def test_a_whole_name_is_parted_as_its_language_does(full: str, given_name: str, surname: str) -> None:
    assert split(full) == (given_name, surname)


def test_a_whole_korean_name_in_one_of_two_boxes_is_still_two_names() -> None:
    for traits in ({"first_name": "김민준"}, {"first_name": "김민준", "last_name": "김"}, {"last_name": "김민준"}):
        assert (portrait_of("a", traits).given, portrait_of("a", traits).surname) == ("민준", "김")


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("1984-03-17", "19840317"),
        ("1984년 3월 17일", "19840317"),
        ("840317", "840317"),
        ("03/17/1984", "19840317"),
        ("17/3/84", "840317"),
        ("1984", "1984"),
        ("00000000", ""),
        ("1900-01-01", ""),
        ("soon", ""),
        ("3/4/5", ""),
    ],
)
def test_days_of_birth_are_digits(said: str, digits: str) -> None:
    assert birth_digits(said) == digits


@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "first_name", "last_name", "dob", "address", "city", "zip", "phone", "email", "gender"]
        )
        | st.text(max_size=8),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.lists(st.integers()),
    ),
    st.dictionaries(st.sampled_from(["name", "dob", "address", "phone", "email"]), st.text(max_size=40)),
)
def test_whatever_is_sent_can_be_compared_from_both_sides(one: dict[str, Any], other: dict[str, Any]) -> None:
    left, right = portrait_of("a", one, region="KR"), portrait_of("b", other, region="KR")
    pattern = compare(left, right)
    assert pattern == compare(right, left)
    assert all(level <= len(LEVELS[field]) for field, level in zip(FIELDS, pattern, strict=True))
    assert score(pattern, left, right, SHIPPED).odds == pytest.approx(score(pattern, right, left, SHIPPED).odds)
    assert len(keys_of(left)) <= 19


def test_what_is_missing_speaks_neither_for_nor_against() -> None:
    found = decide(portrait("a"), portrait("b", phone=None, email=None), SHIPPED)
    assert not {"phone", "email", "gender"} & {line.field for line in found.evidence}
    assert levels(portrait("a"), portrait_of("b", {})) == dict.fromkeys(FIELDS, "unknown")


@pytest.mark.parametrize(
    ("changes", "field", "level"),
    [
        ({"first_name": "Johnana"}, "given", "slip"),
        ({"first_name": "J"}, "given", "short"),
        ({"first_name": "Johanna Marie"}, "given", "short"),
        ({"first_name": "Thornfield", "last_name": "Johanna"}, "order", "swapped"),
        ({"first_name": "Jonathan"}, "given", "alike"),
        ({"birth_date": "1984-03-71"}, "birth", "slip"),
        ({"birth_date": "1984-17-03"}, "birth", "slip"),
        ({"birth_date": "1984-01-01"}, "birth", "near"),
        ({"birth_date": "1957-11-02"}, "birth", "different"),
        ({"birth_date": "840317"}, "birth", "same"),
        ({"address": "Chapel St 12"}, "street", "same"),
        ({"address": "12 Chapell Street"}, "street", "close"),
        ({"address": "77 Chapel Street"}, "street", "part"),
        ({"address": "flat 3", "address_2": "Chapel Street"}, "street", "part"),
        ({"postal_code": None}, "place", "city"),
        ({"city": "Elsewhere"}, "place", "postcode"),
        ({"phone": "010-1234-5687"}, "phone", "slip"),
        ({"email": "JOHANNA@example.com"}, "email", "slip"),
        ({"email": "johannes@example.org"}, "email", "different"),
    ],
)
def test_the_usual_slips_are_seen_for_what_they_are(changes: dict[str, Any], field: str, level: str) -> None:
    assert levels(portrait("a"), portrait("b", **changes))[field] == level


def test_two_korean_names_with_a_syllable_in_common_are_two_names() -> None:
    assert levels(portrait_of("a", {"name": "김민준"}), portrait_of("b", {"name": "김민재"}))["given"] == "different"
    assert levels(portrait_of("a", {"name": "김민준"}), portrait_of("b", {"name": "임민준"}))["surname"] == "different"


@pytest.mark.parametrize(
    "changes",
    [
        {"first_name": "Johanan", "phone": None, "email": None},
        {"first_name": "Thornfield", "last_name": "Johanna", "phone": None, "email": None},
        {"birth_date": "1984-03-71", "email": None},
        {"birth_date": None},
        {"address": "99 Mill Road", "city": "Oakbury", "postal_code": "4777"},
        {"last_name": "Ashford", "address": "99 Mill Road", "city": "Oakbury", "postal_code": "4777"},
        {"phone": "010-9999-8888"},
    ],
)
def test_a_slip_a_move_or_a_wedding_does_not_hide_a_person(changes: dict[str, Any]) -> None:
    assert judge(portrait("a"), portrait("b", **changes), SHIPPED).outcome == MERGE
    assert keys_of(portrait("a")) & keys_of(portrait("b", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"first_name": "Margaret"},  # A twin, with everything else in common.
        {"first_name": "Jonathan"},
        {"first_name": "Margaret", "birth_date": "1982-07-09"},
        {"first_name": "Peter", "birth_date": "1979-12-30"},
        {"first_name": None, "birth_date": None},
        {"birth_date": "1951-08-30"},  # Mother and daughter of one name.
    ],
)
def test_a_family_is_never_merged_unasked(changes: dict[str, Any]) -> None:
    assert judge(portrait("a"), portrait("b", **changes), SHIPPED).outcome != MERGE


def test_korean_twins_are_never_merged_however_alike_they_are_called() -> None:
    twins = [portrait("a", ANNA, first_name=None, last_name=None, name=name) for name in ("김지은", "김지윤", "김지안")]
    for one in twins:
        for other in twins:
            assert one is other or judge(one, other, SHIPPED).outcome != MERGE


def test_two_names_that_many_bear_are_two_names_even_a_letter_apart() -> None:
    names = ["Anna"] * 20 + ["Anne"] * 20 + ["Otto"] * 60
    crowd = [portrait_of(str(at), {"first_name": name}) for at, name in enumerate(names)]
    weights = learn({}, {}, pairs=100 * 99 // 2, records=100, values=value_counts(crowd))
    anna, anne, typo = (portrait(each, ANNA, first_name=each) for each in ("Anna", "Anne", "Anma"))
    assert judge(anna, anne, weights).outcome == REVIEW
    assert judge(anna, typo, weights).outcome == MERGE


def test_what_is_learned_names_nobody() -> None:
    people = [portrait(str(at)) for at in range(50)]
    stored = msgspec.json.encode(duplicates_among(people).weights).decode()
    assert not [text for text in ("johanna", "thornfield", "1012345678", "example.org", "19840317") if text in stored]


def test_numbers_given_one_after_the_other_do_not_prove_that_twins_are_one() -> None:
    left, right = (portrait("a", ssn="9004242"), portrait("b", first_name="Margaret", ssn="9004243"))
    assert judge(left, right, SHIPPED).outcome == REVIEW
    assert judge(left, portrait("b", first_name="Margaret", ssn="9004242"), SHIPPED).outcome == MERGE


def test_two_values_of_which_nobody_has_two_keep_people_apart_whatever_else_agrees() -> None:
    left = portrait_of("a", ANNA, one_each={"customer_id": "1", "account": "x"})
    right = portrait_of("b", ANNA, one_each={"customer_id": "2"})
    assert judge(left, right, SHIPPED).outcome == APART
    assert judge(left, portrait_of("b", ANNA, one_each={"account": "x"}), SHIPPED).outcome == MERGE


def test_a_verdict_shows_both_sides_of_every_field_and_adds_up() -> None:
    found = decide(portrait("a"), portrait("b", first_name="Johanan", phone=None), SHIPPED)
    assert {(line.field, line.left, line.right, line.level) for line in found.evidence} >= {
        ("given", "johanna", "johanan", "slip"),
        ("street", "12 chapel street", "12 chapel street", "same"),
    }
    match, stranger, _ = priors(SHIPPED)
    assert found.score == pytest.approx(log2(match / stranger) + sum(line.weight for line in found.evidence), abs=0.1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_the_same_evidence_is_worth_less_among_more_people() -> None:
    left, right = (portrait(each, ANNA, address=None, phone=None, email=None) for each in "ab")
    among = [judge(left, right, SHIPPED.among(records)) for records in (1_000, 1_000_000, 1_000_000_000)]
    assert among[0].outcome == MERGE
    assert among[-1].outcome != MERGE
    assert among[0].odds > among[1].odds > among[2].odds


def test_agreeing_on_what_many_have_is_worth_less() -> None:
    crowd = [
        portrait_of(str(at), {"name": "Mary Smith" if at % 4 else f"Zelda{'abcdefgh'[at % 8]} Quirk"})
        for at in range(400)
    ]
    weights = learn({}, {}, pairs=400 * 399 // 2, records=400, values=value_counts(crowd))

    def odds(name: str) -> float:
        return judge(portrait_of("a", {"name": name}), portrait_of("b", {"name": name}), weights).odds

    assert odds("Mary Smith") + 5 < odds("Ottilie Vandersloot")


def test_frequencies_are_learned_without_being_told_who_is_who() -> None:
    """Of 3,000 matches one given name in five has a slip; nobody says which of the candidates they are."""
    same, slip, other = (
        portrait("b"),
        portrait("b", first_name="Johnana"),
        portrait("b", NOBODY, name="Kay Ray", dob="19500101"),
    )
    candidates = {
        compare(portrait("a"), same): 2400,
        compare(portrait("a"), slip): 600,
        compare(portrait("a"), other): 5000,
    }
    learned = learn(candidates, {compare(portrait("a"), other): 20_000}, pairs=5_000_000, records=3163)
    assert learned.fields["given"].m[1] == pytest.approx(0.2, abs=0.01)
    assert learned.duplicates_per_record == pytest.approx(3000 / 3163, rel=0.02)


def test_with_nothing_to_learn_from_the_shipped_frequencies_stay() -> None:
    learned = learn({}, {}, pairs=0, records=10)
    for field, weights in SHIPPED.fields.items():
        assert learned.fields[field].m == pytest.approx(weights.m)
        assert learned.fields[field].u == pytest.approx(weights.u)


def test_learning_is_the_same_every_time_and_can_be_stored() -> None:
    people = [portrait(str(at), ANNA, first_name=f"Given{'abcdefghij'[at % 10]}", phone=None) for at in range(60)]
    learned = [duplicates_among(people).weights for _ in range(2)]
    assert learned[0] == learned[1]
    assert msgspec.json.decode(msgspec.json.encode(learned[0]), type=Weights) == learned[0]


def test_strangers_are_picked_all_over_the_file() -> None:
    pairs = list(strangers_among(1000, most=5000))
    assert all(one != other for one, other in pairs)
    assert len({other for _, other in pairs}) > 900
    assert sum(abs(one - other) < 10 for one, other in pairs) < 250


def test_blocks_that_are_too_big_are_left_out_and_counted() -> None:
    crowd = [portrait(str(at), ANNA, first_name=None, birth_date=None, email=None) for at in range(30)]
    blocks = candidate_pairs(crowd, largest=20)
    assert not blocks.pairs
    assert blocks.too_big == len(keys_of(crowd[0]))


@given(st.dictionaries(st.text(max_size=5), st.integers(1, 5000), max_size=22))
def test_one_record_never_brings_more_candidates_than_allowed(sizes: dict[str, int]) -> None:
    lookup = keys_to_follow(sizes, largest=100, most=500)
    assert lookup.candidates_max == sum(sizes[key] for key in lookup.followed) <= 500
    assert all(sizes[key] <= 100 for key in lookup.followed)
    assert {*lookup.followed, *lookup.too_big} == set(sizes)


def test_candidates_who_share_most_come_first() -> None:
    assert ranked(["b", "a", "c", "a", "c", "a"], most=2) == ["a", "c"]


FITS, GUARDED = Judgement(MERGE, 12.0), Judgement(REVIEW, 2.0, ("given_name",))
NAMELESS = Judgement(MERGE, 12.0, nameless=True)


def test_a_record_that_fits_either_twin_joins_neither() -> None:
    known = {("one", "x"): NAMELESS, ("other", "x"): NAMELESS, ("one", "other"): GUARDED}
    edges = [Edge(left, right, judgement) for (left, right), judgement in known.items()]

    def judged(left: str, right: str) -> Judgement:
        return known[min(left, right), max(left, right)]

    found = groups(edges, judged)
    assert found.groups == []
    assert {(edge.left, edge.right) for edge in found.reviews} == set(known)
    assert place("x", {"p": ["one"], "q": ["other"]}, judged).person is None
    assert place("x", {"p": ["one"], "q": ["other"]}, judged).reviews == ("p", "q")


def test_a_chain_of_likeness_does_not_make_two_people_one() -> None:
    known = Counter({("a", "b"): 20.0, ("b", "c"): 12.0, ("a", "c"): -30.0})
    edges = [Edge(*pair, Judgement(MERGE if odds > 0 else APART, odds)) for pair, odds in known.items()]
    by_pair = {(edge.left, edge.right): edge.judgement for edge in edges}
    found = groups(edges, lambda left, right: by_pair[min(left, right), max(left, right)])
    assert found.groups == [("a", "b")]
    assert [(edge.left, edge.right) for edge in found.reviews] == [("b", "c")]


def test_a_new_record_joins_the_person_whom_it_fits_best() -> None:
    known = {"one": FITS, "two": Judgement(MERGE, 30.0), "three": Judgement(APART, -9.0), "four": GUARDED}
    found = place("new", {"p": ["one"], "q": ["two"], "r": ["three"], "s": ["four"]}, lambda _, other: known[other])
    assert found.person == "q"
    assert found.reviews == ("p", "s")


def test_between_two_files_everybody_has_one_partner_and_what_is_tied_is_looked_at() -> None:
    odds = {("a", "x"): 30.0, ("a", "y"): 20.0, ("b", "y"): 18.0, ("c", "z"): 15.0, ("d", "z"): 14.0}
    found = one_to_one(Edge(*pair, Judgement(MERGE, value)) for pair, value in odds.items())
    assert found.groups == [("a", "x"), ("b", "y")]
    assert [(edge.left, edge.right) for edge in found.reviews] == [("c", "z"), ("d", "z")]
