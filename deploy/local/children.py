"""How is a server process started, watched and ended?"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.failure import StackFailure

_TETHER = Path(__file__).with_name("tethered.py")
_POLL_SECONDS = 0.02
Child = subprocess.Popen[bytes]


def spawn(
    command: Sequence[str],
    log: Path,
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    wrapper: Sequence[str] = (),
    user: str = "-",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Starts a command in its own session, its output appended to `log`, tied to this process's life.

    The kernel ties a child to the *thread* that made it, and threads of a pool come and go,
    so only children started from the main thread are tied.
    """
    tied = threading.current_thread() is threading.main_thread()
    tie = [str(int(death_signal) if tied else 0), str(os.getpid() if tied else 0), user]
    tether = [sys.executable, "-I", "-S", str(_TETHER), *tie]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*wrapper, *tether, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
            cwd=cwd,
        )


def wait_until(ready: Callable[[], bool], child: Child, log: Path, what: str, *, seconds_max: float) -> None:
    """Blocks until `ready`; a child that ends first or takes too long is a StackFailure."""
    deadline = time.monotonic() + seconds_max
    while not ready():
        if child.poll() is not None:
            raise StackFailure(f"{what} ended with code {child.returncode}: {last_words(log)} (log: {log})")
        if time.monotonic() > deadline:
            late = f"{what} did not answer within {seconds_max:.0f} s"
            raise StackFailure(f"{late}: {last_words(log)} (log: {log})")
        time.sleep(_POLL_SECONDS)


def end(child: Child | None, first: signal.Signals, seconds_max: float) -> None:
    """Asks the child to end, and kills its whole group when it does not within the time."""
    if child is None or child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(first)
    try:
        child.wait(seconds_max)
    except subprocess.TimeoutExpired:
        kill_group(child)


def kill_group(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def descendants(pid: int) -> list[int]:
    """The direct children of a process, on systems that list them under /proc."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Whether the process still runs; one that ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) != "Z"


def _state(pid: int) -> str:
    try:
        # The name before it stands in brackets and may hold anything, brackets and spaces too.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def last_words(log: Path, lines: int = 3, separator: str = " | ") -> str:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "no log was written"
    kept = [line.strip() for line in text.splitlines() if line.strip()][-lines:]
    return separator.join(kept) or "the log is empty"
