"""Which records are worth comparing? Those that share a key, where not too many share it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from msgspec import Struct

from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.sounds import sound_of

LARGEST_BLOCK = 100
MOST_CANDIDATES = 500
_EMAIL_LETTERS = 6


def keys_of(portrait: Portrait) -> set[str]:
    """The keys under which an index should hold this record, at most 19; two records are compared if they share one.

    Every key but the contact points joins two things, each in a form that forgives its usual slips, and is repeated
    with a third one, so that where the first block is too big its parts are not.
    """
    given, surname = sound_of(portrait.given.partition(" ")[0]), sound_of(portrait.surname.replace(" ", ""))
    keys = {f"{kind}={value}" for kind, value in _contacts(portrait) if value}
    keys.update(f"{kind}={'|'.join(values)}" for kind, values in _pairs(portrait, given, surname) if all(values))
    return keys


def _contacts(portrait: Portrait) -> Iterator[tuple[str, str]]:
    yield "phone", portrait.phone
    yield "email", portrait.email
    yield "id", portrait.id_number


def _pairs(portrait: Portrait, given: str, surname: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    birth = portrait.birth if len(portrait.birth) == 8 else ""
    year = portrait.birth[:4] if len(portrait.birth) != 6 else ""
    short, day = (portrait.birth[-6:], portrait.birth[-4:]) if len(portrait.birth) >= 6 else ("", "")
    city = sound_of(portrait.city.replace(" ", ""))
    # The order of the two names is a common mistake, so both names make the same kinds of keys.
    names = tuple(sorted((given, surname))) if given and surname else ("",)
    for name in (given, surname):
        yield "birth+initial", (short, name[:1])
        yield "name+year", (name, year)
        yield "name+postcode", (name, portrait.postcode)
    yield "names", names
    yield "names+year", (*names, year)
    yield "names+day", (*names, "".join(sorted((day[:2], day[2:]))) if day else "")
    yield "names+city", (*names, city)
    yield "birth+postcode", (birth, portrait.postcode)
    yield "birth+city", (birth, city)
    yield from _addresses(portrait, city)
    prefix = "".join(filter(str.isalnum, portrait.email))[:_EMAIL_LETTERS]
    yield "email+year", (prefix, year)
    yield "email+given", (prefix, given)


def _addresses(portrait: Portrait, city: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    street = sound_of(portrait.street.partition(" ")[0])
    yield "street+postcode", (portrait.number, street, portrait.postcode)
    yield "street+city", (portrait.number, street, city)


class Blocks(Struct, frozen=True):
    """Pairs of positions, the smaller one first, and how many keys too many records share to be followed."""

    pairs: list[tuple[int, int]]
    too_big: int


def candidate_pairs(portraits: Sequence[Portrait], *, largest: int = LARGEST_BLOCK) -> Blocks:
    """Everybody against everybody, as far as they share a key that at most `largest` records have."""
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for at, portrait in enumerate(portraits):
        for key in keys_of(portrait):
            blocks[key].append(at)
    pairs = {pair for block in blocks.values() if len(block) <= largest for pair in combinations(block, 2)}
    return Blocks(sorted(pairs), sum(len(block) > largest for block in blocks.values()))


def candidates_between(left: Sequence[Portrait], right: Sequence[Portrait], *, largest: int = LARGEST_BLOCK) -> Blocks:
    """The same between two files: a position in the left one and one in the right one."""
    blocks: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, portraits in enumerate((left, right)):
        for at, portrait in enumerate(portraits):
            for key in keys_of(portrait):
                blocks[key][side].append(at)
    small = [sides for sides in blocks.values() if len(sides[0]) + len(sides[1]) <= largest]
    pairs = {(one, other) for ones, others in small for one in ones for other in others}
    return Blocks(sorted(pairs), len(blocks) - len(small))


class Lookup(Struct, frozen=True):
    """Which keys of one record to follow in an index, and which not: too many records share them."""

    followed: tuple[str, ...]
    too_big: tuple[str, ...]
    candidates_max: int


def keys_to_follow(sizes: Mapping[str, int], *, largest: int = LARGEST_BLOCK, most: int = MOST_CANDIDATES) -> Lookup:
    """The keys of one record by what an index says of them: smallest blocks first, until `most` candidates are had."""
    followed: list[str] = []
    held = 0
    for key in sorted(sizes, key=lambda key: (sizes[key], key)):
        if sizes[key] > largest or held + sizes[key] > most:
            break
        followed.append(key)
        held += sizes[key]
    return Lookup(tuple(followed), tuple(sorted(set(sizes).difference(followed))), held)


def ranked(shared: Iterable[str], *, most: int = MOST_CANDIDATES) -> list[str]:
    """Candidates in the order in which they deserve a look: `shared` names one as often as it shares a key."""
    counts = Counter(shared)
    return sorted(counts, key=lambda record: (-counts[record], record))[:most]
