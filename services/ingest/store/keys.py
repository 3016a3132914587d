"""Which write keys are stored? Functions that take a connection or a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from libs.common.db import Row
from services.ingest.keys.book import Scope, StoredKey, StoredSecret

_RIGHTS = "channel, sources, permissions, name, kind, types, branches, origins, events_per_second, expires_at"
_LIVE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"


class NewSecret(Struct, frozen=True):
    """A secret as it is stored: never the secret itself. `hint` is its end, by which people tell it from others."""

    secret_id: str
    secret_hash: bytes
    hint: str
    expires_at: datetime | None = None


class SealedKey(Struct, frozen=True):
    """A live key whose identity secrets have not been opened yet, the newest first."""

    key: StoredKey
    sealed: tuple[bytes, ...]


async def live_keys(connection: Any, now: datetime) -> list[SealedKey]:
    """Keys that are not revoked, with their secrets that are not; whether they have expired is asked at the door."""
    rows = await connection.fetch(f"SELECT key_id, {_RIGHTS} FROM write_key WHERE revoked_at IS NULL ORDER BY key_id")
    secrets: dict[str, list[StoredSecret]] = {}
    for row in await connection.fetch(
        "SELECT key_id, secret_id, secret_hash, expires_at FROM write_key_secret WHERE revoked_at IS NULL"
        " ORDER BY key_id, secret_id"
    ):
        secrets.setdefault(row["key_id"], []).append(
            StoredSecret(row["secret_id"], row["secret_hash"], row["expires_at"])
        )
    sealed: dict[str, list[bytes]] = {}
    for row in await connection.fetch(
        "SELECT key_id, sealed FROM identity_secret WHERE expires_at IS NULL OR expires_at > $1"
        " ORDER BY key_id, created_at DESC",
        now,
    ):
        sealed.setdefault(row["key_id"], []).append(row["sealed"])
    return [
        SealedKey(_stored(row, secrets.get(row["key_id"], ())), tuple(sealed.get(row["key_id"], ()))) for row in rows
    ]


def _stored(row: Row, secrets: Sequence[StoredSecret]) -> StoredKey:
    return StoredKey(
        key_id=row["key_id"],
        channel=row["channel"],
        sources=tuple(row["sources"]),
        permissions=tuple(row["permissions"]),
        scope=Scope(
            name=row["name"],
            kind=row["kind"],
            types=tuple(row["types"]),
            branches=tuple(row["branches"]),
            origins=tuple(row["origins"]),
            events_per_second=row["events_per_second"],
            expires_at=row["expires_at"],
        ),
        secrets=tuple(secrets),
    )


async def add_key(connection: Any, key: StoredKey, secret: NewSecret, now: datetime) -> bool:
    """Stores a key with its first secret; False when its id or its secret is there already, revoked or not."""
    scope = key.scope
    added = await connection.fetchval(
        f"""
        WITH made AS (
            INSERT INTO write_key (key_id, {_RIGHTS}, created_at)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
            WHERE NOT EXISTS (SELECT FROM write_key_secret WHERE secret_hash = $14)
            ON CONFLICT DO NOTHING
            RETURNING key_id
        )
        INSERT INTO write_key_secret (secret_id, key_id, secret_hash, hint, expires_at, created_at)
        SELECT $13, key_id, $14, $15, $16, $12 FROM made
        RETURNING key_id
        """,
        key.key_id,
        key.channel,
        list(key.sources),
        list(key.permissions),
        scope.name,
        scope.kind,
        list(scope.types),
        list(scope.branches),
        list(scope.origins),
        scope.events_per_second,
        scope.expires_at,
        now,
        secret.secret_id,
        secret.secret_hash,
        secret.hint,
        secret.expires_at,
    )
    return added is not None


async def revoke_key(connection: Any, key_id: str, now: datetime) -> bool:
    """False when there is no such key; a key that was revoked before stays as it is."""
    found = await connection.fetchval(
        "UPDATE write_key SET revoked_at = coalesce(revoked_at, $2) WHERE key_id = $1 RETURNING key_id",
        key_id,
        now,
    )
    return found is not None


async def find_key(connection: Any, key_id: str, *, to_change: bool = False) -> Row | None:
    """One key whatever has become of it; `to_change` holds its row until the transaction ends."""
    row: Row | None = await connection.fetchrow(
        f"SELECT key_id, {_RIGHTS}, version, created_at, revoked_at FROM write_key WHERE key_id = $1"
        f"{' FOR UPDATE' if to_change else ''}",
        key_id,
    )
    return row


async def list_keys(connection: Any, limit: int, after: tuple[datetime, str] | None) -> list[Row]:
    """Keys by age, revoked ones among them, from the one after `after`."""
    rows: list[Row] = await connection.fetch(
        f"SELECT key_id, {_RIGHTS}, version, created_at, revoked_at FROM write_key"
        " WHERE $2::timestamptz IS NULL OR (created_at, key_id) > ($2, $3)"
        " ORDER BY created_at, key_id LIMIT $1",
        limit,
        *(after or (None, None)),
    )
    return rows


async def set_rights(connection: Any, key_id: str, key: StoredKey) -> int:
    """Replaces what the holder may do; returns the new version. Channel and kind stay what they are."""
    scope = key.scope
    version: int = await connection.fetchval(
        "UPDATE write_key SET sources = $2, permissions = $3, name = $4, types = $5, branches = $6, origins = $7,"
        " events_per_second = $8, expires_at = $9, version = version + 1 WHERE key_id = $1 RETURNING version",
        key_id,
        list(key.sources),
        list(key.permissions),
        scope.name,
        list(scope.types),
        list(scope.branches),
        list(scope.origins),
        scope.events_per_second,
        scope.expires_at,
    )
    return version


async def secrets_of(connection: Any, key_ids: Sequence[str]) -> list[Row]:
    """All secrets of these keys, the oldest first; without the secrets."""
    rows: list[Row] = await connection.fetch(
        "SELECT key_id, secret_id, hint, created_at, expires_at, revoked_at, last_used_at FROM write_key_secret"
        " WHERE key_id = ANY($1) ORDER BY created_at, secret_id",
        sorted(key_ids),
    )
    return rows


async def live_secrets(connection: Any, key_id: str, now: datetime) -> list[str]:
    rows = await connection.fetch(
        f"SELECT secret_id FROM write_key_secret WHERE key_id = $1 AND {_LIVE} ORDER BY created_at", key_id, now
    )
    return [row["secret_id"] for row in rows]


async def add_secret(connection: Any, key_id: str, secret: NewSecret, now: datetime) -> None:
    await connection.execute(
        "INSERT INTO write_key_secret (secret_id, key_id, secret_hash, hint, expires_at, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        secret.secret_id,
        key_id,
        secret.secret_hash,
        secret.hint,
        secret.expires_at,
        now,
    )


async def end_secrets(connection: Any, secret_ids: Sequence[str], at: datetime) -> None:
    """Lets secrets expire at `at`, unless they do so sooner."""
    await connection.execute(
        "UPDATE write_key_secret SET expires_at = least(expires_at, $2) WHERE secret_id = ANY($1)",
        sorted(secret_ids),
        at,
    )


async def revoke_secret(connection: Any, key_id: str, secret_id: str, now: datetime) -> bool:
    """False when the key has no such secret; one that was revoked before stays as it is."""
    found = await connection.fetchval(
        "UPDATE write_key_secret SET revoked_at = coalesce(revoked_at, $3) WHERE key_id = $1 AND secret_id = $2"
        " RETURNING secret_id",
        key_id,
        secret_id,
        now,
    )
    return found is not None


async def record_use(connection: Any, secret_ids: Sequence[str], now: datetime) -> None:
    await connection.execute(
        "UPDATE write_key_secret SET last_used_at = $2 WHERE secret_id = ANY($1)", sorted(secret_ids), now
    )


async def identity_secrets_of(connection: Any, key_ids: Sequence[str], now: datetime) -> dict[str, datetime]:
    """Since when each key has the identity secret that it has; keys without one are not there."""
    rows = await connection.fetch(
        "SELECT key_id, max(created_at) AS since FROM identity_secret"
        " WHERE key_id = ANY($1) AND (expires_at IS NULL OR expires_at > $2) GROUP BY key_id",
        sorted(key_ids),
        now,
    )
    return {row["key_id"]: row["since"] for row in rows}


async def put_identity_secret(connection: Any, key_id: str, sealed: bytes, now: datetime, old_until: datetime) -> None:
    """The newest secret of a key; those before it hold until `old_until` at most, and are forgotten after that."""
    await connection.execute("DELETE FROM identity_secret WHERE key_id = $1 AND expires_at <= $2", key_id, now)
    await connection.execute(
        "UPDATE identity_secret SET expires_at = least(expires_at, $2) WHERE key_id = $1", key_id, old_until
    )
    await connection.execute(
        "INSERT INTO identity_secret (key_id, sealed, created_at) VALUES ($1, $2, $3)", key_id, sealed, now
    )


async def delete_identity_secrets(connection: Any, key_id: str) -> None:
    await connection.execute("DELETE FROM identity_secret WHERE key_id = $1", key_id)
