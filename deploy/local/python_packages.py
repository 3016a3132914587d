"""How do the locked Python packages get into .venv?"""

import hashlib
import re
import shutil
import sys
from pathlib import Path

from deploy.local import steps
from deploy.local.failure import StackFailure
from deploy.local.places import LOG, VENV
from deploy.local.settings import ROOT, environment

LOCK = ROOT / "requirements.lock"
_STAMP = VENV / ".dangol-lock"
_LOG = LOG / "setup-python.log"
_REMEDY = "check the network and pip's settings, then run the same command again"
# What pip is told, in uv's words: uv does not read pip's variables.
_TRANSLATED = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}


def interpreter() -> Path:
    return VENV / "bin" / "python"


def is_current() -> bool:
    return interpreter().exists() and _STAMP.exists() and _STAMP.read_text() == _wanted()


async def install() -> str:
    _LOG.unlink(missing_ok=True)
    _STAMP.unlink(missing_ok=True)
    uv = shutil.which("uv")
    try:
        if not await _venv_works():
            await _make_venv(uv)
        await _fill(uv)
    except StackFailure as failure:
        raise StackFailure(f"the Python packages could not be installed: {failure}; {_REMEDY}") from None
    _STAMP.write_text(_wanted())
    return f"{len(_names())} packages"


def _wanted() -> str:
    return hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()


def _names() -> list[str]:
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)==", LOCK.read_text(), re.MULTILINE)


async def _venv_works() -> bool:
    """Whether .venv is whole and of this very Python: an upgrade of the system's leaves a broken one."""
    check = f"import pip, sys; sys.exit(sys.version_info[:3] != {tuple(sys.version_info[:3])!r})"
    try:
        await steps.command([str(interpreter()), "-c", check], _LOG)
    except (StackFailure, OSError):
        return False
    return True


async def _make_venv(uv: str | None) -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    if uv is not None:
        await steps.command([uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(VENV)], _LOG)
        return
    try:
        await steps.command([sys.executable, "-m", "venv", str(VENV)], _LOG)
    except StackFailure as failure:
        shutil.rmtree(VENV, ignore_errors=True)
        raise StackFailure(f"{failure}; on Debian or Ubuntu `apt install python3-venv` first") from None


async def _fill(uv: str | None) -> None:
    """By uv, which takes a tenth of pip's time; by pip where uv cannot do it."""
    python = str(interpreter())
    try:
        program = uv or await _fetch_uv(python)
        quick = ["pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", "--python", python]
        await steps.command([program, *quick, str(LOCK)], _LOG, env=_for_uv())
    except (StackFailure, OSError):
        steps.say("python packages", "uv could not do it; pip tries, which takes a minute longer")
        pip = [python, "-m", "pip", "install", "--require-hashes", "--disable-pip-version-check"]
        await steps.command([*pip, "-r", str(LOCK)], _LOG)


async def _fetch_uv(python: str) -> str:
    """The lock holds uv too, with its hashes, so it is checked like everything else."""
    program = VENV / "bin" / "uv"
    if program.exists():
        return str(program)
    lock = re.search(r"^uv==.*?(?=^\S|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    if lock is None:
        raise StackFailure("the lock holds no uv")
    alone = LOG / "setup-uv.lock"
    alone.write_text(lock[0])
    pip = [python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--disable-pip-version-check"]
    await steps.command([*pip, "-r", str(alone)], _LOG)
    return str(program)


def _for_uv() -> dict[str, str]:
    told = environment()
    translated = {new: told[old] for old, new in _TRANSLATED.items() if told.get(old) and new not in told}
    return {**told, **translated}
