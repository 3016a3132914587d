"""Does a text say who somebody is? Looked for by what is known of them, wherever a source has put it. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.profile.person import telephones
from services.profile.person.private import (
    NUMBER_OF_A_PLACE,
    folded,
    is_code,
    is_number,
    is_number_of_a_place,
    is_place,
    is_telling,
    without_contact_data,
)

if TYPE_CHECKING:
    from services.profile.person.state import Customer
    from services.profile.person.traits import Trait

BYTES_MIN: Final = 4
"""What is shorter stands in too many texts that mean something else."""

_DIGITS_COMPARED = 8
_OCCURRENCES_MAX = 100
_WHOLE_MAX = 2.0**53
_PARTING = re.compile(rf"[{telephones.SIGNS}]")
# The @ comes first: from whatever stands before it, what stands behind it would be gone through again and again.
_EMAIL = re.compile(r"@(?<=[^\s@<>\"'(),;:]@)[^\s@<>\"'(),;:.]+\.[^\s@<>\"'(),;:]")
_CHANGING = re.compile(r'["\\:\x00-\x1f\u00c0-\u024f\u0370-\u052f\u1e00-\u1fff]+')
_RUN = re.compile(rf"\d(?:{telephones.SIGN}\d){{6,}}")

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


_PLAIN: Final = bytes(each for each in range(256) if each not in b"\xc2\xcc\xcd\xe1\xe2\xe3\xef")


def may_reach(body: bytes) -> bool:
    """Whether an e-mail address or a telephone number may stand in JSON, or what nobody sees before it is decoded.

    That are escapes, and signs that have another form: letters in pieces or of full width, unusual dashes and blanks.
    """
    if b"@" in body or b"\\" in body or not body.isascii() and body.translate(None, _PLAIN):
        return True
    return telephones.may_stand_in(body)


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
    return _without(data, telltale_of(values, reaching=True))


def _without(data: Any, names: Test) -> Any:
    def tells(text: str, field: str) -> bool:
        if names(text):
            return True
        return not is_number_of_a_place(field) and telephones.stands_in(plain(text), in_code=is_code(field))

    return _cleaned(data, tells, "")


def telltale_of(values: Iterable[str], *, reaching: bool = False) -> Test:
    """Says of a text whether it holds one of `values`, or (`reaching`) any e-mail address."""
    values = list(values)
    numbers = {digits for value in values if (digits := _digits(value))}
    words = {plain(value) for value in values if len(value.encode()) >= BYTES_MIN}
    codes = {code for word in words if (code := _code(word))}
    words = {word for word in words if not _code(word)}

    def tells(text: str) -> bool:
        text = plain(text)
        if reaching and _mail_stands_in(text):
            return True
        if any(word in text and _stands_in(word, text, range(len(text)), text) for word in words):
            return True
        if codes and _holds_code(text, codes):
            return True
        if not numbers:
            return False
        runs = ["".join(filter(str.isdigit, run)) for run in _RUN.findall(text)]
        return any(number in run for run in runs for number in numbers)

    return tells


def historian(values: Sequence[str]) -> Callable[[Any], Any]:
    """Tells of a trait's value what the history keeps of it: nothing where it names or reaches somebody after all."""
    known = [plain(each) for each in values if len(each.encode()) >= BYTES_MIN]

    def kept(value: Any) -> Any:
        if (said := _written(value)) is not None:
            text = plain(said)
            for each in known:
                if each in text:
                    return None
            return None if reaches_somebody(text) else value
        if isinstance(value, dict):
            return _without(without_contact_data(value), telltale_of(values, reaching=True))
        return _without(value, telltale_of(values, reaching=True)) if isinstance(value, list) else value

    return kept


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
    # The middle dots of Korea and Japan, and bullets; then waves.
    **dict.fromkeys((0x119E, 0x30FB, 0x2022, 0x2027, 0x2219), "-"),
    **dict.fromkeys((0x223C, 0x301C), "~"),
}


def plain(text: str) -> str:
    """As it is compared: letters in one piece and without case, the usual digits and dashes, nothing unseen."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFKC", text).translate(_SAME).casefold()


def _code(word: str) -> str:
    """A number or code without what parts it; empty for words, which are taken as they are."""
    if "@" in word or " " in word or not any(map(str.isdigit, word)):
        return ""
    code = _PARTING.sub("", word)
    return code if len(code) >= BYTES_MIN else ""


def _holds_code(text: str, codes: Iterable[str]) -> bool:
    """Whether one of these stands in it, however it is parted: by one sign, but not all over the text."""
    joined = _PARTING.sub("", text)
    found = [code for code in codes if code in joined]
    if not found:
        return False
    places = [at for at, sign in enumerate(text) if not _PARTING.match(sign)]
    return any(_stands_in(code, joined, places, text) for code in found)


def _stands_in(word: str, joined: str, places: Sequence[int], text: str) -> bool:
    """Whether `word` is in `joined`, whose signs have their `places` in `text`, and there not inside of another word.

    What is inside of others again and again is taken for found, for nobody waits until all of them are looked at.
    """
    at = joined.find(word)
    for _ in range(_OCCURRENCES_MAX):
        if at < 0:
            return False
        first, last = places[at], places[at + len(word) - 1]
        if last - first < 2 * len(word) and _is_whole(text, first, last):
            return True
        at = joined.find(word, at + 1)
    return True


def _is_whole(text: str, first: int, last: int) -> bool:
    """Not inside of a longer Latin word or number; Korean puts its particles right behind a name."""
    before, behind = text[max(first - 1, 0) : first + 1], text[last : last + 2]
    return not (_inside(before) or _inside(behind))


def _inside(pair: str) -> bool:
    return len(pair) == 2 and pair.isascii() and pair.isalnum()


def _cleaned(value: Any, tells: Callable[[str, str], bool], field: str) -> Any:
    """`field` is the nearest one around it that has a name."""
    if isinstance(value, Mapping):
        kept = {}
        for name, each in value.items():
            inner = NUMBER_OF_A_PLACE if is_place(field) and is_number(name) else name
            if not _is_told(each, tells, inner) and not tells(name, ""):
                kept[name] = _cleaned(each, tells, inner)
        return kept
    if isinstance(value, list):
        return [_cleaned(each, tells, field) for each in value if not _is_told(each, tells, field)]
    return value


def _is_told(value: Any, tells: Callable[[str, str], bool], field: str) -> bool:
    return (said := _written(value)) is not None and tells(said, field)


def _written(value: Any) -> str | None:
    """A text or a whole number as it would be written; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_MAX:
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
