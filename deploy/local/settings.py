"""Which environment variables steer the local stack?"""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """A copy of this process's environment, for children that need more variables."""
    return dict(os.environ)


def variable(name: str, source: Mapping[str, str] | None = None) -> str | None:
    """The value of a variable; an empty one counts as absent."""
    return (os.environ if source is None else source).get(name) or None


def folder(name: str) -> Path | None:
    value = variable(name)
    return Path(value) if value else None


def java() -> str:
    home = folder("JAVA_HOME")
    if home is not None and (home / "bin" / "java").is_file():
        return str(home / "bin" / "java")
    return "java"
