"""How are foreign documents understood? Mappings, and the endpoints and secrets of those who send them."""

from alembic import op

from libs.common import documents

revision = "0004"
down_revision = "0003"

_HOOK = """
CREATE TABLE hook (
    hook_id          text PRIMARY KEY,
    provider         text        NOT NULL,
    source           text        NOT NULL,
    channel          text        NOT NULL,
    mapping          text        NOT NULL,
    notification_url text        NOT NULL DEFAULT '',
    branch           text,
    version          integer     NOT NULL DEFAULT 1,
    created_by       text        NOT NULL,
    created_at       timestamptz NOT NULL,
    UNIQUE (provider, source)
);
CREATE INDEX hook_by_age ON hook (created_at, hook_id);

CREATE TABLE hook_secret (
    secret_id  text PRIMARY KEY,
    hook_id    text        NOT NULL REFERENCES hook ON DELETE CASCADE,
    sealed     bytea       NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX hook_secret_of_one ON hook_secret (hook_id, created_at);
"""


def upgrade() -> None:
    op.execute(documents.SQL)
    op.execute(_HOOK)
