"""Are the people found who are twice in a file, and nobody else with them? Public sets, and towns of our own making.

The public sets have no households. The towns do: siblings, twins, sons called like their fathers, telephones and
mailboxes that a family shares, people who moved; Western and Korean names; slips of other kinds than the sets have.
"""

from __future__ import annotations

import csv
import os
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

import pytest

from services.profile.duplicates.blocking import keys_of, keys_to_follow
from services.profile.duplicates.finding import Found, duplicates_among, duplicates_between
from services.profile.duplicates.portrait import Portrait, portrait_of
from services.profile.duplicates.weights import SHIPPED

Pair = tuple[str, str]
People = dict[str, str]  # Whose record it is.


def data(*path: str) -> Path:
    file = Path(os.environ.get("DANGOL_DATA", "../shared/data")).joinpath(*path)
    if not file.exists():
        pytest.skip(f"no public data at {file}; DANGOL_DATA names its folder")
    return file


def read(file: Path, truth: str, *, without: Collection[str] = ()) -> tuple[list[Portrait], People]:
    """Portraits and whose they are; the column that says so is dropped before anything looks at the row."""
    portraits: list[Portrait] = []
    people: People = {}
    with file.open(encoding="utf-8") as lines:
        for at, row in enumerate(csv.DictReader(lines, skipinitialspace=True)):
            record = f"{file.stem}-{at}"
            people[record] = row.pop(truth).removeprefix("rec-").partition("-")[0]
            row.pop("unique_id", None)
            portraits.append(portrait_of(record, {name: text for name, text in row.items() if name not in without}))
    return portraits, people


@dataclass(frozen=True)
class Quality:
    precision: float
    recall: float
    merged: int
    reviews: int
    reached: float


def measured(title: str, found: Found, people: People, *, across: bool = False) -> Quality:
    """Over pairs of records: merged at once, left for review, and what both together reach."""
    true = pairs_of(records_of(people).values())
    if across:
        true = {(one, other) for one, other in true if one.rpartition("-")[0] != other.rpartition("-")[0]}
    merged = pairs_of(found.grouping.groups)
    reviews = {tuple(sorted((edge.left, edge.right))) for edge in found.grouping.reviews}
    right = len(merged & true)
    reached = len((merged | reviews) & true) / len(true)
    quality = Quality(right / max(1, len(merged)), right / len(true), len(merged), len(reviews), reached)
    print(f"{title}: {quality}, {found.compared} compared")
    return quality


def records_of(people: People) -> dict[str, list[str]]:
    records: defaultdict[str, list[str]] = defaultdict(list)
    for record, person in people.items():
        records[person].append(record)
    return records


def pairs_of(groups: Iterable[Sequence[str]]) -> set[Pair]:
    ordered = (sorted(group) for group in groups)
    return {(one, other) for group in ordered for at, one in enumerate(group) for other in group[at + 1 :]}


def test_one_file_with_every_second_person_twice() -> None:
    portraits, people = read(data("febrl", "dataset1.csv"), "rec_id")
    quality = measured("FEBRL 1", duplicates_among(portraits), people)
    assert quality.precision >= 0.99
    assert quality.recall >= 0.95


def test_two_files_with_the_same_people() -> None:
    left, people = read(data("febrl", "dataset4a.csv"), "rec_id")
    right, theirs = read(data("febrl", "dataset4b.csv"), "rec_id")
    quality = measured("FEBRL 4", duplicates_between(left, right), people | theirs, across=True)
    assert quality.precision >= 0.99
    assert quality.recall >= 0.95


def test_two_files_put_into_one() -> None:
    left, people = read(data("febrl", "dataset4a.csv"), "rec_id")
    right, theirs = read(data("febrl", "dataset4b.csv"), "rec_id")
    quality = measured("FEBRL 4 as one file", duplicates_among([*left, *right]), people | theirs)
    assert quality.precision >= 0.99
    assert quality.recall >= 0.95


def test_without_a_number_that_is_a_persons_own_what_is_not_merged_is_shown() -> None:
    """One given name in ten is replaced by another one there: like twins, which nobody may merge unasked."""
    left, people = read(data("febrl", "dataset4a.csv"), "rec_id", without=["soc_sec_id"])
    right, theirs = read(data("febrl", "dataset4b.csv"), "rec_id", without=["soc_sec_id"])
    quality = measured("FEBRL 4 without numbers", duplicates_between(left, right), people | theirs, across=True)
    assert quality.precision >= 0.99
    assert quality.recall >= 0.8
    assert quality.reached >= 0.97


