"""How shall a provider misbehave? Set for a door (smtp, sms, webhook), for so many requests or for good.

latency          answers after `seconds`
429, 503         refuses, and asks to come back after `seconds`
500              fails, without saying whether it accepted
hang             never answers
drop             closes the connection and accepts nothing
accept_then_drop accepts, then closes the connection without an answer
reject           refuses for good
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODES = ("latency", "429", "503", "500", "hang", "drop", "accept_then_drop", "reject")
DOORS = ("smtp", "sms", "webhook")
NONE = ""


@dataclass
class Fault:
    """`times` None means until it is taken back; every `every`-th request meets it."""

    mode: str
    times: int | None = None
    seconds: float = 1.0
    every: int = 1
    seen: int = 0

    def is_met(self) -> bool:
        self.seen += 1
        if self.times == 0 or self.seen % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    def __init__(self, text: str = "{}") -> None:
        self._by_door: dict[str, Fault] = {}
        for door, wanted in json.loads(text or "{}").items():
            self.set(door, wanted)

    def set(self, door: str, wanted: Mapping[str, Any] | None) -> None:
        """None, or a mode that is empty, takes the fault back. ValueError says what is not known."""
        if door not in DOORS:
            raise ValueError(f"no door {door!r}: there are {', '.join(DOORS)}")
        mode = str((wanted or {}).get("mode", NONE))
        if not mode:
            self._by_door.pop(door, None)
            return
        if mode not in MODES:
            raise ValueError(f"no mode {mode!r}: there are {', '.join(MODES)}")
        assert wanted is not None
        times = wanted.get("times")
        self._by_door[door] = Fault(
            mode,
            None if times is None else int(times),
            float(wanted.get("seconds", 1.0)),
            max(1, int(wanted.get("every", 1))),
        )

    def next(self, door: str) -> Fault | None:
        """The fault that this request meets, if any."""
        fault = self._by_door.get(door)
        return fault if fault is not None and fault.is_met() else None
