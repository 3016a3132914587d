"""Does a text say who somebody is? Looked for by what is known of them, wherever a source has put it. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.profile.person import telephones
from services.profile.person.private import folded, is_code, is_place, is_telling, without_contact_data

if TYPE_CHECKING:
    from services.profile.person.state import Customer
    from services.profile.person.traits import Trait

BYTES_MIN: Final = 4
"""What is shorter stands in too many texts that mean something else."""

_DIGITS_COMPARED = 8
_ASCII_LETTER = "[0-9A-Za-z]"
# Bounded: a long run without an @ would be gone through once from each of its signs.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:]{1,64}@[^\s@<>\"'(),;:.]+\.[^\s@<>\"'(),;:]+")
_CHANGING = re.compile(r'["\\:\x00-\x1f\u00c0-\u024f\u0370-\u052f\u1e00-\u1fff]+')
_RUN = re.compile(r"\d(?:[ .()/-]{0,3}\d){6,}")

Test = Callable[[str], bool]


def said_of(records: Iterable[Customer]) -> list[str]:
    """What names or reaches a person in the states of their records."""
    found: list[str] = []
    for record in records:
        if record.contacts is not None:
            found += [point.value for point in record.contacts.held.values()]
        if record.traits is not None:
            found += telling_values(record.traits.held.items())
    return found


def telling_values(traits: Iterable[tuple[str, Trait]]) -> list[str]:
    return [trait.value for name, trait in traits if is_telling(name) and isinstance(trait.value, str)]


def needles_of(values: Iterable[str]) -> tuple[bytes, ...]:
    """What to look for in JSON as `folded` has it, so that none of `values` is overlooked."""
    return tuple([needle for value in values for needle in _needles(value)])


def _needles(value: str) -> tuple[bytes, ...]:
    """Of a telephone number the end, which is the same in all its forms; of mail nothing, for its @ is looked for."""
    if "@" in value:
        return ()
    value = _digits(value) or value
    if not value.isascii():
        value = unicodedata.normalize("NFC", value)
    # What JSON escapes, and letters whose other case has other bytes.
    part = folded(max(_CHANGING.split(value), key=len).lower().encode())
    if len(part) >= BYTES_MIN:
        return (part,)
    forms = {folded(form.encode()) for form in (value, value.lower(), value.upper())} if len(value) > 1 else set()
    return tuple(forms - {b""})


def last_of(value: str) -> bytes:
    """What is quickly looked for in place of `value` in JSON as `folded` has it."""
    end = value[-BYTES_MIN:]
    return end.lower().encode() if end.isalnum() else folded(end.lower().encode())


_PLAIN: Final = bytes(each for each in range(256) if each not in b"@\\+\xc2\xcc\xcd\xe1\xe2\xe3\xef")


def may_reach(body: bytes, found: bytes) -> bool:
    """Whether an e-mail address or a telephone number may stand in JSON, or what nobody sees before it is decoded.

    That are escapes, and signs that have another form: letters in pieces or of full width, unusual dashes and blanks.
    """
    strange = body.translate(None, _PLAIN)
    return bool(strange.strip(b"+")) or telephones.may_stand_in(body, found)


def may_tell(found: bytes, needles: Iterable[bytes]) -> bool:
    """Whether JSON as `folded` has it might hold one of these."""
    for needle in needles:
        if needle in found:
            return True
    return False


def without_telling(data: Any, values: Iterable[str]) -> Any:
    """The same without texts and numbers that hold one of `values` or reach anybody; an object loses the field.

    The telephone number of a branch or shop reaches nobody.
    """
    names = telltale_of(values, reaching=True)

    def tells(text: str, field: str) -> bool:
        return names(text) or (not is_place(field) and telephones.stands_in(plain(text), in_code=is_code(field)))

    return _cleaned(data, tells, "")


def telltale_of(values: Iterable[str], *, reaching: bool = False) -> Test:
    """Says of a text whether it holds one of `values`, or (`reaching`) any e-mail address."""
    numbers = {digits for value in values if (digits := _digits(value))}
    words = {plain(value) for value in values if len(value.encode()) >= BYTES_MIN}
    pattern = re.compile("|".join(map(_bounded, sorted(words)))) if words else None

    def tells(text: str) -> bool:
        text = plain(text)
        if reaching and _mail_stands_in(text):
            return True
        if pattern is not None and pattern.search(text) is not None:
            return True
        if not numbers:
            return False
        runs = ["".join(filter(str.isdigit, run)) for run in _RUN.findall(text)]
        return any(number in run for run in runs for number in numbers)

    return tells


def history_of(value: Any, values: Sequence[str]) -> Any:
    """What a trait says, as the history keeps it: nothing where it names or reaches somebody after all."""
    if isinstance(value, str):
        text = plain(value)
        named = any(plain(each) in text for each in values if len(each.encode()) >= BYTES_MIN)
        return None if named or reaches_somebody(text) else value
    if isinstance(value, Mapping):
        return without_telling(without_contact_data(value), values)
    return without_telling(value, values) if isinstance(value, list) else value


def reaches_somebody(text: str) -> bool:
    """Whether there is an e-mail address or a telephone number in a plain text, whosever it is."""
    return _mail_stands_in(text) or telephones.stands_in(text)


def _mail_stands_in(text: str) -> bool:
    return "@" in text and _EMAIL.search(text) is not None


def _digits(value: str) -> str:
    """The end of a telephone number, which is the same with and without the country's code."""
    is_number = value[:1] == "+" and value[1:].isdigit() and len(value) > _DIGITS_COMPARED
    return value[-_DIGITS_COMPARED:] if is_number else ""


_SAME: Final = {
    **dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)),
    **dict.fromkeys((0xB7, 0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212), "-"),
}


def plain(text: str) -> str:
    """As it is compared: letters in one piece and without case, the usual digits and dashes, nothing unseen."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFKC", text).translate(_SAME).casefold()


def spaced(word: str) -> str:
    """A pattern for a number or code however it is parted; what has no digit in it is taken as it is."""
    if "@" in word or " " in word or not any(map(str.isdigit, word)):
        return re.escape(word)
    return "[ .-]?".join(map(re.escape, word))


def _bounded(word: str) -> str:
    """Not inside of a longer Latin word or number; Korean puts its particles right behind a name."""
    before = rf"(?<!{_ASCII_LETTER})" if re.match(_ASCII_LETTER, word[0]) else ""
    behind = rf"(?!{_ASCII_LETTER})" if re.match(_ASCII_LETTER, word[-1]) else ""
    return before + spaced(word) + behind


def _cleaned(value: Any, tells: Callable[[str, str], bool], field: str) -> Any:
    """`field` is where it stands: the nearest one that has a name, or the one around it that holds a place."""
    if isinstance(value, Mapping):
        kept = {}
        for name, each in value.items():
            inner = field if is_place(field) else name
            if not _is_told(each, tells, inner) and not tells(name, ""):
                kept[name] = _cleaned(each, tells, inner)
        return kept
    if isinstance(value, list):
        return [_cleaned(each, tells, field) for each in value if not _is_told(each, tells, field)]
    return value


def _is_told(value: Any, tells: Callable[[str, str], bool], field: str) -> bool:
    if isinstance(value, str):
        return tells(value, field)
    return isinstance(value, int) and not isinstance(value, bool) and tells(str(value), field)
