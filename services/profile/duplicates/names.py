"""What are the given name and the surname in what somebody wrote as a name?"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NOBODY = frozenset(
    "na none null unknown test tester anonymous guest customer noname 고객 미상 없음 테스트 손님 비회원 무명".split()
)
_TITLES = frozenset(
    "mr mrs ms miss mx dr prof sir dame lord lady rev hon baron baronet count countess duke duchess "
    "jr sr ii iii iv esq phd md 님 씨 선생님 고객님".split()
)
_LONG_SURNAMES = ("남궁", "황보", "제갈", "사공", "선우", "서문", "독고", "동방")
_SYLLABLES = "가-힣"
_KOREAN_NAME = re.compile(f"[{_SYLLABLES}]{{2,5}}")
_POLITE = re.compile(r"(?<=..)(고객님|선생님|님)$")
_KOREAN_SURNAMES_LATIN = frozenset(
    "kim gim lee yi rhee park bak pak choi choe jung jeong chung kang gang cho jo yoon yun jang chang lim im "
    "rim han oh seo suh shin sin kwon gwon hwang ahn an song ryu yoo yu hong jeon jun ko go moon mun son sohn "
    "yang bae baek paik heo hur nam sim shim noh roh ha kwak gwak sung seong cha joo ju woo koo gu min jin ji".split()
)


def words(text: str) -> list[str]:
    """Lower-case words without digits, titles and punctuation; a hyphen parts nothing, so Min-jun is minjun."""
    text = unicodedata.normalize("NFC", text).casefold().replace("-", "").replace("’", "'").replace(".", " ")
    found = [word.replace("'", "") for word in _WORD.findall(text)]
    return [word for word in found if word not in _TITLES]


def is_hangul(text: str) -> bool:
    return bool(text) and all("가" <= letter <= "힣" or letter == " " for letter in text)


def part(text: str) -> str:
    """A given name or a surname in its compared form; empty when it names nobody."""
    found = words(text)
    if not found or (len(found) == 1 and found[0] in _NOBODY) or len(set("".join(found))) < 2 < len("".join(found)):
        return ""
    return "".join(found) if is_hangul("".join(found)) else " ".join(found)


def split(full: str) -> tuple[str, str]:
    """Given name and surname of a whole name; `("", "")` when there is none, no surname for a single word."""
    before, comma, after = full.partition(",")
    if comma and words(before) and words(after):
        return part(after), part(before)
    name = part(full)
    if is_hangul(name):
        return _split_korean(_POLITE.sub("", name))
    found = name.split()
    if len(found) < 2:
        return name, ""
    if found[0] in _KOREAN_SURNAMES_LATIN and found[-1] not in _KOREAN_SURNAMES_LATIN:
        return "".join(found[1:]), found[0]
    return " ".join(found[:-1]), found[-1]


def _split_korean(name: str) -> tuple[str, str]:
    """The surname comes first and has one syllable, but for a few of two that need a third one after them."""
    if not _KOREAN_NAME.fullmatch(name):
        return name, ""
    size = 2 if name.startswith(_LONG_SURNAMES) and len(name) > 2 else 1
    return name[size:], name[:size]


def given_and_surname(given: str, surname: str, full: str) -> tuple[str, str]:
    """The two from whatever of the three is known; a whole Korean name in one of the two boxes is parted."""
    mine, family = part(given), part(surname)
    if not family and is_hangul(mine) and len(mine) > 2:
        return split(given)
    if not mine and is_hangul(family) and len(family) > 2:
        return split(surname)
    if is_hangul(mine) and is_hangul(family) and len(mine) > len(family) and len(mine) > 2 and mine.startswith(family):
        return mine[len(family) :], family
    if not (mine or family):
        return split(full)
    if not (mine and family) and full:
        other_given, other_family = split(full)
        return mine or other_given, family or other_family
    return mine, family
