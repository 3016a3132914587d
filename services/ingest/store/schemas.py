"""Which event types did the owners register, and with which schemas? Functions that take a connection or a `tx`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx


async def revision(connection: Any) -> int:
    """Grows with every change of a type or of a source's mode, in the order in which they are committed."""
    number: int = await connection.fetchval("SELECT revision FROM tracking_plan")
    return number


async def next_revision(tx: Tx) -> int:
    """Taken first in every transaction that changes the plan: whoever comes second waits here."""
    number: int = await tx.fetchval("UPDATE tracking_plan SET revision = revision + 1 RETURNING revision")
    return number


async def changed_types(connection: Any, after: int) -> list[Row]:
    """The present version of the types that changed after a revision."""
    rows: list[Row] = await connection.fetch(
        "SELECT name, version, schema FROM event_type JOIN event_type_version USING (name, version)"
        " WHERE revision > $1 ORDER BY name",
        after,
    )
    return rows


async def count_types(connection: Any) -> int:
    number: int = await connection.fetchval("SELECT count(*) FROM event_type")
    return number


async def own_types(connection: Any, limit: int, after: str, without: Sequence[str]) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT name, description, version, schema::jsonb -> 'x-subject' AS subject FROM event_type"
        " JOIN event_type_version USING (name, version) WHERE name > $2 AND name <> ALL($3) ORDER BY name LIMIT $1",
        limit,
        after,
        without,
    )
    return rows


async def some_types(connection: Any, names: Sequence[str]) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT name, description, version FROM event_type WHERE name = ANY($1)", names
    )
    return rows


async def one_type(connection: Any, name: str) -> Row | None:
    """A type with its present version."""
    return await connection.fetchrow(
        "SELECT name, description, version, schema, compatibility, note, v.created_by, v.created_at"
        " FROM event_type t JOIN event_type_version v USING (name, version) WHERE name = $1",
        name,
    )


async def put_type(tx: Tx, name: str, description: str, version: int, number: int, actor: str, now: datetime) -> None:
    """Makes a type known, or its version and description the present ones; `number` is the plan's revision."""
    await tx.execute(
        "INSERT INTO event_type (name, description, version, revision, created_by, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE"
        " SET description = excluded.description, version = excluded.version, revision = excluded.revision",
        name,
        description,
        version,
        number,
        actor,
        now,
    )


async def add_version(
    tx: Tx, name: str, version: int, schema: str | None, compatibility: str, note: str, actor: str, now: datetime
) -> None:
    await tx.execute(
        "INSERT INTO event_type_version (name, version, schema, compatibility, note, created_by, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        name,
        version,
        schema,
        compatibility,
        note,
        actor,
        now,
    )


async def versions(connection: Any, name: str, limit: int, before: int | None) -> list[Row]:
    """The versions of a type, the newest first."""
    rows: list[Row] = await connection.fetch(
        "SELECT version, compatibility, note, created_by, created_at FROM event_type_version"
        " WHERE name = $1 AND ($3::integer IS NULL OR version < $3) ORDER BY version DESC LIMIT $2",
        name,
        limit,
        before,
    )
    return rows


async def one_version(connection: Any, name: str, version: int) -> Row | None:
    return await connection.fetchrow(
        "SELECT version, schema, compatibility, note, created_by, created_at FROM event_type_version"
        " WHERE name = $1 AND version = $2",
        name,
        version,
    )
