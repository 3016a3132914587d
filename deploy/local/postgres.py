"""How is a PostgreSQL server of our own started and stopped, as root or not, without touching the system?"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from deploy.local import children, postgres_binaries
from deploy.local.failure import StackFailure
from deploy.local.ports import LOOPBACK, require_free
from deploy.local.settings import environment

USER = "dangol"
_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 10.0
_LOCALE = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
_ALWAYS = {
    # No Unix socket: its path would be limited to 107 bytes, and nobody needs it.
    "unix_socket_directories": "",
    "listen_addresses": LOOPBACK,
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Our queries are short; compiling them costs more than it saves.
    "jit": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
_THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
}


class PostgresServer:
    """One server in `directory`, on the loopback `port`; start, stop and start again keep the data.

    `durable=False` turns fsync off: for servers that live as long as a test run.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        durable: bool = True,
        *,
        password: str | None = None,
        max_connections: int | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.durable = durable
        self.log = self.directory / "postgres.log"
        self._password = password
        self._settings = {**_ALWAYS, **({} if durable else _THROWAWAY), **(settings or {})}
        self._settings["max_connections"] = str(max_connections or (200 if durable else 300))
        self._child: children.Child | None = None
        self._running_data = self.directory

    @property
    def password(self) -> str:
        kept = self.directory / "password"
        if self._password is None:
            if not kept.exists():
                _write_private(kept, secrets.token_urlsafe(24))
            self._password = kept.read_text().strip()
        return self._password

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/postgres"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Blocks until the server takes connections; makes the cluster at the first start."""
        self.launch()
        self.wait_ready()

    def launch(self) -> children.Child:
        """Starts the process and returns; only the first start takes half a second, to make the cluster."""
        self.directory.mkdir(parents=True, exist_ok=True)
        binaries = postgres_binaries.find(self._existing_major())
        data = self._data(binaries)
        end_previous(data)
        require_free(self.port, "PostgreSQL", "stop what listens there or choose another port")
        if not (data / "PG_VERSION").exists():
            self._make_cluster(binaries, data)
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        self._child = children.spawn(
            [binaries.program("postgres"), "-D", str(data), "-p", str(self.port), *options],
            self.log,
            death_signal=signal.SIGINT,
            wrapper=binaries.wrapper,
            user=binaries.user,
            env=_environment(),
            cwd=data,
        )
        self._running_data = data
        return self._child

    def wait_ready(self) -> None:
        child, data = self._child, self._running_data
        if child is None:
            raise StackFailure("PostgreSQL was not launched")
        children.wait_until(
            lambda: _is_ready(data, child.pid), child, self.log, "PostgreSQL", seconds_max=_START_SECONDS_MAX
        )

    def stop(self, immediate: bool = False) -> None:
        """A fast shutdown; `immediate` skips the last checkpoint, and the next start recovers instead."""
        children.end(self._child, signal.SIGQUIT if immediate else signal.SIGINT, _STOP_SECONDS_MAX)
        self._child = None

    def kill(self) -> None:
        """kill -9 of the server and all its backends, as a crash of the machine would."""
        if self._child is None:
            return
        backends = children.descendants(self._child.pid)
        children.kill_group(self._child)
        for pid in backends:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _wait_gone(backends)
        self._child = None

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(immediate=not self.durable)
        if not self.durable and self._running_data.parent != self.directory:
            shutil.rmtree(self._running_data, ignore_errors=True)

    def _data(self, binaries: postgres_binaries.Binaries) -> Path:
        data = self.directory / "data"
        if binaries.user == "-" or postgres_binaries.others_can_reach(self.directory):
            return data
        return postgres_binaries.private_place(self.directory, "pg-data")

    def _existing_major(self) -> int | None:
        stand_in = postgres_binaries.private_place(self.directory, "pg-data")
        for data in (self.directory / "data", stand_in):
            with contextlib.suppress(OSError, ValueError):
                return int((data / "PG_VERSION").read_text())
        return None

    def _make_cluster(self, binaries: postgres_binaries.Binaries, data: Path) -> None:
        """Into a folder beside it, renamed when complete, so that a killed initdb leaves no half cluster."""
        partial = data.with_name(data.name + ".new")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        password_file = partial.with_name(data.name + ".password")
        _write_private(password_file, self.password)
        if binaries.user != "-":
            for path in (partial, password_file):
                shutil.chown(path, binaries.user)
        try:
            self._run_initdb(binaries, partial, password_file)
        finally:
            password_file.unlink()
        partial.rename(data)

    def _run_initdb(self, binaries: postgres_binaries.Binaries, data: Path, password_file: Path) -> None:
        builtin = binaries.major >= 17
        locale = ["--locale-provider=builtin", "--builtin-locale"] if builtin else ["--locale"]
        child = children.spawn(
            [
                *(binaries.program("initdb"), "-D", str(data), "-U", USER, f"--pwfile={password_file}"),
                *("--auth-local=reject", "--auth-host=scram-sha-256", "--no-sync"),
                *("--encoding=UTF8", *locale, "C.UTF-8"),
            ],
            self.log,
            wrapper=binaries.wrapper,
            user=binaries.user,
            env=_environment(),
            cwd=data,
        )
        try:
            code = child.wait(_START_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            children.kill_group(child)
            late = f"initdb did not finish within {_START_SECONDS_MAX:.0f} s"
            raise StackFailure(f"{late} (log: {self.log})") from None
        if code != 0:
            raise StackFailure(f"initdb failed: {children.last_words(self.log)} (log: {self.log})")


def end_previous(data: Path) -> None:
    """Ends a server that an earlier run left on this data directory, and only that one."""
    pid, told_data, _ = _pid_file(data)
    if pid is None or told_data != str(data) or not _runs_postgres(pid):
        return
    for ask in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ask)
        if _wait_gone([pid]):
            return


def _environment() -> dict[str, str]:
    return {**environment(), **_LOCALE}


def _is_ready(data: Path, pid: int) -> bool:
    told_pid, _, status = _pid_file(data)
    return told_pid == pid and status == "ready"


def _pid_file(data: Path) -> tuple[int | None, str, str]:
    """Process id, data directory and status as the server itself writes them down."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), lines[1], lines[7].strip() if len(lines) > 7 else ""
    except (OSError, ValueError, IndexError):
        return None, "", ""


def _runs_postgres(pid: int) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


def _wait_gone(pids: list[int], seconds_max: float = _STOP_SECONDS_MAX) -> bool:
    deadline = time.monotonic() + seconds_max
    while any(children.is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
