"""How is a person found in what was written about them elsewhere, and nobody else taken for them? Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Final, NamedTuple

from msgspec import Struct

from services.profile.identity import kind_of
from services.profile.normal import is_phone
from services.profile.person.private import is_telling
from services.profile.person.state import Customer

_NAME_WORDS: Final = ("name", "recipient", "이름", "성명", "고객명", "수령인")
_NAME_PARTS_MAX: Final = 6
_LENGTH_MIN: Final = 8
_DIGITS_MIN: Final = 12
_BETWEEN_DIGITS: Final = r"[ .()/\u2010-\u2013-]{0,3}"
_WORD: Final = r"[^\W\uac00-\ud7a3]"
"""A sign of a word in any script but Korean, which puts its particles right behind a name."""
_NO_LETTERS: Final = bytes(each for each in range(256) if each > 127 or not chr(each).isalnum())
_HIDDEN: Final = re.compile(r"\\+u([0-9a-fA-F]{4})")
_BLANK: Final = re.compile(r"\\+[bfnrt]")


class Trail(Struct, frozen=True):
    """`records` are ids, `identifiers` are `<type>:<value>` as normalised, `values` what else names or reaches them."""

    records: list[str]
    identifiers: list[str]
    values: list[str]


def trail_of(records: Sequence[str], identifiers: Sequence[str], states: Iterable[Customer]) -> Trail:
    values: set[str] = set()
    for state in states:
        if state.contacts is not None:
            values.update(point.value for point in state.contacts.held.values())
        if state.traits is not None:
            said = [trait.value for name, trait in state.traits.held.items() if _is_name(name)]
            values.update(_full_names([each for each in said if isinstance(each, str)]))
    return Trail(list(records), list(identifiers), sorted(values))


def finder(trails: Mapping[str, Trail]) -> Callable[[bytes], list[str]]:
    """Says of a message (JSON, or what should have been) which of these people it is about.

    Records, addresses and telephone numbers tell wherever they stand, and so do names of two words or more. Any other
    identifier tells behind its type, and as a whole text when it is too long to be anybody's amount, date or order.
    Names of one word are too many people's, and homes are shared: what holds nothing else of them is not theirs.
    """
    clues: dict[bytes, dict[str, set[str]]] = {}
    for each, trail in trails.items():
        for clue in _clues_of(trail):
            clues.setdefault(clue.needle, {}).setdefault(clue.pattern, set()).add(each)

    def about(message: bytes) -> list[str]:
        text = _text(message)
        letters, whole = _letters(text), text.encode()
        found: set[str] = set()
        # A pattern is tried at every sign, a needle at hardly any, and most messages hold none.
        for needle, patterns in clues.items():
            if needle in (letters if needle.isascii() else whole):
                for pattern, people in patterns.items():
                    if not people <= found and re.search(pattern, text) is not None:
                        found |= people
        return sorted(found)

    return about


class _Clue(NamedTuple):
    """Where `pattern` is found, `needle` stands in the text, or, if it is ASCII, in its `_letters`."""

    needle: bytes
    pattern: str


def _clues_of(trail: Trail) -> Iterator[_Clue]:
    for record in map(_plain, trail.records):
        yield _token(record)
    for value in map(_plain, trail.values):
        yield from _of_value(value)
    for identifier in trail.identifiers:
        kind = kind_of(identifier)
        yield from _of_identifier(_plain(kind), _plain(identifier[len(kind) + 1 :]))


def _letters(text: str) -> bytes:
    """The Latin letters and digits in one piece, whatever parts them."""
    return text.encode().translate(None, _NO_LETTERS)


def _needle(value: str) -> bytes:
    return _letters(value) if value.isascii() else max(value.split(), key=len).encode()


def _of_identifier(kind: str, value: str) -> list[_Clue]:
    if not value:
        return []
    if kind in ("phone", "email") and (found := _of_value(value)):
        return found
    # A source may have sent a number where a text belongs.
    behind_type = rf'(?<![\w:-]){re.escape(kind)}"?\s*:\s*"?\s*{_parted(value)}(?![\w.-])'
    found = [_Clue(_letters(kind + value), behind_type)]
    if len(value) >= (_DIGITS_MIN if value.isdigit() else _LENGTH_MIN):
        found.append(_Clue(_letters(value), rf'"\s*{_parted(value)}\s*"'))
    return found


def _of_value(value: str) -> list[_Clue]:
    if "@" in value:
        whole = rf"(?<![a-z0-9_.+%-]){re.escape(value)}(?![a-z0-9_-])(?!\.[a-z0-9])"
        return [_Clue(_needle(value), whole)]
    if is_phone(value):
        return [_telephone(value)]
    return [_token(value)] if _is_full(value) else []


def _parted(value: str) -> str:
    """A number or code however it is parted; what has no digit in it is taken as it is."""
    if " " in value or not any(map(str.isdigit, value)):
        return re.escape(value)
    return "[ .-]?".join(map(re.escape, value))


def _telephone(value: str) -> _Clue:
    """However it is written: with the country's code or the 0 of calls within it, and with whatever in between."""
    import phonenumbers

    number = phonenumbers.parse(value)
    code = str(number.country_code)
    digits = value[1 + len(code) :]
    national = _BETWEEN_DIGITS.join(digits)
    before = rf"(?:(?:\+|00)?{code}{_BETWEEN_DIGITS})?(?:\(?0\)?{_BETWEEN_DIGITS})?"
    return _Clue(digits.encode(), rf"(?<!\d)(?<!\d\.){before}{national}(?!\.?\d)")


def _token(value: str) -> _Clue:
    """The words as they are, not inside of longer ones; between them any blanks."""
    whole = r"\s+".join(map(re.escape, value.split()))
    return _Clue(_needle(value), rf"(?<!\w)(?<!\w-){whole}(?!{_WORD})(?!-{_WORD})")


def _is_name(trait: str) -> bool:
    return is_telling(trait) and any(word in trait.casefold() for word in _NAME_WORDS)


def _full_names(said: Sequence[str]) -> list[str]:
    """Those of two words or more, and what those of one word make together, in whichever order."""
    parts = list(dict.fromkeys(each.strip() for each in said if len(each.split()) == 1))[:_NAME_PARTS_MAX]
    return [each for each in (*said, *map(" ".join, permutations(parts, 2))) if _is_full(each)]


def _is_full(name: str) -> bool:
    """An initial is no word: neither is a Latin letter by itself."""
    return sum(len(word.encode()) > 1 and not word.isdigit() for word in name.split()) >= 2


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _text(message: bytes) -> str:
    """Without the escapes behind which a name may hide, also where the JSON is broken, or within other JSON."""
    text = message.decode("utf-8", "replace")
    if "\\" in text:
        text = _HIDDEN.sub(lambda found: chr(int(found[1], 16)), text)
        # Two of these may be one sign.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text = _BLANK.sub(" ", text).replace("\\", "")
    return _plain(text)
