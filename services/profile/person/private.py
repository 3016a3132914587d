"""Which words of an event name, reach or locate a person? What is theirs never becomes history."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final

_NAMES = (
    "name first_name last_name full_name given_name family_name middle_name nickname surname forename display_name"
    " customer_name recipient recipient_name 이름 성명 고객명 수령인 주문자명 수령인명 회원명"
)
_REACHES = (
    "email e_mail email_address mail phone phone_number mobile mobile_phone mobile_number cellphone cell_phone tel"
    " telephone phone_no tel_no mobile_no contact_number webhook device"
    " 이메일 전화 전화번호 휴대폰 휴대폰번호 휴대전화 핸드폰 연락처"
)
_LIVES = (
    "address address_1 address_2 address1 address2 address_line_1 address_line_2 street street_address 주소 상세주소"
)
_LOCATES = "city postal_code postcode zip zip_code 우편번호"
_BORN = "birth_date date_of_birth birthdate birthday dob ssn national_id social_security_number 생년월일 주민등록번호"
_TOLD_OF_OTHERS = "note other_party born_on address_mark"

PRIVATE: Final = frozenset(f"{_NAMES} {_REACHES} {_LIVES} {_LOCATES} {_BORN} {_TOLD_OF_OTHERS}".split())
"""Traits that name or locate a person: kept here and given to delivery, never written into the history."""

_HOLDERS = (
    "traits customer contact recipient receiver sender shipping billing delivery buyer user person member guest"
    " passenger profile orderer payer 고객 주문자 수령인 받는분 받는사람 보내는분 구매자 회원 배송 배송지"
)
_QUALIFIERS = "home work office mobile primary secondary emergency alternative"
_PLACES = "store branch shop seller merchant vendor venue location warehouse 매장 지점 점포 판매자"

SIGNS: Final = b" !#$%&'()*+,-./;<=>?@[]^_`{|}~"
"""What parts the words of a field's name, or the digits of a number, and means nothing itself."""

_LOWER: Final = bytes(range(256)).lower()


