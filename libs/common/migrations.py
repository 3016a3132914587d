"""Which tables does a service have, and are they the ones that its code expects?

Each service keeps numbered files in `services/<name>/migrations/versions/`, in one line without branches.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from libs.common import logs
from libs.common.errors import Misconfigured, StoreAway
from libs.common.settings import DatabaseSettings, load

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection as SyncConnection

SERVICES_ROOT = Path(__file__).resolve().parents[2] / "services"
CONNECT_SECONDS_MAX = 10.0
# One number for all: the lock is per database, and creating databases waits in the server's own one.
_LOCK = 0x64616E676F6C
_DECLARED = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*(?:[\"']([^\"']+)[\"']|None)", re.MULTILINE)


def services(root: Path = SERVICES_ROOT) -> list[str]:
    """Every service that has migrations."""
    return sorted(path.parent.parent.name for path in root.glob("*/migrations/versions") if any(path.glob("*.py")))


def head(service: str, root: Path = SERVICES_ROOT) -> str:
    """The newest revision, read from the files alone: a service start does not pay for importing Alembic."""
    followed: dict[str, str | None] = {}
    for path in sorted((root / service / "migrations" / "versions").glob("*.py")):
        declared = {match[1]: match[2] for match in _DECLARED.finditer(path.read_text("utf-8"))}
        if not declared.get("revision"):
            raise Misconfigured(f"{path.name} of {service} declares no revision")
        followed[declared["revision"]] = declared.get("down_revision")
    ends = sorted(followed.keys() - followed.values())
    if len(ends) != 1:
        found = ", ".join(ends) or "none"
        raise Misconfigured(f"the migrations of {service} need one newest revision, there is: {found}")
    return ends[0]


async def current(connection: Any) -> str | None:
    """The revision that a database is at; None when it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    return None if revision is None else str(revision)


async def require_head(service: str, connection: Any, root: Path = SERVICES_ROOT) -> None:
    """Raises Misconfigured when the database is not at the revision that this code was written for."""
    wanted, found = head(service, root), await current(connection)
    if found != wanted:
        raise Misconfigured(
            f"the database of {service} is at revision {found or 'none'}, this code needs {wanted}; "
            f"run: python -m libs.common.migrations {service}"
        )


async def upgrade(service: str, database_url: str, root: Path = SERVICES_ROOT) -> str:
    """Creates the database if it is absent and brings it to the newest revision, whoever else does so too."""
    wanted = head(service, root)
    connection = await _open(database_url)
    try:
        found = await current(connection)
    finally:
        await connection.close()
    if found != wanted:
        await _run_alembic(_config(service, root), database_url)
        logs.get(__name__).info("migrated", database=service, was=found, now=wanted)
    return wanted


async def upgrade_all(
    database_url_of: Callable[[str], str], names: Sequence[str] | None = None, root: Path = SERVICES_ROOT
) -> dict[str, str]:
    """One after the other, since Alembic keeps its context in module globals; gives the revision of each."""
    wanted = services(root) if names is None else list(names)
    if unknown := sorted(set(wanted).difference(services(root))):
        raise Misconfigured(f"no migrations for {unknown[0]!r}: there are {', '.join(services(root)) or 'none'}")
    return {service: await upgrade(service, database_url_of(service), root) for service in wanted}


async def _open(database_url: str) -> asyncpg.Connection[Any]:
    try:
        return await _connect(database_url)
    except asyncpg.InvalidCatalogNameError:
        await _create_database(database_url)
        return await _connect(database_url)


async def _connect(database_url: str) -> asyncpg.Connection[Any]:
    try:
        return await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    except (
        OSError,
        TimeoutError,
        asyncpg.CannotConnectNowError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ) as error:
        place = urlsplit(database_url)
        where = f"{place.hostname or 'the local socket'}:{place.port or 5432}"
        raise StoreAway(f"cannot reach PostgreSQL at {where}: {str(error) or type(error).__name__}") from error


async def _create_database(database_url: str) -> None:
    address = urlsplit(database_url)
    name = address.path.lstrip("/").replace('"', '""')
    connection = await _connect(urlunsplit(address._replace(path="/postgres")))
    try:
        # The collation is fixed, so that the same keys sort the same on every server.
        await connection.execute(
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        # Another process was a moment faster.
        pass
    finally:
        await connection.close()


def _config(service: str, root: Path) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _escaped(Path(__file__).parent / "migration_environment"))
    config.set_main_option("version_locations", _escaped(root / service / "migrations" / "versions"))
    config.set_main_option("path_separator", "newline")
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


async def _run_alembic(config: Config, database_url: str) -> None:
    from alembic import command
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    # The address goes to asyncpg as it is: SQLAlchemy reads the options of an address differently.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: _connect(database_url), poolclass=NullPool
    )

    def run(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.begin() as connection:
        # Held to the end of the transaction in which everything happens: all of it or nothing, once.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(run)
    await engine.dispose()


def run_environment() -> None:
    """Called by the one `env.py` that all services share, inside Alembic's context."""
    from alembic import context

    # Importing it makes `op.execute` take whole scripts.
    from libs.common.migration_environment import scripts as _scripts  # noqa: F401

    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()


def main(arguments: Sequence[str]) -> int:
    settings = load(DatabaseSettings)
    logs.configure("migrations", settings.log_level)
    try:
        done = asyncio.run(upgrade_all(settings.database_url_of, list(arguments) or None))
    except (Misconfigured, StoreAway) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    for service, revision in done.items():
        sys.stdout.write(f"{service}: revision {revision}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
