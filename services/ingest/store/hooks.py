"""Which endpoints take webhooks, and with which secrets? Functions that take a connection or a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx
from services.ingest.hooks.endpoints import StoredHook, StoredSecret

_COLUMNS = "hook_id, provider, source, channel, mapping, notification_url, branch, version, created_at"
_CHANGEABLE = ("channel", "mapping", "notification_url", "branch")


async def all_hooks(connection: Any) -> list[StoredHook]:
    """One statement, so that no endpoint is read without a secret that was added with it."""
    rows = await connection.fetch(
        "SELECT hook.*, secret.secret_id, secret.sealed, secret.created_at AS secret_created_at"
        " FROM hook LEFT JOIN hook_secret secret USING (hook_id)"
        " ORDER BY hook.hook_id, secret.created_at DESC, secret.secret_id DESC"
    )
    return _grouped(rows)


async def list_hooks(connection: Any, limit: int, after: tuple[datetime, str] | None) -> list[StoredHook]:
    """Endpoints by age, from the one after `after`."""
    rows = await connection.fetch(
        f"WITH page AS (SELECT {_COLUMNS} FROM hook"
        " WHERE $2::timestamptz IS NULL OR (created_at, hook_id) > ($2, $3) ORDER BY created_at, hook_id LIMIT $1)"
        " SELECT page.*, secret.secret_id, secret.sealed, secret.created_at AS secret_created_at"
        " FROM page LEFT JOIN hook_secret secret USING (hook_id)"
        " ORDER BY page.created_at, page.hook_id, secret.created_at DESC, secret.secret_id DESC",
        limit,
        *(after or (None, None)),
    )
    return _grouped(rows)


async def one_hook(connection: Any, hook_id: str) -> StoredHook | None:
    rows = await connection.fetch(
        "SELECT hook.*, secret.secret_id, secret.sealed, secret.created_at AS secret_created_at"
        " FROM hook LEFT JOIN hook_secret secret USING (hook_id) WHERE hook_id = $1"
        " ORDER BY secret.created_at DESC, secret.secret_id DESC",
        hook_id,
    )
    return next(iter(_grouped(rows)), None)


async def add_hook(tx: Tx, hook: StoredHook, actor: str) -> bool:
    """The endpoint with its secrets; False when its provider and source have one already."""
    status = await tx.execute(
        f"INSERT INTO hook ({_COLUMNS}, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        " ON CONFLICT DO NOTHING",
        *(hook.hook_id, hook.provider, hook.source, hook.channel, hook.mapping, hook.notification_url),
        *(hook.branch, hook.version, hook.created_at, actor),
    )
    if not status.endswith(" 1"):
        return False
    for secret in hook.secrets:
        await add_secret(tx, hook.hook_id, secret, actor)
    return True


async def lock_hook(tx: Tx, hook_id: str) -> bool:
    """False when there is none; otherwise its secrets are changed by nobody else until the end."""
    return await tx.fetchval("SELECT hook_id FROM hook WHERE hook_id = $1 FOR UPDATE", hook_id) is not None


async def change_hook(tx: Tx, hook_id: str, changes: Mapping[str, str | None]) -> None:
    """The caller holds its lock; `changes` are columns and what they hold from now on."""
    wanted = {name: changes[name] for name in _CHANGEABLE if name in changes}
    places = "".join(f", {name} = ${at}" for at, name in enumerate(wanted, 2))
    await tx.execute(f"UPDATE hook SET version = version + 1{places} WHERE hook_id = $1", hook_id, *wanted.values())


async def remove_hook(tx: Tx, hook_id: str) -> bool:
    return (await tx.execute("DELETE FROM hook WHERE hook_id = $1", hook_id)).endswith(" 1")


async def add_secret(tx: Tx, hook_id: str, secret: StoredSecret, actor: str) -> None:
    await tx.execute(
        "INSERT INTO hook_secret (secret_id, hook_id, sealed, created_by, created_at) VALUES ($1, $2, $3, $4, $5)",
        *(secret.secret_id, hook_id, secret.sealed, actor, secret.created_at),
    )


async def remove_secret(tx: Tx, hook_id: str, secret_id: str) -> bool:
    status = await tx.execute("DELETE FROM hook_secret WHERE hook_id = $1 AND secret_id = $2", hook_id, secret_id)
    return status.endswith(" 1")


def _grouped(rows: Iterable[Row]) -> list[StoredHook]:
    """One for each endpoint, in the order of the rows."""
    found: dict[str, tuple[Row, list[StoredSecret]]] = {}
    for row in rows:
        _, secrets = found.setdefault(row["hook_id"], (row, []))
        if row["secret_id"] is not None:
            secrets.append(StoredSecret(row["secret_id"], row["sealed"], row["secret_created_at"]))
    return [_hook(row, tuple(secrets)) for row, secrets in found.values()]


def _hook(row: Row, secrets: tuple[StoredSecret, ...]) -> StoredHook:
    return StoredHook(
        hook_id=row["hook_id"],
        provider=row["provider"],
        source=row["source"],
        channel=row["channel"],
        mapping=row["mapping"],
        notification_url=row["notification_url"],
        branch=row["branch"],
        version=row["version"],
        created_at=row["created_at"],
        secrets=secrets,
    )