def test_a_file_with_little_but_names_and_addresses_for_mail() -> None:
    portraits, people = read(data("splink", "fake_1000_from_splink_demos.csv"), "cluster")
    quality = measured("fake_1000", duplicates_among(portraits), people)
    assert quality.precision >= 0.97
    assert quality.recall >= 0.68
    assert quality.reached >= 0.9


def test_the_shipped_weights_are_good_enough_for_the_first_day() -> None:
    portraits, people = read(data("febrl", "dataset1.csv"), "rec_id")
    quality = measured("FEBRL 1, nothing learned", duplicates_among(portraits, SHIPPED), people)
    assert quality.precision >= 0.99
    assert quality.recall >= 0.9


GIVEN = (
    "james mary robert patricia john jennifer michael linda david elizabeth william barbara richard susan joseph "
    "jessica thomas karen charles sarah daniel nancy matthew lisa anthony margaret mark betty donald sandra steven "
    "ashley paul kimberly andrew emily joshua donna kevin michelle brian carol george amanda edward melissa ronald "
    "deborah timothy stephanie jason rebecca jeffrey laura ryan cynthia jacob kathleen gary helen nicholas amy eric "
    "angela stephen anna jonathan brenda larry pamela justin nicole scott samantha brandon katherine frank emma "
    "benjamin ruth gregory christine samuel catherine patrick virginia alexander debra jack rachel dennis carolyn"
).split()
ROOTS = "ash black brook carl dun east fair green hart hol kings lang mill nor oak rad stan thorn wal wood".split()
ENDS = "by den field ford ham hurst ley man more ridge son stead ton well wick worth".split()
STREETS = "acacia birch cedar chapel church elm forest garden harbour hill jubilee lake mill park queen river".split()
KOREAN_SURNAMES = "김 김 김 김 이 이 이 박 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 류 홍 남궁 제갈".split()
FIRST, SECOND = (
    "민 서 지 예 하 도 주 현 승 윤 은 태 재 수 성 영 동 정 혜 미".split(),
    "준 연 우 원 아 윤 호 민 현 진 희 훈 영 은 빈 석".split(),
)


@dataclass
class Person:
    given: str
    surname: str
    birth: str
    home: tuple[str, str, str, str]
    phone: str
    email: str
    family: list[Person] = field(default_factory=list)


class Town:
    """People in households, and the records that several shops keep of them."""

    def __init__(self, seed: int, *, korean: bool) -> None:
        self.random, self.korean = random.Random(seed), korean
        self.surnames = KOREAN_SURNAMES if korean else [root + end for root in ROOTS for end in ENDS]

    def given(self) -> str:
        if self.korean:
            return self.random.choice(FIRST) + self.random.choice(SECOND)
        return GIVEN[min(int(self.random.expovariate(0.04)), len(GIVEN) - 1)]

    def birth(self, first: int, last: int) -> str:
        return f"{self.random.randint(first, last)}-{self.random.randint(1, 12):02}-{self.random.randint(1, 28):02}"

    def phone(self) -> str:
        return f"+8210{self.random.randrange(10**8):08}"

    def email(self, given: str) -> str:
        handle = f"user{self.random.randrange(10**6)}" if self.korean else f"{given}{self.random.randrange(10**4)}"
        return f"{handle}@{self.random.choice(('naver.com', 'gmail.com', 'daum.net', 'example.org'))}"

    def home(self) -> tuple[str, str, str, str]:
        area = self.random.randrange(60)
        street = f"{self.random.choice(STREETS)} {self.random.choice(('street', 'road', 'lane'))}"
        return (
            str(self.random.randint(1, 180)),
            street,
            f"{self.random.choice(ROOTS[area % 20 :])}bury",
            f"{4000 + area}",
        )

    def household(self) -> list[Person]:
        surname, home = self.random.choice(self.surnames), self.home()
        parents = [self.person(surname, home, 1940, 1985)]
        if self.random.random() < 0.6:
            wife = self.random.choice(self.surnames) if self.korean else surname
            parents.append(self.person(wife, home, 1940, 1985))
        children = [self.person(surname, home, 1986, 2012) for _ in range(self.random.choice((0, 0, 1, 2, 3)))]
        for child in children:
            if self.random.random() < 0.5:
                child.phone = parents[0].phone
            if self.random.random() < 0.4:
                child.email = parents[0].email
        if len(children) > 1 and self.random.random() < 0.2:
            children[1].birth = children[0].birth
            if self.korean and children[1].given[0] != children[0].given[0]:
                children[1].given = children[0].given[0] + children[1].given[1]
        if children and self.random.random() < 0.02:
            children[0].given = parents[0].given
        family = [*parents, *children]
        return [
            one
            for at, one in enumerate(family)
            if (one.given, one.birth) not in {(o.given, o.birth) for o in family[:at]}
        ]

    def person(self, surname: str, home: tuple[str, str, str, str], first: int, last: int) -> Person:
        given = self.given()
        return Person(given, surname, self.birth(first, last), home, self.phone(), self.email(given))

    def records(self, households: int, twice: float) -> tuple[list[Portrait], People]:
        portraits: list[Portrait] = []
        people: People = {}
        everybody = [person for _ in range(households) for person in self.household()]
        for whose, person in enumerate(everybody):
            for _ in range(1 + (self.random.random() < twice) + (self.random.random() < twice / 3)):
                record = f"r-{len(people)}"
                people[record] = str(whose)
                portraits.append(portrait_of(record, self.row(person), region="KR"))
        self.random.shuffle(portraits)
        return portraits, people

    def row(self, person: Person) -> dict[str, str]:
        """What one shop knows: some fields empty, some misspelt, some from before the person moved."""
        chance = self.random.random
        number, street, city, postcode = self.home() if chance() < 0.1 else person.home
        given, surname = self.slip(person.given), self.slip(person.surname)
        names = {"first_name": given, "last_name": surname}
        if chance() < 0.04:
            names = {"first_name": surname, "last_name": given}
        elif chance() < 0.3:
            names = {"name": surname + given if self.korean else f"{given} {surname}"}
        row = names | {
            "birth_date": self.day(person.birth),
            "address": f"{number} {self.slip(street)}",
            "city": self.slip(city),
            "postal_code": postcode,
            "phone": self.phone() if chance() < 0.1 else "0" + person.phone[3:],
            "email": self.email(given) if chance() < 0.15 else person.email.upper(),
        }
        return {name: text for name, text in row.items() if chance() > (0.03 if "name" in name else 0.2)}

    def slip(self, word: str) -> str:
        """A letter is doubled, dropped, or changes places with its neighbour."""
        if self.random.random() > 0.06 or len(word) < 4:
            return word
        at = self.random.randrange(1, len(word) - 1)
        return self.random.choice(
            (
                word[:at] + word[at] + word[at:],
                word[:at] + word[at + 1 :],
                word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
            )
        )

    def day(self, birth: str) -> str:
        if self.random.random() > 0.06:
            return birth
        year, month, day = birth.split("-")
        wrong = self.random.choice(((year, day, month), (str(int(year) + 1), month, day), (year, month, "01")))
        return "-".join(wrong)


