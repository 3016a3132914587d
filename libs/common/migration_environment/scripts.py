"""How does `op.execute` run a whole SQL script, when asyncpg prepares one statement at a time?"""

from __future__ import annotations

from typing import Any

from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Executable
from sqlalchemy.util import await_only


class ScriptImpl(PostgresqlImpl):
    """Hands text to the server as it is: several statements, function bodies, colons that are no parameters.

    Alembic finds the class by its dialect; to define it is to install it.
    """

    __dialect__ = "postgresql"

    def execute(self, sql: Executable | str, execution_options: dict[str, Any] | None = None) -> None:
        if not isinstance(sql, str) or self.connection is None or self.as_sql:
            super().execute(sql, execution_options)
            return
        # The transaction is open already: the lock was taken in it, on this same connection.
        driver = self.connection.connection.driver_connection
        await_only(driver.execute(sql))  # type: ignore[union-attr]
