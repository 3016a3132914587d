"""The first tables of profile."""

from alembic import op

from libs.common import worker_tables

revision = "0001"
down_revision = None

TABLES = """
-- Which events were here: a hash of (source, id), and of the body to tell a repeat from a conflict.
CREATE TABLE seen (
    day  date NOT NULL,
    key  uuid NOT NULL,
    body uuid NOT NULL,
    PRIMARY KEY (day, key)
) PARTITION BY RANGE (day);

CREATE TABLE seen_history (
    day  date NOT NULL,
    key  uuid NOT NULL,
    body uuid NOT NULL,
    PRIMARY KEY (day, key)
);

CREATE TABLE conflict (
    at       timestamptz NOT NULL,
    source   text        NOT NULL,
    event_id text        NOT NULL,
    time     timestamptz NOT NULL,
    body     bytea       NOT NULL,
    PRIMARY KEY (source, event_id, at)
);
CREATE INDEX conflict_at ON conflict (at);

CREATE TABLE record (
    record_id  uuid        PRIMARY KEY,
    person_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX record_person ON record (person_id);

CREATE TABLE identifier (
    key        text        PRIMARY KEY,
    record_id  uuid        NOT NULL,
    learned_at timestamptz NOT NULL
);
CREATE INDEX identifier_record ON identifier (record_id);

-- Every merge is a fact with its evidence, from which it can be taken back.
CREATE TABLE link (
    link_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id uuid        NOT NULL,
    joined    uuid[]      NOT NULL,
    evidence  text[]      NOT NULL,
    event_id  text        NOT NULL,
    linked_at timestamptz NOT NULL
);
CREATE INDEX link_person ON link (person_id);

-- The state of one record; unit is the partition of its key.
CREATE TABLE customer (
    customer_id uuid    PRIMARY KEY,
    unit        integer NOT NULL,
    version     bigint  NOT NULL,
    body        bytea   NOT NULL
) WITH (fillfactor = 70);
ALTER TABLE customer ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE timeline (
    unit        integer     NOT NULL,
    customer_id uuid        NOT NULL,
    time        timestamptz NOT NULL,
    event_id    text        NOT NULL,
    type        text        NOT NULL,
    source      text        NOT NULL,
    channel     text        NOT NULL,
    body        bytea       NOT NULL
);
CREATE INDEX timeline_customer ON timeline (customer_id, time DESC);

CREATE TABLE command (
    command_id  uuid        PRIMARY KEY,
    unit        integer     NOT NULL,
    customer_id uuid        NOT NULL,
    outcome     text        NOT NULL,
    version     bigint      NOT NULL,
    applied_at  timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(worker_tables.SQL)
    op.execute(TABLES)
