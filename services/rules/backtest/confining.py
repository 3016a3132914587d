"""What keeps the process of a job from outgrowing its memory, and from outliving whoever started it?

Both are the kernel's last word, on Linux alone: what a job remembers is bounded by an estimate before that, and it ends
by itself when it finds that nobody reads what it tells.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

BESIDE_MB = 1536
"""For all that is not what is remembered of customers: the program, what is fetched ahead, and millions of firings."""
_PR_SET_PDEATHSIG = 1


def tie_to(parent: int) -> bool:
    """Have this process killed when its parent ends, be it within one long call; False when that is gone already.

    The kernel goes by the thread that started it, so that has to be one that lasts, as the main thread does.
    """
    if sys.platform != "linux":
        return True
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the tie was made; then no signal would ever come.
    return os.getppid() == parent


def bound_memory(megabytes: int) -> None:
    """MemoryError from here on where the process would take so much and `BESIDE_MB` more."""
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = (megabytes + BESIDE_MB) << 20
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
