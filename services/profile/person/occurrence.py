"""What is an event, as it acts on a profile?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from services.profile.person.definitions import Definitions


class Occurrence(Struct, gc=False):
    """One event, command or response; `data` is decoded, `identifiers` are normalised, times are Unix milliseconds.

    `received_ms` is when we came to know of it. It is what nobody can set, for what must not be claimed for the future.
    `data` holds what reference data adds, and `region` is the branch's. `standing` is what a ledger says after this
    event, None where it was not asked: a refold asks none.
    """

    type: str
    at_ms: int
    source: str
    id: str = ""
    data: Mapping[str, Any] = {}
    identifiers: Mapping[str, str] = {}
    channel: str = ""
    branch: str = ""
    received_ms: int = 0
    history: bool = False
    traffic: str = ""
    standing: Any = None
    region: str = ""


Effect = Callable[[Any, Occurrence, Definitions], bool]
"""Changes the state of one chapter by an event; says whether anything changed.

What two events leave behind never depends on which of them came first, only on what they say and when they happened.
"""
