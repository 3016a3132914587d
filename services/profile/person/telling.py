"""Does a text say who somebody is? Looked for by what is known of them, wherever a source has put it. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.profile.person.private import is_telling, without_contact_data

if TYPE_CHECKING:
    from services.profile.person.state import Customer
    from services.profile.person.traits import Trait

BYTES_MIN: Final = 4
"""What is shorter stands in too many texts that mean something else."""

_DIGITS_COMPARED = 8
_ASCII_LETTER = "[0-9A-Za-z]"
# Bounded: a long run without an @ would be gone through once from each of its signs.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:]{1,64}@[^\s@<>\"'(),;:.]+\.[^\s@<>\"'(),;:]+")
_NUMBER = re.compile(r"(?<![\d.+-])(?:\+\d[\d -]{7,18}\d|0\d{1,2}[- .]?\d{3,4}[- .]?\d{4})(?![\d.])")
_CHANGING = re.compile(r'["\\\x00-\x1f\u00c0-\u024f\u0370-\u052f\u1e00-\u1fff]+')
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
    """What to look for in JSON whose Latin letters are in lower case, so that none of `values` is overlooked."""
    return tuple([needle for value in values for needle in _needles(value)])


def _needles(value: str) -> tuple[bytes, ...]:
    """Of what ends in a digit the last four signs, which stay together however a number is written; of mail nothing."""
    if "@" in value:
        return ()
    if value[-1:].isdigit() and value[-4:].isalnum():
        value = value[-4:]
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return (value.lower().encode(),) if len(value) >= BYTES_MIN else ()
    # What JSON escapes, and letters whose other case has other bytes.
    part = max(_CHANGING.split(value), key=len).lower().encode()
    if len(part) >= BYTES_MIN:
        return (part,)
    return tuple({form.encode().lower() for form in (value, value.lower(), value.upper())}) if len(value) > 1 else ()


def may_reach(lowered: bytes) -> bool:
    """Whether an e-mail address may stand in JSON, or something behind escapes that nobody has looked at."""
    return b"@" in lowered or b"\\u" in lowered


def may_tell(lowered: bytes, needles: Iterable[bytes]) -> bool:
    """Whether JSON, in lower case, might hold one of these, or an e-mail address; cheap, and sometimes too careful."""
    return may_reach(lowered) or any(needle in lowered for needle in needles)


def without_telling(data: Any, values: Iterable[str]) -> Any:
    """The same without texts and numbers that hold one of `values` or reach anybody; an object loses the field."""
    return _cleaned(data, telltale_of(values, reaching=True))


def telltale_of(values: Iterable[str], *, reaching: bool = False) -> Test:
    """Says of a text whether it holds one of `values`, or (`reaching`) any e-mail address."""
    numbers = {digits for value in values if (digits := _digits(value))}
    words = {_plain(value) for value in values if len(value.encode()) >= BYTES_MIN}
    pattern = re.compile("|".join(map(_bounded, sorted(words)))) if words else None

    def tells(text: str) -> bool:
        if reaching and _EMAIL.search(text) is not None:
            return True
        if pattern is not None and pattern.search(_plain(text)) is not None:
            return True
        if not numbers:
            return False
        runs = ["".join(filter(str.isdigit, run)) for run in _RUN.findall(text)]
        return any(number in run for run in runs for number in numbers)

    return tells


def history_of(value: Any, values: Sequence[str]) -> Any:
    """What a trait says, as the history keeps it: nothing where it names or reaches somebody after all."""
    if isinstance(value, str):
        named = any(each.casefold() in value.casefold() for each in values if len(each.encode()) >= BYTES_MIN)
        return None if named or reaches_somebody(value) else value
    if isinstance(value, Mapping):
        return without_telling(without_contact_data(value), values)
    return without_telling(value, values) if isinstance(value, list) else value


def reaches_somebody(text: str) -> bool:
    """Whether there is an e-mail address or a telephone number in it, whosever it is."""
    return _EMAIL.search(text) is not None or _NUMBER.search(text) is not None


def _digits(value: str) -> str:
    """The end of a telephone number, which is the same with and without the country's code."""
    is_number = value[:1] == "+" and value[1:].isdigit() and len(value) > _DIGITS_COMPARED
    return value[-_DIGITS_COMPARED:] if is_number else ""


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


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


def _cleaned(value: Any, tells: Test) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _cleaned(each, tells) for name, each in value.items() if not _is_told(each, tells) and not tells(name)
        }
    if isinstance(value, list):
        return [_cleaned(each, tells) for each in value if not _is_told(each, tells)]
    return value


def _is_told(value: Any, tells: Test) -> bool:
    if isinstance(value, str):
        return tells(value)
    return isinstance(value, int) and not isinstance(value, bool) and tells(str(value))
