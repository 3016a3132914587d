"""What must the data of each event type look like? Versions of schemas, modes of sources, violations.

A type that was registered before has one version without a schema: any data goes, as it did.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = """
CREATE TABLE tracking_plan (
    is_whole boolean PRIMARY KEY DEFAULT true CHECK (is_whole),
    revision bigint  NOT NULL
);
INSERT INTO tracking_plan (revision) VALUES (1);

ALTER TABLE event_type
    ADD COLUMN version  integer NOT NULL DEFAULT 1,
    ADD COLUMN revision bigint  NOT NULL DEFAULT 1;
CREATE INDEX event_type_by_revision ON event_type (revision);

CREATE TABLE event_type_version (
    name          text        NOT NULL REFERENCES event_type (name),
    version       integer     NOT NULL,
    schema        json,
    compatibility text        NOT NULL,
    note          text        NOT NULL,
    created_by    text        NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (name, version)
);
INSERT INTO event_type_version (name, version, schema, compatibility, note, created_by, created_at)
SELECT name, 1, NULL, 'backward', '', created_by, created_at FROM event_type;

CREATE TABLE source_mode (
    pattern text        PRIMARY KEY,
    mode    text        NOT NULL CHECK (mode IN ('enforce', 'observe')),
    note    text        NOT NULL,
    set_by  text        NOT NULL,
    set_at  timestamptz NOT NULL
);

CREATE TABLE schema_violation (
    day        date        NOT NULL,
    source     text        NOT NULL,
    type       text        NOT NULL,
    pointer    text        NOT NULL,
    reason     text        NOT NULL,
    outcome    text        NOT NULL CHECK (outcome IN ('observed', 'refused')),
    count      bigint      NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    event_id   text        NOT NULL,
    PRIMARY KEY (day, source, type, pointer, reason, outcome)
);
"""


def upgrade() -> None:
    op.execute(SQL)
