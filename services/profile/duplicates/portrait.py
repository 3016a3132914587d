"""What is compared of a customer record, in one written form whatever its sources call it?"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from services.profile import normal
from services.profile.duplicates import addresses, dates, names

# Names of traits as sources write them, without case and signs: firstName, first_name and First Name are one.
_SOURCES = {
    "given": ("givenname", "firstname", "forename", "given", "이름"),
    "surname": ("surname", "lastname", "familyname", "성"),
    "full": ("fullname", "name", "firstandsurname", "customername", "displayname", "성명"),
    "birth": ("birthdate", "dateofbirth", "dob", "birthday", "birth", "생년월일"),
    "number": ("streetnumber", "housenumber", "streetno"),
    "street": ("street", "address", "address1", "addressline1", "streetaddress", "line1", "주소", "도로명주소"),
    "extra": ("address2", "addressline2", "street2", "line2", "상세주소"),
    "city": ("city", "suburb", "town", "locality"),
    "postcode": ("postalcode", "postcode", "zip", "zipcode", "postcodefake", "우편번호"),
    "state": ("state", "region", "province", "county"),
    "phone": ("phone", "mobile", "tel", "phonenumber", "mobilephone", "cellphone", "telephone", "휴대폰", "전화번호"),
    "email": ("email", "emailaddress", "mail", "이메일"),
    "number_of_person": ("socsecid", "ssn", "nationalid", "partnerid", "personnumber"),
    "gender": ("gender", "sex", "성별"),
    "birth_place": ("birthplace", "placeofbirth", "출생지"),
}
_FIELD_OF = {name: (field, rank) for field, sources in _SOURCES.items() for rank, name in enumerate(sources)}
_GENDERS = {"m": "m", "male": "m", "man": "m", "남": "m", "남성": "m", "남자": "m"} | {
    "f": "f", "female": "f", "woman": "f", "여": "f", "여성": "f", "여자": "f"
}  # fmt: skip
NO_IDENTIFIERS: Mapping[str, str] = MappingProxyType({})
_TEXT_CHARACTERS_MAX = 200
_LAST = 1_000
_WHOLE_MAX = 10**18
_PHONE_DIGITS_MIN = 7


class Portrait(Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One record as it is compared; an empty text is "not known", which speaks neither for nor against.

    `birth` is as in `dates.birth_digits`, `phone` E.164, `id_number` something that a person has one of and that may
    be mistyped. `one_each` holds identifiers (type, value) of which nobody has two, exact: a difference forbids.
    """

    id: str
    given: str = ""
    surname: str = ""
    birth: str = ""
    number: str = ""
    street: str = ""
    extra: str = ""
    city: str = ""
    postcode: str = ""
    state: str = ""
    phone: str = ""
    email: str = ""
    id_number: str = ""
    gender: str = ""
    birth_place: str = ""
    one_each: tuple[tuple[str, str], ...] = ()


def portrait_of(
    record: str, traits: Mapping[str, Any], *, region: str = "", one_each: Mapping[str, str] = NO_IDENTIFIERS
) -> Portrait:
    """Whatever a source sends as traits, nested addresses and numbers included; what makes no sense is left out.

    `region` (ISO 3166) is where phone numbers without a country code belong to.
    """
    return portrait_from(record, said_in(traits), region=region, one_each=one_each)


def portrait_from(
    record: str, said: Mapping[str, str], *, region: str = "", one_each: Mapping[str, str] = NO_IDENTIFIERS
) -> Portrait:
    """The same from what `said_in` has found."""
    given, surname = names.given_and_surname(said["given"], said["surname"], said["full"])
    number, street = addresses.number_and_street(said["number"], said["street"])
    return Portrait(
        id=record,
        given=given,
        surname=surname,
        birth=dates.birth_digits(said["birth"]),
        number=number,
        street=street,
        extra=addresses.tidy(said["extra"]),
        city=addresses.tidy(said["city"]),
        postcode=addresses.postcode(said["postcode"]),
        state=addresses.tidy(said["state"]),
        phone=_phone(said["phone"], region),
        email=_email(said["email"]),
        id_number=addresses.postcode(said["number_of_person"]),
        gender=_GENDERS.get(said["gender"].casefold(), ""),
        birth_place=addresses.tidy(said["birth_place"]),
        one_each=tuple(sorted(one_each.items())),
    )


def said_in(traits: Mapping[str, Any]) -> dict[str, str]:
    """What was written, by the field that it belongs to, empty where nothing was."""
    said = dict.fromkeys(_SOURCES, "")
    ranks: dict[str, int] = {}
    for name, text in _by_name(traits).items():
        known = _FIELD_OF.get(name)
        if known is not None and text and known[1] < ranks.get(known[0], _LAST):
            said[known[0]], ranks[known[0]] = text, known[1]
    return said


@lru_cache(maxsize=8192)
def is_read(name: str) -> bool:
    """Whether a trait of this name says anything here by itself; an object may, whatever its name."""
    return _squeezed(name) in _FIELD_OF


def _by_name(traits: Mapping[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, value in traits.items():
        if isinstance(value, Mapping):
            for inner, text in _by_name(value).items():
                texts.setdefault(inner, text)
        elif isinstance(value, str) or _is_whole(value):
            text = unicodedata.normalize("NFC", str(value)[:_TEXT_CHARACTERS_MAX]).strip()
            texts[_squeezed(name)] = text
    return texts


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _WHOLE_MAX


@lru_cache(maxsize=8192)
def _squeezed(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _phone(text: str, region: str) -> str:
    number = normal.phone(text, region) if text else ""
    digits = [letter for letter in number if letter.isdigit()]
    return number if len(digits) >= _PHONE_DIGITS_MIN and len(set(digits)) > 2 else ""


def _email(text: str) -> str:
    """A broken address is kept: it resembles the right one."""
    address = normal.email(text)
    return address if len(address) >= 6 and any(map(str.isalnum, address)) else ""
