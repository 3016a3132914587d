"""What was refused, and may be replayed?"""

from alembic import op

from libs.common import worker_tables

revision = "0005"
down_revision = "0004"

# `kept` says what there is of the body: all of it, a part, or, past the limit of a key, nothing but a count. Bodies are
# not compressed: that would take PostgreSQL many times as long as to write them, and space is bounded by other means.
SQL = """
CREATE TABLE reject (
    reject_id     uuid        PRIMARY KEY,
    unit          integer     NOT NULL,
    state         text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'dismissed')),
    reason        text        NOT NULL,
    detail        text        NOT NULL,
    pointer       text        NOT NULL,
    source        text        NOT NULL,
    type          text        NOT NULL,
    event_id      text        NOT NULL,
    door          text        NOT NULL,
    write_key_id  text        NOT NULL,
    context       text        NOT NULL,
    kept          text        NOT NULL CHECK (kept IN ('whole', 'cut', 'counted')),
    body          bytea,
    body_bytes    integer     NOT NULL,
    attempts      bigint      NOT NULL,
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL,
    replayed_at   timestamptz,
    replay_result text,
    settled_by    text
);
ALTER TABLE reject ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX reject_by_age ON reject (last_at, reject_id);
CREATE INDEX reject_open ON reject (reason, source, type) INCLUDE (attempts) WHERE state = 'open';
CREATE INDEX reject_open_in_order ON reject (first_at, reject_id) WHERE state = 'open';

CREATE TABLE reject_quota (
    write_key_id text        NOT NULL,
    hour         timestamptz NOT NULL,
    unit         integer     NOT NULL,
    bodies       bigint      NOT NULL,
    bytes        bigint      NOT NULL,
    PRIMARY KEY (write_key_id, hour, unit)
);
CREATE INDEX reject_quota_by_age ON reject_quota (hour);
"""


def upgrade() -> None:
    op.execute(worker_tables.SQL)
    op.execute(SQL)
