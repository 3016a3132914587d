"""By what are people found? The terms that a portrait is kept under, and those that somebody's words ask for. Pure.

A term is a letter for its kind and a text; to find something is to know how its term begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import phonenumbers
from msgspec import Struct

from services.profile import normal
from services.profile.duplicates.names import is_hangul, split, words
from services.profile.duplicates.portrait import Portrait

NAME, INITIALS, PHONE, PHONE_END, EMAIL, BIRTH = "n", "c", "p", "r", "e", "b"
KINDS: Final = {NAME: "name", INITIALS: "name", PHONE: "phone", PHONE_END: "phone", EMAIL: "email", BIRTH: "birth"}
WORDS_MAX: Final = 5
_CONSONANTS: Final = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_SYLLABLES_PER_CONSONANT = 588
_SUBSCRIBER_DIGITS = 8
_DIGITS_MIN, _CARD_MIN, _LATIN_MIN = 3, 4, 2
_WHOLE_NUMBER_DIGITS = 9
_TERM_LENGTH_MAX = 200
_NUMBERS = re.compile(r"[+(]?\d[\d\s().+-]*")
_CARD_SIGNS = str.maketrans("", "", " -.")


class Word(Struct, frozen=True):
    """One of the things that somebody typed; any of what it may be is enough.

    `terms` are beginnings of terms; `cards` beginnings and ends of card numbers; `phone_ends` ends of telephone
    numbers; `keys` whole identifiers.
    """

    terms: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    phone_ends: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def terms_of(portrait: Portrait) -> set[str]:
    """The terms of a record; of a Korean name its parts and its first consonants as well."""
    terms = {f"{NAME}{name}" for name in _names(portrait)}
    terms.update(f"{INITIALS}{_initials(name)}" for name in _names(portrait) if is_hangul(name))
    digits = portrait.phone.removeprefix("+")
    if digits.isdigit():
        terms |= {f"{PHONE}{digits}", f"{PHONE}{digits[-_SUBSCRIBER_DIGITS:]}", f"{PHONE_END}{digits[::-1]}"}
    if portrait.email:
        terms.add(EMAIL + "".join(portrait.email.split()))
    if len(portrait.birth) >= 6:
        terms |= {f"{BIRTH}{portrait.birth}", f"{BIRTH}{portrait.birth[-6:]}"}
    return {term[:_TERM_LENGTH_MAX] for term in terms}


def _names(portrait: Portrait) -> Iterator[str]:
    whole = (portrait.surname + portrait.given).replace(" ", "")
    if is_hangul(whole):
        yield from (whole[at:] for at in range(max(1, len(whole) - 1)))
    else:
        yield from f"{portrait.given} {portrait.surname}".split()


def _initials(name: str) -> str:
    return "".join(_CONSONANTS[(ord(letter) - ord("가")) // _SYLLABLES_PER_CONSONANT] for letter in name)


def words_of(query: str, region: str) -> list[Word]:
    """What somebody means, each of which a person must have; empty when it is too little to look for.

    Digits that are parted by blanks and signs are one number, as people write telephones and cards.
    """
    found: list[Word] = []
    for text in _parts(" ".join(query.split())):
        word = _word(text, region)
        if word is not None:
            found.append(word)
    return found[:WORDS_MAX]


def _parts(query: str) -> Iterator[str]:
    at = 0
    for number in _NUMBERS.finditer(query):
        # Digits within a word belong to it: an address for mail, a card with letters.
        before, behind = query[: number.start()], query[number.start() + len(number[0].rstrip()) :]
        if (before and not before[-1].isspace()) or (behind and not behind[0].isspace()):
            continue
        yield from query[at : number.start()].split()
        yield number[0]
        at = number.end()
    yield from query[at:].split()


def _word(text: str, region: str) -> Word | None:
    digits = "".join(filter(str.isdigit, text))
    if digits.isascii() and digits and not any(map(str.isalpha, text)) and "@" not in text:
        return _number(digits, region) if len(digits) >= _DIGITS_MIN else None
    if "@" in text:
        email = normal.email(text)
        return Word((f"{EMAIL}{email}",), keys=(f"email:{email}",))
    if all(letter in _CONSONANTS for letter in text):
        return Word((f"{INITIALS}{text}",))
    terms = [] if digits else [f"{NAME}{name}" for name in _sought_names(text)]
    plain = text.casefold()
    if plain.isascii() and len(plain) > _LATIN_MIN:
        terms.append(f"{EMAIL}{plain}")
    cards = (text.translate(_CARD_SIGNS),) if digits and len(text) >= _CARD_MIN else ()
    return Word(tuple(terms), cards) if terms or cards else None


def _sought_names(text: str) -> list[str]:
    if is_hangul(text):
        given, surname = split(text)
        return [surname + given] if surname or given else [text]
    return [word for word in words(text) if len(word) >= _LATIN_MIN]


def _number(digits: str, region: str) -> Word:
    """Digits may be the beginning, the middle or the end of a telephone, either end of a card, or a day of birth."""
    code = str(phonenumbers.country_code_for_region(region))
    national = digits.removeprefix("0") if digits.startswith("0") else digits
    end = national if len(digits) >= _WHOLE_NUMBER_DIGITS else digits
    terms = {f"{PHONE}{digits.removeprefix('00')}", f"{PHONE}{code}{national}", f"{PHONE_END}{end[::-1]}"}
    if len(digits) in (6, 8):
        terms.add(f"{BIRTH}{digits}")
    return Word(tuple(sorted(terms)), (digits,) if len(digits) >= _CARD_MIN else (), (end,))


def masked_phone(phone: str) -> str:
    """The last four digits, by which an agent tells numbers apart."""
    return f"***{phone[-4:]}" if phone else ""


def masked_email(email: str) -> str:
    local, at, domain = email.partition("@")
    return f"{local[:1]}***{at}{domain}" if at else ("***" if email else "")
