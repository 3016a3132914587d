"""Is the newest revision found from the files alone, and a branch refused?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from libs.common import migrations
from libs.common.errors import Misconfigured


def write(root: Path, *revisions: tuple[str, str | None]) -> None:
    folder = root / "demo" / "migrations" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    for name, before in revisions:
        text = f'"""revision = "wrong" """\nrevision = {name!r}\ndown_revision: str | None = {before!r}\n'
        (folder / f"{name}_x.py").write_text(text)


def test_the_newest_revision_is_the_one_that_nothing_follows(tmp_path: Path) -> None:
    write(tmp_path, ("0001", None), ("0010", "0002"), ("0002", "0001"))
    assert migrations.head("demo", tmp_path) == "0010"
    assert migrations.services(tmp_path) == ["demo"]


def test_a_branch_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ("0001", None), ("0002", "0001"), ("0003", "0001"))
    with pytest.raises(Misconfigured, match="0002, 0003"):
        migrations.head("demo", tmp_path)


def test_a_service_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="none"):
        migrations.head("demo", tmp_path)


def test_a_file_without_a_revision_is_named(tmp_path: Path) -> None:
    write(tmp_path, ("0001", None))
    (tmp_path / "demo" / "migrations" / "versions" / "0002_empty.py").write_text("")
    with pytest.raises(Misconfigured, match=r"0002_empty\.py"):
        migrations.head("demo", tmp_path)


def test_a_service_start_pays_for_neither_alembic_nor_sqlalchemy() -> None:
    code = "import sys, libs.common.migrations; print('alembic' in sys.modules or 'sqlalchemy' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert shown.stdout.strip() == "False"
