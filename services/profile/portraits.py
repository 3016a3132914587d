"""What is kept of each record for those who look for people, or for their doubles? Written with the state itself."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final
from zlib import crc32

import msgspec
from msgspec import Struct

from libs.common.unit import UnitTx
from services.profile import normal
from services.profile.duplicates.blocking import keys_of
from services.profile.duplicates.names import is_hangul, part
from services.profile.duplicates.portrait import Portrait, is_read, portrait_from, said_in
from services.profile.holding import JOINED, Held
from services.profile.person import EVERYTHING, Customer
from services.profile.person.folding import bit_of
from services.profile.projecting import Happened
from services.profile.searching import terms_of
from services.profile.store import portraits as store

NAME_LENGTH_MAX: Final = 200


class Drawn(Struct, array_like=True, frozen=True, gc=False):
    """A portrait, and the name as it was written."""

    portrait: Portrait
    name: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
decoded: Final = msgspec.msgpack.Decoder(Drawn).decode


class Portraits:
    """A projection: portraits, what they are found by, and who is to be looked at again.

    Checksums in the state say what a portrait was drawn from: an event that repeats a telephone number costs the
    check and nothing else. A refold asks the tables instead.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._traits, self._contacts = bit_of("traits"), bit_of("contacts")
        self._concern = self._traits | self._contacts | JOINED

    async def keep(self, tx: UnitTx, changed: Sequence[Held], happened: Sequence[Happened]) -> None:
        del happened
        stale: list[Held] = []
        joined: list[str] = []
        for held in changed:
            touched = held.touched & self._concern
            if held.customer.erased or touched and self._is_stale(held.customer, held.touched):
                stale.append(held)
            elif touched & JOINED and held.customer.portrayed != (0, 0):
                joined.append(held.id)
        looks = joined
        if stale:
            looks = [*joined, *await self._draw(tx, stale)]
        if looks:
            await store.look_again(tx, looks)

    def _is_stale(self, customer: Customer, touched: int) -> bool:
        """Whether the portrait would be another one; notes what it is drawn from."""
        traits, contacts = customer.portrayed
        if touched & self._traits:
            traits = _checksum([(name, each.value) for name, each in _read(customer)])
        if touched & self._contacts:
            contacts = _checksum(list(_reached(customer).items()))
        again = touched & EVERYTHING == EVERYTHING or customer.portrayed != (traits, contacts)
        customer.portrayed = (traits, contacts)
        return again

    async def _draw(self, tx: UnitTx, stale: Sequence[Held]) -> list[str]:
        """Returns whose portraits say something else than before."""
        known = await store.load(tx, [held.id for held in stale])
        fresh: list[store.Stored] = []
        looks: list[str] = []
        for held in stale:
            before = known.get(held.id, store.Stored(held.id, b"", frozenset(), frozenset()))
            after, drawn = self._stored(held)
            if after == before:
                continue
            fresh.append(after)
            if after.body and (not before.body or decoded(before.body).portrait != drawn.portrait):
                looks.append(held.id)
        if fresh:
            await store.save(tx, tx.unit, fresh, known)
        return looks

    def _stored(self, held: Held) -> tuple[store.Stored, Drawn]:
        drawn = draw(held.id, held.customer, self._region)
        keys, terms = key_numbers(drawn.portrait), terms_of(drawn.portrait)
        body = _encode(drawn) if keys or terms else b""
        return store.Stored(held.id, body, frozenset(keys), frozenset(terms)), drawn


def draw(record: str, customer: Customer, region: str) -> Drawn:
    traits: dict[str, Any] = {name: each.value for name, each in _read(customer)} | _reached(customer)
    said = said_in(traits)
    return Drawn(portrait_from(record, said, region=region), _name(said)[:NAME_LENGTH_MAX])


def key_numbers(portrait: Portrait) -> dict[int, str]:
    """The blocking keys by the numbers under which the index has them; two that share one by chance do no harm."""
    return {
        int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), signed=True): key for key in keys_of(portrait)
    }


def _read(customer: Customer) -> list[tuple[str, Any]]:
    held = customer.traits.held if customer.traits is not None else {}
    return [(name, each) for name, each in sorted(held.items()) if isinstance(each.value, dict) or is_read(name)]


def _reached(customer: Customer) -> dict[str, str]:
    held = customer.contacts.held if customer.contacts is not None else {}
    return {point: held[point].value for point in ("phone", "email") if point in held}


def _checksum(values: list[Any]) -> int:
    return crc32(repr(values).encode("utf-8", "surrogatepass")) if values else 0


def _name(said: dict[str, str]) -> str:
    """As it was written; of two parts, in the order of the language."""
    given, surname, full = said["given"], said["surname"], said["full"]
    if not (given and surname):
        return normal.name(full or given or surname)
    if is_hangul(part(given)) and is_hangul(part(surname)):
        return normal.name(surname + given)
    return normal.name(f"{given} {surname}")
