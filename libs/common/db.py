"""How does a service reach its PostgreSQL, and what does a failure of it mean?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Any

import asyncpg

from libs.common.errors import DangolError, Fenced, Poison, StoreAway, Transient

Row = Any
"""An asyncpg record: columns by name or by index."""

_LOCK_TIMEOUT_MS = 2000
_COMMAND_TIMEOUT_SECONDS = 20.0
_CONNECT_TIMEOUT_SECONDS = 5.0
FENCED = "DG001"
"""The SQLSTATE of `hold_unit` for a unit that is not ours any more."""

_POISONOUS_CLASSES = ("22", "23")
"""SQLSTATE classes that the same input meets every time: data exceptions and broken constraints."""


class Tx:
    """An open transaction; store functions take it first. It commits when its block ends without an error."""

    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def fetch(self, sql: str, *values: Any) -> Awaitable[list[Row]]:
        return self.connection.fetch(sql, *values)  # type: ignore[no-any-return]

    def fetchrow(self, sql: str, *values: Any) -> Awaitable[Row | None]:
        return self.connection.fetchrow(sql, *values)  # type: ignore[no-any-return]

    def fetchval(self, sql: str, *values: Any) -> Awaitable[Any]:
        return self.connection.fetchval(sql, *values)  # type: ignore[no-any-return]

    def execute(self, sql: str, *values: Any) -> Awaitable[str]:
        return self.connection.execute(sql, *values)  # type: ignore[no-any-return]

    def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Awaitable[str]:
        """Append rows by COPY: the cheapest way in for rows that cannot conflict."""
        return self.connection.copy_records_to_table(  # type: ignore[no-any-return]
            table, records=rows, columns=columns
        )


class Database:
    """A bounded pool of connections to one service's database."""

    def __init__(self, url: str, *, application: str, size: int = 8) -> None:
        self._url = url
        self._application = application
        self._size = size
        self._pool: Any = None

    async def start(self) -> None:
        """Opens the pool; StoreAway when the server cannot be reached."""
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                timeout=_CONNECT_TIMEOUT_SECONDS,
                command_timeout=_COMMAND_TIMEOUT_SECONDS,
                # A frozen process must not keep a unit's row locked: the server ends its transaction.
                server_settings={
                    "application_name": self._application,
                    "lock_timeout": str(_LOCK_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": str(_LOCK_TIMEOUT_MS),
                    "timezone": "UTC",
                    "jit": "off",
                    # Plans are made when the tables are empty and kept while they grow. Ours look things up by key.
                    "enable_seqscan": "off",
                    "enable_hashjoin": "off",
                    "enable_mergejoin": "off",
                },
                # Nothing of ours outlives its transaction, so a released connection needs no cleaning round trip.
                reset=_leave_as_is,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreAway(f"cannot reach PostgreSQL: {error!r}") from error

    async def stop(self) -> None:
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(3.0):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def transaction(self, opening: str = "") -> AsyncIterator[Tx]:
        """One transaction. StoreAway from its end leaves open whether it was committed.

        `opening` is a first statement that goes out together with BEGIN, because a trip costs more than most
        statements; its values are written as literals, and nobody reads its rows.
        """
        async with self.connection() as connection:
            try:
                await connection.execute(f"BEGIN; {opening}")
                yield Tx(connection)
                await connection.execute("COMMIT")
            except BaseException:
                await _roll_back(connection)
                raise

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection outside a transaction: each statement stands for itself."""
        if self._pool is None:
            raise StoreAway("the database pool is not open")
        try:
            async with self._pool.acquire(timeout=_CONNECT_TIMEOUT_SECONDS) as connection:
                yield connection
        except DangolError:
            raise
        except Exception as error:
            meaning = translate(error)
            if meaning is error:
                raise
            raise meaning from error


def literal(text: str) -> str:
    """A string as SQL writes it, for the few statements that cannot take parameters."""
    return "'" + text.replace("'", "''") + "'"


async def _roll_back(connection: Any) -> None:
    """A connection that cannot even do that is not used again, and its server ends what was open."""
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()


async def _leave_as_is(connection: Any) -> None:
    del connection


def translate(error: Exception) -> Exception:
    """What an exception around a database call means: Transient, Poison, or itself when it is not the database's."""
    if isinstance(error, DangolError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        if error.sqlstate == FENCED:
            return Fenced(str(error))
        if (error.sqlstate or "")[:2] in _POISONOUS_CLASSES:
            return Poison(f"PostgreSQL refuses a value: {type(error).__name__} ({error.sqlstate})")
        return Transient(f"PostgreSQL: {type(error).__name__}: {error}")
    # The last one is the driver's own confusion about a connection that died while it was busy.
    if isinstance(error, (asyncpg.InterfaceError, OSError, TimeoutError, asyncpg.InternalClientError)):
        return StoreAway(f"PostgreSQL: {type(error).__name__}: {error}")
    return error