@pytest.mark.parametrize("korean", [False, True], ids=["western", "korean"])
def test_families_are_not_merged_and_people_are(korean: bool) -> None:
    portraits, people = Town(1, korean=korean).records(1200, 0.3)
    quality = measured(f"a town, korean {korean}", duplicates_among(portraits), people)
    assert quality.precision >= 0.985
    assert quality.recall >= 0.75
    assert quality.reached >= 0.93


def test_no_twins_of_any_town_are_merged_at_once() -> None:
    """Those whose given names both records know: of any others nobody could tell."""
    portraits, people = Town(2, korean=True).records(1200, 0.3)
    known = {portrait.id: portrait for portrait in portraits}
    merged = [(known[edge.left], known[edge.right]) for edge in duplicates_among(portraits).grouping.merged]
    wrong = [(one, other) for one, other in merged if people[one.id] != people[other.id]]
    assert merged
    assert not [pair for pair in wrong if pair[0].given and pair[1].given and pair[0].given != pair[1].given]


def test_ten_thousand_records_take_less_than_a_minute_of_one_core() -> None:
    portraits, people = Town(3, korean=True).records(2560, 0.3)
    before = process_time()
    found = duplicates_among(portraits)
    seconds = process_time() - before
    measured(f"{len(portraits)} records, {seconds:.1f} s", found, people)
    assert len(portraits) > 9_500
    assert seconds < 60


def test_a_new_record_meets_few_however_many_are_known() -> None:
    """Every block a hundred times as big, but those of telephones and mailboxes, which do not grow with a town."""
    portraits, people = Town(4, korean=True).records(1500, 0.3)
    keys = {portrait.id: keys_of(portrait) for portrait in portraits}
    sizes = Counter(key for held in keys.values() for key in held)
    crowded = {key: count if key.startswith(("phone", "email=")) else 100 * count for key, count in sizes.items()}
    followed: dict[str, set[str]] = {}
    for record, held in keys.items():
        lookup = keys_to_follow({key: crowded[key] - 99 for key in held})
        assert lookup.candidates_max <= 500
        followed[record] = set(lookup.followed)
    true = pairs_of(records_of(people).values())
    met = sum(bool(followed[one] & keys[other]) for one, other in true) / len(true)
    print(f"{met:.3f} of {len(true)} pairs still meet")
    assert met >= 0.65
