"""Which files are ours, and what stands in them? What a fresh checkout holds, without what tools leave behind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("libs", "services", "deploy", "tests")
FOLDERS = (*CODE, "docs", ".ci")
TEXT = {"", ".cfg", ".css", ".html", ".ini", ".js", ".json", ".jsonl", ".liquid", ".md", ".py", ".sh", ".sql", ".toml"}
TEXT |= {".txt", ".xml", ".yaml", ".yml", ".properties"}
NOT_OURS = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules"}


def files() -> Iterator[Path]:
    """Every file of the repository, but the lock, which is nobody's prose."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".lock")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not NOT_OURS.intersection(path.parts):
                yield path


def texts() -> Iterator[tuple[Path, str]]:
    return ((path, path.read_text("utf-8")) for path in files() if path.suffix in TEXT)


def modules(*folders: str) -> list[Path]:
    """Python files under these folders of the root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if not NOT_OURS.intersection(path.parts))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def at(path: Path, line: int = 0) -> str:
    """How a finding names its place, such as `libs/common/db.py:108`."""
    place = path.relative_to(ROOT).as_posix()
    return f"{place}:{line}" if line else place
