"""Which TCP ports are free on this machine, and who would be in the way?"""

import fcntl
import os
import random
import socket
import tempfile
from contextlib import closing
from pathlib import Path

from deploy.local.failure import StackFailure

LOOPBACK = "127.0.0.1"
# Below the kernel's range for outgoing connections, so that a server which is restarted on
# its port never finds a stranger's connection sitting on it.
_PORT_LOWEST = 20_000
_PORT_HIGHEST = 32_000
_ATTEMPTS = 200


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(port: int, host: str = LOOPBACK) -> bool:
    try:
        with closing(socket.create_connection((host, port), timeout=1)):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port nobody listens on; nobody else is given it while this process lives: safe to give up and take again."""
    generator = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = generator.randint(_PORT_LOWEST, _PORT_HIGHEST)
        if _reserved(port) and is_free(port):
            return port
    raise StackFailure(f"no free port between {_PORT_LOWEST} and {_PORT_HIGHEST}: stop some servers first")


def _reserved(port: int) -> bool:
    """Whether the port is this process's from now on: the lock goes with the process, however that ends."""
    folder = Path(tempfile.gettempdir()) / f"dangol-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    held = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return False
    return True


def require_free(port: int, what: str, remedy: str) -> None:
    if not is_free(port):
        raise StackFailure(f"port {port} for {what} is taken: {remedy}")
