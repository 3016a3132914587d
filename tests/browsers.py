"""Which browser do tests drive? The one in DANGOL_CHROMIUM, else one on the PATH, else one from npm."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.npm_packages import BROWSER, installed

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_UNPACK = """
import { createRequire } from 'node:module'
const module = createRequire(process.argv[1] + '/')('@sparticuz/chromium')
console.log(await (module.default ?? module).executablePath())
"""


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A Chromium; skips where there is none to be had."""
    path, libraries = chromium()
    environment: dict[str, str | float | bool] = dict(os.environ)
    if libraries:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    async with async_playwright() as playwright:
        # The tests may run as root, where Chromium has no sandbox; it sees pages of the tests alone.
        launched = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"], env=environment
        )
        try:
            yield launched
        finally:
            await launched.close()


def chromium() -> tuple[str, Path | None]:
    """The program, and a folder of libraries that it brings along."""
    named = os.environ.get("DANGOL_CHROMIUM")
    if named:
        if not Path(named).is_file():
            pytest.fail(f"DANGOL_CHROMIUM names {named}, which is no file")
        return named, None
    for name in _NAMES:
        if found := shutil.which(name):
            return found, None
    return _from_npm()


def _from_npm() -> tuple[str, Path]:
    packages = installed(BROWSER / "chromium")
    place = packages / "unpacked"
    program, libraries = place / "chromium", place / "al2023" / "lib"
    if not (place / "complete").exists():
        place.mkdir(exist_ok=True)
        # The package unpacks the libraries that it was built with where it believes to be at home.
        environment = dict(os.environ) | {"TMPDIR": str(place), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
        done = subprocess.run(
            ["node", "--input-type=module", "-e", _UNPACK, str(packages)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"the browser from npm cannot be unpacked: {done.stderr.strip()[-200:]}")
        (place / "complete").touch()
    return str(program), libraries
