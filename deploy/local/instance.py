"""Is one supervisor at work on this checkout, and what did a dead one leave behind?"""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local.children import Child, is_alive
from deploy.local.failure import StackFailure
from deploy.local.places import RUN

_LOCK = RUN / "supervisor.lock"
_STOP_SECONDS_MAX = 10.0


@contextlib.contextmanager
def claim() -> Iterator[None]:
    """Holds this checkout's .local for one supervisor; the kernel lets go of it when the process dies."""
    RUN.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise StackFailure(
                f"Dangol already runs on this checkout (process {holder}): stop it first, with Ctrl-C where"
                f" it runs or `kill {holder}`"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def remember(name: str, child: Child) -> None:
    _file(name).write_text(f"{child.pid} {_started(child.pid)}\n")


def forget(name: str) -> None:
    _file(name).unlink(missing_ok=True)


def end_leftovers() -> list[str]:
    """Ends what a supervisor that died left running; a process id that somebody else has now is let be."""
    names = []
    for file in sorted(RUN.glob("*.pid")):
        told = file.read_text().split(maxsplit=1)
        if len(told) == 2 and told[0].isdigit() and _started(int(told[0])) == told[1].strip():
            names.append(file.stem)
            _end(int(told[0]))
        file.unlink(missing_ok=True)
    return names


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS_MAX
    while is_alive(pid):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def _file(name: str) -> Path:
    return RUN / f"{name}.pid"


def _started(pid: int) -> str:
    """When the process began, in the system's own words: with the id it names one process for good."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    ran = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return ran.stdout.strip() or "gone"
