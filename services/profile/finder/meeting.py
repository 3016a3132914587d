"""Whom might a record be one with? Those that the index holds under the same keys, the likeliest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.profile.duplicates.blocking import LARGEST_BLOCK, keys_to_follow, ranked
from services.profile.duplicates.portrait import Portrait
from services.profile.portraits import key_numbers
from services.profile.store import duplicates as store


class Met(NamedTuple):
    """Candidates by record, and how many keys were not followed because too many records share them."""

    candidates: dict[str, list[str]]
    too_big: int


async def meet(connection: Any, portraits: Mapping[str, Portrait]) -> Met:
    """In two questions to the index, however many records there are."""
    numbers = {record: key_numbers(portrait) for record, portrait in portraits.items()}
    sizes = await store.block_sizes(connection, {key for each in numbers.values() for key in each}, LARGEST_BLOCK + 1)
    followed: dict[str, Sequence[int]] = {}
    too_big = 0
    for record, keys in numbers.items():
        number_of = {text: number for number, text in keys.items()}
        # A block with nobody else in it leads nowhere.
        lookup = keys_to_follow({text: sizes[number] for number, text in keys.items() if sizes[number] > 1})
        followed[record] = [number_of[text] for text in lookup.followed]
        too_big += len(lookup.too_big)
    wanted = {key for each in followed.values() for key in each}
    block: defaultdict[int, list[str]] = defaultdict(list)
    for key, member in await store.members(connection, wanted) if wanted else ():
        block[key].append(member)
    candidates = {
        record: ranked(member for key in keys for member in block[key] if member != record)
        for record, keys in followed.items()
    }
    return Met(candidates, too_big)
