"""What may the holder of a key do beyond its channel? Scopes, two secrets, expiry, limits, proofs of identity."""

from alembic import op

revision = "0002"
down_revision = "0001"

SQL = """
ALTER TABLE write_key
    ADD COLUMN name              text NOT NULL DEFAULT '',
    ADD COLUMN kind              text NOT NULL DEFAULT 'server' CHECK (kind IN ('server', 'browser')),
    ADD COLUMN types             text[] NOT NULL DEFAULT '{}',
    ADD COLUMN branches          text[] NOT NULL DEFAULT '{}',
    ADD COLUMN origins           text[] NOT NULL DEFAULT '{}',
    ADD COLUMN events_per_second double precision CHECK (events_per_second > 0),
    ADD COLUMN expires_at        timestamptz,
    ADD COLUMN version           integer NOT NULL DEFAULT 1;

-- A key is shown by a secret; while one replaces another there are two.
CREATE TABLE write_key_secret (
    secret_id    text PRIMARY KEY,
    key_id       text NOT NULL REFERENCES write_key ON DELETE CASCADE,
    secret_hash  bytea NOT NULL UNIQUE,
    hint         text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX write_key_secret_of_key ON write_key_secret (key_id, created_at);

INSERT INTO write_key_secret (secret_id, key_id, secret_hash, hint, created_at, last_used_at)
SELECT gen_random_uuid()::text, key_id, secret_hash, '', created_at, last_used_at FROM write_key;

ALTER TABLE write_key DROP COLUMN secret_hash, DROP COLUMN last_used_at;

-- What a site's server signs with; sealed, because signatures are verified with it.
CREATE TABLE identity_secret (
    key_id     text NOT NULL REFERENCES write_key ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (key_id, created_at)
);
"""


def upgrade() -> None:
    op.execute(SQL)
