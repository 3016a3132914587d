"""What may owners define about consent? Purposes, double opt-in, what is owed where, and the ladder of permission."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from msgspec import Meta, Struct, field

MARKETING: Final = "marketing"
NIGHT: Final = "night"

Days = Annotated[int, Meta(ge=0, le=3_660)]
Years = Annotated[int, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$", max_length=40)]


class Purpose(Struct, frozen=True):
    """What a consent may be for.

    `needs_marketing`: it counts only beside the marketing consent of its channel. `falls_with_marketing`: whoever
    withdraws that has withdrawn this. `owes`: the law wants its statements answered and its consent confirmed anew.
    """

    title: str
    needs_marketing: bool = False
    falls_with_marketing: bool = True
    owes: bool = False


class Duties(Struct, frozen=True):
    """What is owed to whoever lives in a place; 0 is nothing.

    The result of a statement is told within `notice_days`. A consent is confirmed anew every `reconfirm_years`, before
    the same day of the calendar; it is time for that `reconfirm_start_days` before.
    """

    notice_days: Days = 0
    reconfirm_years: Years = 0
    reconfirm_start_days: Days = 30


class Level(Struct, frozen=True):
    """A rung of the ladder, and what puts somebody on it.

    `acquainted`: an address of theirs is known, or they have bought. `channels` by how many they may be sent marketing.
    """

    name: Name
    acquainted: bool = False
    purchases: Count = 0
    channels: Count = 0


def _purposes() -> dict[str, Purpose]:
    return {
        MARKETING: Purpose("Advertising", falls_with_marketing=False, owes=True),
        NIGHT: Purpose("Advertising at night", needs_marketing=True, owes=True),
        "transactional": Purpose("Messages about an order or an account", falls_with_marketing=False),
        "profiling": Purpose("Offers that follow from what was done", falls_with_marketing=False),
        "provision": Purpose("Handing data to a partner, who is named behind a colon"),
    }


def _duties() -> dict[str, Duties]:
    return {"KR": Duties(notice_days=14, reconfirm_years=2), "EU": Duties(), "US": Duties()}


def _jurisdictions() -> dict[str, str]:
    members = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE"
    return dict.fromkeys(members.split(), "EU")


def _zones() -> dict[str, str]:
    america = "New_York Chicago Denver Phoenix Los_Angeles Anchorage Detroit Boise"
    europe = "Amsterdam Athens Berlin Brussels Budapest Copenhagen Dublin Helsinki Lisbon Madrid Paris Prague Rome"
    more = "Stockholm Vienna Warsaw"
    return {
        "Asia/Seoul": "KR",
        **{f"America/{name}": "US" for name in america.split()},
        **{f"Europe/{name}": "EU" for name in f"{europe} {more}".split()},
    }


def _levels() -> list[Level]:
    return [
        Level("subscriber", purchases=1, channels=2),
        Level("customer", purchases=1, channels=1),
        Level("friend", channels=1),
        Level("acquaintance", acquainted=True),
        Level("stranger"),
    ]


class ConsentTerms(Struct, frozen=True):
    """`purposes` that are not defined are known by their name; what stands behind a colon is whom they are for.

    `double_opt_in`: from which day on a consent by a channel waits to be confirmed, for `pending_days` at most.
    `duties` by jurisdiction: that of the customer's `country` (ISO 3166, by `jurisdictions` where it is not one
    itself), else of their zone, else `jurisdiction`; a place of which nothing is said is held to that as well.
    `levels` from the top: the first that somebody meets is theirs.
    """

    purposes: dict[Name, Purpose] = field(default_factory=_purposes)
    double_opt_in: dict[str, date] = field(default_factory=dict)
    pending_days: Days = 14
    jurisdiction: str = "KR"
    duties: dict[str, Duties] = field(default_factory=_duties)
    jurisdictions: dict[str, str] = field(default_factory=_jurisdictions)
    zones: dict[str, str] = field(default_factory=_zones)
    levels: Annotated[list[Level], Meta(min_length=1)] = field(default_factory=_levels)

    def purpose(self, name: str) -> Purpose:
        """What is defined of a purpose, of its family where it names a partner, else the cautious default."""
        found = self.purposes.get(name)
        if found is None:
            found = self.purposes.get(name.partition(":")[0])
        return found if found is not None else UNDEFINED


UNDEFINED = Purpose("")
