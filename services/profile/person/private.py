"""Which words of an event name, reach or locate a person? What is theirs never becomes history."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final

_NAMES = (
    "name first_name last_name full_name given_name family_name middle_name nickname surname forename display_name"
    " customer_name recipient recipient_name 이름 성명 고객명 수령인"
)
_REACHES = (
    "email e_mail email_address mail phone phone_number mobile mobile_phone mobile_number cellphone cell_phone tel"
    " telephone webhook device 이메일 전화번호 휴대폰 휴대전화 연락처"
)
_LIVES = (
    "address address_1 address_2 address1 address2 address_line_1 address_line_2 street street_address 주소 상세주소"
)
_LOCATES = "city postal_code postcode zip zip_code 우편번호"
_BORN = "birth_date date_of_birth birthdate birthday dob ssn national_id social_security_number 생년월일 주민등록번호"
_TOLD_OF_OTHERS = "note other_party born_on address_mark"

PRIVATE: Final = frozenset(f"{_NAMES} {_REACHES} {_LIVES} {_LOCATES} {_BORN} {_TOLD_OF_OTHERS}".split())
"""Traits that name or locate a person: kept here and given to delivery, never written into the history."""


def _squeezed(name: str) -> str:
    """`firstName`, `first_name` and `First Name` are one."""
    return "".join(filter(str.isalnum, name.casefold()))


_SQUEEZED: Final = frozenset(map(_squeezed, PRIVATE))
_TELLING: Final = frozenset(_squeezed(name) for name in f"{_NAMES} {_REACHES} {_LIVES}".split()) - {"device"}
"""Those whose values say who it is wherever they stand; that somebody lives in Seoul does not."""

_NEVER_OF_A_THING: Final = frozenset(
    _squeezed(name)
    for name in f"{_REACHES} {_BORN} first_name last_name full_name given_name family_name middle_name surname forename"
    " customer_name recipient recipient_name 성명 고객명 수령인".split()
) - {"device", "tel", "telephone", "phone", "phonenumber", "전화번호", "연락처", "webhook"}
"""Those that stand for a person in whatever object they are; articles have names too, and branches telephones."""

_HOLDERS: Final = frozenset(
    "traits customer contact recipient receiver sender shipping billing shippingaddress billingaddress buyer user"
    " person member guest passenger profile orderer 주문자 받는분 배송지".split()
)

SPELLINGS: Final = frozenset(name.replace("_", sign).encode() for name in PRIVATE for sign in ("_", "", "-", " "))
"""Bytes, in lower case, one of which stands between quotation marks where `without_contact_data` may find something."""


def any_of(words: Collection[bytes]) -> bytes:
    """A pattern for any of these words that looks at each sign once: those that begin alike share their beginning."""
    beginnings: dict[int, list[bytes]] = {}
    for word in sorted(set(words)):
        if word:
            beginnings.setdefault(word[0], []).append(word[1:])
    parts = [re.escape(bytes([first])) + any_of(rests) for first, rests in beginnings.items()]
    pattern = b"(?:" + b"|".join(parts) + b")" if parts else b""
    return pattern + b"?" if parts and b"" in words else pattern


@lru_cache(maxsize=8192)
def is_private(name: str) -> bool:
    return _squeezed(name) in _SQUEEZED


@lru_cache(maxsize=8192)
def is_telling(name: str) -> bool:
    """Whether the value of such a trait names or reaches the person wherever it stands."""
    return _squeezed(name) in _TELLING


def without_contact_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data as the history keeps it: fields that name or locate a person are left out.

    At the top and in the objects that hold people all of them; elsewhere those that no article and no branch has.
    """
    return {name: _kept(name, value) for name, value in data.items() if not is_private(name)}


def _kept(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if _squeezed(name) in _HOLDERS:
            return without_contact_data(value)
        return {inner: _kept(inner, each) for inner, each in value.items() if not _is_of_people(inner)}
    if isinstance(value, list):
        return [_kept(name, each) if isinstance(each, Mapping | list) else each for each in value]
    return value


def _is_of_people(name: str) -> bool:
    return _squeezed(name) in _NEVER_OF_A_THING
