"""Which tables does the front door need? Keys and the owners' own event types; nothing per event."""

from alembic import op

revision = "0001"
down_revision = None

SQL = """
CREATE TABLE write_key (
    key_id       text PRIMARY KEY,
    secret_hash  bytea NOT NULL UNIQUE,
    channel      text NOT NULL,
    sources      text[] NOT NULL DEFAULT '{}',
    permissions  text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX write_key_by_age ON write_key (created_at, key_id);

CREATE TABLE event_type (
    name        text PRIMARY KEY,
    description text NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(SQL)
