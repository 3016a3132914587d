"""Where do tests find what comes from npm? Under `.local/npm`, fetched once for each lock."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
_CACHE = ROOT / ".local" / "npm"
_SECONDS_MAX = 120


def installed(folder: Path) -> Path:
    """The folder with the `node_modules` of a `package-lock.json`; skips where they cannot be had."""
    lock = folder / "package-lock.json"
    place = _CACHE / sha256(lock.read_bytes()).hexdigest()[:16]
    if place.is_dir():
        return place
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm and node are not on the PATH")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE, prefix="fetching-") as fresh:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(folder / name, fresh)
        # No script of a package runs: what the tests need of them is files. `npm ci` would insist on optional packages
        # of other platforms, which not every mirror of the registry has; the lock and its digests hold here too.
        order = [npm, "install", "--no-save", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(order, cwd=fresh, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm fetched nothing within {_SECONDS_MAX} s")
        if done.returncode:
            pytest.skip(f"npm could not fetch what {folder.name} needs: {' '.join(done.stderr.split())[:300]}")
        shutil.copytree(fresh, place, symlinks=True, dirs_exist_ok=True)
    return place
