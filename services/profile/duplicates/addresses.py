"""What is the house number, and what the street, in what somebody wrote as an address?"""

from __future__ import annotations

import re
import unicodedata

_TOKEN = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[0-9]+[a-z]?(?:[-/][0-9]+[a-z]?)?")
_LONG_FORMS = {
    "st": "street",
    "str": "street",
    "rd": "road",
    "ave": "avenue",
    "av": "avenue",
    "dr": "drive",
    "ln": "lane",
    "ct": "court",
    "cct": "circuit",
    "crt": "court",
    "cres": "crescent",
    "pl": "place",
    "blvd": "boulevard",
    "hwy": "highway",
    "pde": "parade",
    "tce": "terrace",
    "sq": "square",
    "서울특별시": "서울",
    "서울시": "서울",
    "부산광역시": "부산",
    "부산시": "부산",
    "대구광역시": "대구",
    "인천광역시": "인천",
    "광주광역시": "광주",
    "대전광역시": "대전",
    "울산광역시": "울산",
    "세종특별자치시": "세종",
    "경기도": "경기",
}
_NOTHING = frozenset(("na", "none", "null", "unknown", "없음", "미상"))


def tidy(text: str) -> str:
    """Lower case, accents and words kept, punctuation gone, the usual short forms written out."""
    found = _TOKEN.findall(unicodedata.normalize("NFC", text).casefold())
    # In front, "St" is a saint and "Dr" somebody's title.
    kept = found[:1] if found[:1] in (["st"], ["dr"]) else []
    text = " ".join([*kept, *(_LONG_FORMS.get(token, token) for token in found[len(kept) :])])
    return "" if text in _NOTHING else text


def number_and_street(number: str, line: str) -> tuple[str, str]:
    """The number stands by itself or somewhere in the line; the street is the line without it."""
    own = _NUMBER.search(number.casefold())
    if own:
        return own[0], tidy(line)
    inside = _NUMBER.search(line.casefold())
    if inside is None:
        return "", tidy(line)
    rest = line[: inside.start()] + " " + line[inside.end() :]
    return inside[0], tidy(rest)


def postcode(text: str) -> str:
    """Letters and digits alone; a text without any digit is no postcode."""
    squeezed = "".join(_TOKEN.findall(text.casefold()))
    return squeezed if any(letter.isdigit() for letter in squeezed) and len(set(squeezed)) > 1 else ""
