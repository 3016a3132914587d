"""Where may this process be made to die? Named points at which tests pull the plug; silent unless asked for."""

from __future__ import annotations

import os
import random
import signal


class CrashPoints:
    """`text` is a list such as `after_commit:0.01,before_publish:1`: a name and how likely death is at each visit."""

    def __init__(self, text: str = "") -> None:
        pairs = (entry.partition(":") for entry in text.split(",") if entry)
        self._chances = {name.strip(): float(chance or 1) for name, _, chance in pairs}

    def reach(self, name: str) -> None:
        """Dies here with SIGKILL, as a power cut would, when this point is drawn."""
        if self._chances and random.random() < self._chances.get(name, 0.0):
            os.kill(os.getpid(), signal.SIGKILL)
