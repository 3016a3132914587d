"""Does every database come to the newest revision, once, whoever asks and however often?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from libs.common import migrations
from libs.common.errors import Misconfigured, StoreAway

FIRST = '''"""First."""
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE thing (id bigint PRIMARY KEY, at text DEFAULT '12:30', note text);
        CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN NEW.note := ':x;y'; RETURN NEW; END $$;
        CREATE TRIGGER bumped BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION bump();
        INSERT INTO thing (id) VALUES (1), (2);
    """)
'''
SECOND = '''"""Second."""
from alembic import op

revision: str = "0002"
down_revision: str = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE thing ADD COLUMN colour text")
    op.execute("CREATE INDEX CONCURRENTLY x ON thing (id)" if {broken} else "CREATE INDEX x ON thing (id)")
'''


def write(root: Path, *, second: bool = False, broken: bool = False, service: str = "demo") -> None:
    folder = root / service / "migrations" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0001_first.py").write_text(FIRST)
    if second:
        (folder / "0002_second.py").write_text(SECOND.replace("{broken}", str(broken)))


@pytest.fixture
async def absent_url(postgres_url: str, fresh_name: str) -> AsyncIterator[str]:
    """The address of a database that does not exist yet."""
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{fresh_name}"))
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE IF EXISTS "{fresh_name}" WITH (FORCE)')
    await server.close()


async def test_an_absent_database_is_created_and_brought_to_the_newest_revision(
    absent_url: str, tmp_path: Path
) -> None:
    write(tmp_path, second=True)
    assert await migrations.upgrade("demo", absent_url, tmp_path) == "0002"
    connection = await asyncpg.connect(absent_url)
    assert await migrations.current(connection) == "0002"
    await migrations.require_head("demo", connection, tmp_path)
    rows = await connection.fetch("SELECT id, at, note, colour FROM thing ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "12:30", ":x;y", None), (2, "12:30", ":x;y", None)]
    await connection.close()


async def test_running_again_changes_nothing_and_a_new_revision_is_added(absent_url: str, tmp_path: Path) -> None:
    write(tmp_path)
    await migrations.upgrade("demo", absent_url, tmp_path)
    assert await migrations.upgrade("demo", absent_url, tmp_path) == "0001"
    write(tmp_path, second=True)
    connection = await asyncpg.connect(absent_url)
    with pytest.raises(Misconfigured, match=r"at revision 0001, this code needs 0002; run: python -m libs"):
        await migrations.require_head("demo", connection, tmp_path)
    assert await migrations.upgrade("demo", absent_url, tmp_path) == "0002"
    await migrations.require_head("demo", connection, tmp_path)
    await connection.close()


async def test_processes_that_start_at_once_migrate_once(absent_url: str, tmp_path: Path) -> None:
    write(tmp_path, second=True)
    code = (
        "import asyncio, sys; from pathlib import Path; from libs.common import migrations;"
        "asyncio.run(migrations.upgrade('demo', sys.argv[1], Path(sys.argv[2])))"
    )
    root = Path(__file__).parents[2]

    async def process() -> int:
        import sys

        started = await asyncio.create_subprocess_exec(sys.executable, "-c", code, absent_url, str(tmp_path), cwd=root)
        return await started.wait()

    assert await asyncio.gather(*(process() for _ in range(3))) == [0, 0, 0]
    connection = await asyncpg.connect(absent_url)
    assert await connection.fetchval("SELECT count(*) FROM thing") == 2
    await connection.close()


async def test_a_migration_that_fails_leaves_nothing_behind(absent_url: str, tmp_path: Path) -> None:
    write(tmp_path, second=True, broken=True)
    with pytest.raises(Exception, match="CONCURRENTLY"):
        await migrations.upgrade("demo", absent_url, tmp_path)
    connection = await asyncpg.connect(absent_url)
    assert await migrations.current(connection) is None
    assert await connection.fetchval("SELECT to_regclass('thing')") is None
    await connection.close()


async def test_an_empty_database_is_not_at_the_head(database_url: str, tmp_path: Path) -> None:
    write(tmp_path)
    connection = await asyncpg.connect(database_url)
    with pytest.raises(Misconfigured, match="revision none"):
        await migrations.require_head("demo", connection, tmp_path)
    await connection.close()


async def test_all_services_are_migrated_each_into_its_own_database(
    absent_url: str, database_url: str, tmp_path: Path
) -> None:
    write(tmp_path)
    write(tmp_path, service="other", second=True)
    addresses = {"demo": absent_url, "other": database_url}
    done = await migrations.upgrade_all(addresses.__getitem__, root=tmp_path)
    assert done == {"demo": "0001", "other": "0002"}
    with pytest.raises(Misconfigured, match="'nobody'"):
        await migrations.upgrade_all(addresses.__getitem__, ["nobody"], root=tmp_path)


async def test_a_server_that_is_away_is_said_in_one_line(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(StoreAway, match=r"cannot reach PostgreSQL at 127\.0\.0\.1:1:") as raised:
        await migrations.upgrade("demo", "postgresql://dangol:secret@127.0.0.1:1/x", tmp_path)
    assert "secret" not in str(raised.value)


async def test_a_wrong_password_is_said_in_one_line(postgres_url: str, tmp_path: Path) -> None:
    write(tmp_path)
    place = urlsplit(postgres_url)
    wrong = f"postgresql://{place.username}:wrong@{place.hostname}:{place.port}/x"
    with pytest.raises(StoreAway, match="password authentication failed"):
        await migrations.upgrade("demo", wrong, tmp_path)
