"""What stays of a word when it is written as it sounds, or with a slip of the finger?"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_CLASSES = {
    letter: str(sound)
    for sound, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), 1)
    for letter in letters
}
_SOUNDS_MAX = 4
_FINAL_CONSONANTS = ("\u11a8", "\u11ff")


@lru_cache(maxsize=65536)
def sound_of(word: str) -> str:
    """First letter and the classes of the consonants (Soundex, n and m as one), or Hangul without its finals.

    Accents are nothing; writing systems that are neither Latin nor Korean stay as they are.
    """
    letters = "".join(
        letter for letter in unicodedata.normalize("NFKD", word) if letter.isalpha() and not _is_final(letter)
    )
    if not letters.isascii():
        return unicodedata.normalize("NFC", letters)
    code, last = letters[:1], _CLASSES.get(letters[:1], "")
    for letter in letters[1:]:
        sound = _CLASSES.get(letter, "")
        if sound and sound != last:
            code += sound
        if letter not in "hw":
            last = sound
    return code[:_SOUNDS_MAX]


def _is_final(letter: str) -> bool:
    return _FINAL_CONSONANTS[0] <= letter <= _FINAL_CONSONANTS[1]