@lru_cache(maxsize=8192)
def _squeezed(name: str) -> str:
    """`firstName`, `first_name`, `First.Name` and what an input method makes of them are one."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def _words(names: str) -> str:
    return "|".join(sorted({_squeezed(name) for name in names.split()}, key=lambda word: (-len(word), word)))


def _named(*names: str, before: str = "*") -> re.Pattern[str]:
    """Any of these, numbered or not, behind none or `before` so many words that say whose it is."""
    whose = f"(?:{_words(_HOLDERS)}|{_words(_QUALIFIERS)}){before}"
    return re.compile(f"{whose}(?:{_words(' '.join(names))})s?[0-9]*")


_ALL_PRIVATE: Final = _named(*PRIVATE)
_TELLING: Final = _named(_NAMES, _REACHES.replace(" device", ""), _LIVES)
"""Those whose values say who it is wherever they stand; that somebody lives in Seoul does not."""

_OF_SOMEBODY: Final = _named(*PRIVATE, before="+")
_NEVER_OF_A_PLACE: Final = _named(
    "email e_mail email_address mail mobile mobile_phone mobile_number mobile_no cellphone cell_phone 이메일 휴대폰"
    " 휴대폰번호 휴대전화 핸드폰 first_name last_name full_name given_name family_name middle_name surname forename"
    " customer_name recipient recipient_name 성명 고객명 수령인 주문자명 수령인명 회원명",
    _BORN,
)
_NUMBERS = "phone phone_number phone_no tel tel_no telephone contact_number 전화 전화번호 연락처"
_NEVER_OF_A_THING: Final = re.compile(f"{_NEVER_OF_A_PLACE.pattern}|{_named(_NUMBERS).pattern}")
"""Those that stand for a person in whatever object they are; articles have names too, and branches telephones."""

_HOLDER: Final = re.compile(f"(?:{_words(_HOLDERS)})(?:s|address|info|details?|정보)?")
_PLACE: Final = re.compile(f"(?:{_words(_PLACES)})(?:s|info|details?|정보)?")
_NUMBER: Final = re.compile(f"(?:{_words(_NUMBERS)})s?[0-9]*")
_NUMBER_OF_A_PLACE: Final = re.compile(f"(?:{_words(_PLACES)}){_NUMBER.pattern}")
NUMBER_OF_A_PLACE: Final = "store_phone"
"""The name of such a field, for those that are named by where they stand."""

_CODE: Final = re.compile(
    "(?:.*(?:id|sku|ean|upc|gtin|isbn|code|barcode|serial|order|receipt|invoice|contract|product)|(?:order|receipt|"
    "invoice|product|serial|contract|case)(?:no|number))s?"
)


def any_of(words: Collection[bytes]) -> bytes:
    """A pattern for any of these words that looks at each sign once: those that begin alike share their beginning."""
    beginnings: dict[int, list[bytes]] = {}
    for word in sorted(set(words)):
        if word:
            beginnings.setdefault(word[0], []).append(word[1:])
    parts = [re.escape(bytes([first])) + any_of(rests) for first, rests in beginnings.items()]
    pattern = b"(?:" + b"|".join(parts) + b")" if parts else b""
    return pattern + b"?" if parts and b"" in words else pattern


# Read backwards a field begins with a colon, which is rarer than what its name begins with, whoever it is said of.
_ENDS: Final = [_squeezed(name).encode()[::-1] for name in PRIVATE]
_FIELD: Final = re.compile(
    b':"' + any_of([*_ENDS, *(b"s" + end for end in _ENDS), *(b"%d" % digit for digit in range(10))])
).search


def folded(body: bytes) -> bytes:
    """JSON in which names of fields, and what is looked for, stand in one piece and in lower case."""
    return body.translate(_LOWER, SIGNS)


def may_be_private(folded: bytes) -> bool:
    """Whether `without_contact_data` may find something in JSON in plain signs; cheap, and sometimes too careful."""
    return _FIELD(folded[::-1]) is not None


@lru_cache(maxsize=8192)
def is_private(name: str) -> bool:
    return _ALL_PRIVATE.fullmatch(_squeezed(name)) is not None


@lru_cache(maxsize=8192)
def is_telling(name: str) -> bool:
    """Whether the value of such a trait names or reaches the person wherever it stands."""
    return _TELLING.fullmatch(_squeezed(name)) is not None


@lru_cache(maxsize=8192)
def is_place(name: str) -> bool:
    """Whether a field holds a branch or shop."""
    return _PLACE.fullmatch(_squeezed(name)) is not None


@lru_cache(maxsize=8192)
def is_number(name: str) -> bool:
    """Whether a field holds a telephone number and does not say whose."""
    return _NUMBER.fullmatch(_squeezed(name)) is not None


@lru_cache(maxsize=8192)
def is_number_of_a_place(name: str) -> bool:
    """Whether a field holds the telephone number of a branch or shop."""
    return _NUMBER_OF_A_PLACE.fullmatch(_squeezed(name)) is not None


@lru_cache(maxsize=8192)
def is_code(name: str) -> bool:
    """Whether a field holds what tells one thing from another."""
    return _CODE.fullmatch(_squeezed(name)) is not None


def without_contact_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data as the history keeps it: fields that name or locate a person are left out.

    At the top and in the objects that hold people all of them; elsewhere those that no article and no branch has.
    """
    return {name: _kept(name, value) for name, value in data.items() if not is_private(name)}


def _kept(name: str, value: Any, place: bool = False) -> Any:
    if isinstance(value, Mapping):
        if _holds_people(name):
            return without_contact_data(value)
        place = place or is_place(name)
        return {inner: _kept(inner, each, place) for inner, each in value.items() if not _is_of_people(inner, place)}
    if isinstance(value, list):
        return [_kept(name, each, place) if isinstance(each, Mapping | list) else each for each in value]
    return value


@lru_cache(maxsize=8192)
def _holds_people(name: str) -> bool:
    return _HOLDER.fullmatch(_squeezed(name)) is not None


@lru_cache(maxsize=8192)
def _is_of_people(name: str, place: bool) -> bool:
    found, never = _squeezed(name), _NEVER_OF_A_PLACE if place else _NEVER_OF_A_THING
    return never.fullmatch(found) is not None or _OF_SOMEBODY.fullmatch(found) is not None
