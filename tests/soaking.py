"""For how long does a test that kills things go on? A moment with the other tests, and as long as `make soak` says."""

from __future__ import annotations

import os

VARIABLE = "DANGOL_SOAK_MINUTES"


def soaks() -> bool:
    return VARIABLE in os.environ


def seconds(usual: float) -> float:
    """The usual time, or the minutes of the soak where there is one."""
    return max(usual, 60 * float(os.environ.get(VARIABLE, "0")))
