"""What is written beside a profile so that branches see whose data they should put right?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Final
from zlib import crc32

from libs.common.unit import UnitTx
from services.profile.holding import JOINED, Held
from services.profile.person import Customer, Definitions, Moment
from services.profile.person.consents import all_consents
from services.profile.person.contacts import POST
from services.profile.person.deliverability import Standing, is_deliverable, standings
from services.profile.person.folding import bit_of
from services.profile.person.quality import confirmed_day, home_branch
from services.profile.projecting import Happened
from services.profile.store import quality as store
from services.profile.store.quality import Rated

PROBLEMS: Final = (
    "bounced_email",
    "bounced_phone",
    "wrong_email",
    "wrong_phone",
    "wrong_post",
    "missing_contact",
    "missing_consent",
)
"""What can be wrong, in the order of its bit. A person has it when some record shows it and none refutes it."""

_BIT: Final = {name: 1 << at for at, name in enumerate(PROBLEMS)}
_BY_TRAIT: Final = 1 << 62
_REACHED_BY: Final = ("email", "phone")


class QualityRows:
    """A row for each record of whom more is known than a browser; `Customer.filed` says what was written last."""

    def __init__(self, definitions: Callable[[], Definitions]) -> None:
        self._definitions = definitions
        self._bought = bit_of("quality")
        self._concern = JOINED | self._bought
        for name in ("traits", "contacts", "consents", "deliverability"):
            self._concern |= bit_of(name)

    async def keep(self, tx: UnitTx, changed: Sequence[Held], happened: Sequence[Happened]) -> None:
        del happened
        definitions, rows, gone = self._definitions(), [], []
        moved: dict[str, str] = {}
        for held in changed:
            touched = held.touched & self._concern
            if not touched:
                continue
            if touched == self._bought and not held.customer.linked and held.customer.filed != (0, 0):
                # A purchase changes nothing but where they are at home, and mostly not even that.
                if not _at_home(held.customer):
                    _move(held, definitions, moved)
                continue
            row = rated(held, definitions)
            filed = filed_of(row)
            if filed == held.customer.filed:
                continue
            held.customer.filed = filed
            if row is None:
                gone.append(held.id)
            else:
                rows.append(row)
        if rows:
            await store.save(tx, tx.unit, rows)
        if gone:
            await store.drop(tx, gone)
        if moved:
            await store.move(tx, moved)


def filed_of(row: Rated | None) -> tuple[int, int]:
    """What tells a row from others: a checksum of the branch, and one of all else, which is never 0."""
    if row is None:
        return 0, 0
    return crc32(row.branch.encode()), crc32(repr((row.person_id, row.branch_rank, *row[4:])).encode()) or 1


def _move(held: Held, definitions: Definitions, moved: dict[str, str]) -> None:
    """Note where a person with one record is at home, when that is another branch than the row names."""
    branch = home_branch([held.customer], definitions)
    filed = crc32(branch.encode()), held.customer.filed[1]
    if filed != held.customer.filed:
        held.customer.filed = filed
        moved[held.id] = branch


def _at_home(customer: Customer) -> bool:
    """Whether one more purchase was made where the last ones were."""
    bought = customer.quality.bought if customer.quality is not None else None
    return bought is not None and crc32(bought.branch.encode()) == customer.filed[0]


def rated(held: Held, definitions: Definitions) -> Rated | None:
    """The row of one record; None for one of whom nothing is known that anybody could put right."""
    customer = held.customer
    if customer.contacts is None and customer.traits is None and customer.quality is None:
        return None
    records, at = [customer], Moment(held.day, definitions)
    bought = customer.quality.bought if customer.quality is not None else None
    branch = home_branch(records, definitions)
    by_trait = bool(branch) and (bought is None or branch != bought.branch)
    known = standings(records, definitions)
    good, bad = _of_addresses(customer, known)
    consented = any(":" not in key and said.granted for key, said in all_consents(records, at).items())
    if consented:
        good |= _BIT["missing_consent"]
    else:
        bad |= _BIT["missing_consent"]
    confirmed = confirmed_day(records, definitions)
    return Rated(
        held.id,
        customer.person_id if customer.linked else None,
        branch,
        # Of one record alone the rank means nothing, and would be a reason to write with each purchase.
        (_BY_TRAIT if by_trait else bought.at_ms if bought is not None else 0) if customer.linked else 0,
        good,
        bad,
        date.fromordinal(confirmed) if confirmed else None,
    )


def _of_addresses(customer: Customer, known: dict[str, Standing]) -> tuple[int, int]:
    held = customer.contacts.held if customer.contacts is not None else {}
    good = bad = 0
    for point in _REACHED_BY:
        standing = known.get(point)
        if standing is not None and not is_deliverable(standing):
            bad |= _BIT[f"{standing.status}_{point}"]
        elif point in held:
            good |= _BIT[f"bounced_{point}"] | _BIT[f"wrong_{point}"]
    post = known.get(POST)
    if post is not None and post.status == "wrong":
        bad |= _BIT["wrong_post"]
    elif customer.contacts is not None and customer.contacts.post:
        good |= _BIT["wrong_post"]
    if any(point in held for point in _REACHED_BY):
        return good | _BIT["missing_contact"], bad
    return good, bad | _BIT["missing_contact"]


def named(problems: int) -> list[str]:
    return [name for name, bit in _BIT.items() if problems & bit]


def bit_of_problem(name: str) -> int:
    return _BIT[name]
