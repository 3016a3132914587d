"""What was erased, and who looked at whom?"""

from alembic import op

revision = "0009"
down_revision = "0008"

_TABLES = """
-- One erasure of one person. What is needed to find them in the logs is sealed in `trail`, and empty when all is done.
CREATE TABLE erasure (
    erasure_id   uuid        PRIMARY KEY,
    request_id   text        NOT NULL UNIQUE,
    customer_id  uuid        NOT NULL,
    reason       text        NOT NULL,
    asked_by     text        NOT NULL,
    asked_at     timestamptz NOT NULL,
    stage        text        NOT NULL,
    stage_at     timestamptz NOT NULL,
    records      uuid[]      NOT NULL DEFAULT '{}',
    trail        bytea       NOT NULL DEFAULT '',
    forgotten_at timestamptz,
    finished_at  timestamptz,
    trouble      text        NOT NULL DEFAULT '',
    lease_owner  text        NOT NULL DEFAULT '',
    lease_until  timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX erasure_open ON erasure (asked_at) WHERE finished_at IS NULL;
CREATE INDEX erasure_newest ON erasure (asked_at DESC, erasure_id DESC);
CREATE INDEX erasure_records ON erasure USING gin (records);

CREATE TABLE erasure_part (
    erasure_id uuid        NOT NULL REFERENCES erasure,
    place      text        NOT NULL,
    count      bigint      NOT NULL,
    done_at    timestamptz NOT NULL,
    PRIMARY KEY (erasure_id, place)
);

-- What the other services have told of a record.
CREATE TABLE erasure_note (
    record  uuid        NOT NULL,
    service text        NOT NULL,
    counts  jsonb       NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (record, service)
);

-- Identifiers of those who were erased, as nobody else can read them.
CREATE TABLE erasure_mark (
    mark      bytea       PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

-- What people ask by an event, until somebody with the role decides about it.
CREATE TABLE privacy_request (
    request_id  uuid        PRIMARY KEY,
    customer_id uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('access', 'erasure')),
    source      text        NOT NULL,
    reference   text        NOT NULL,
    asked_at    timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    state       text        NOT NULL CHECK (state IN ('open', 'confirmed', 'refused')),
    decided_by  text        NOT NULL DEFAULT '',
    decided_at  timestamptz,
    note        text        NOT NULL DEFAULT '',
    erasure_id  uuid
);
CREATE INDEX privacy_request_open ON privacy_request (due_at, request_id) WHERE state = 'open';
CREATE INDEX privacy_request_newest ON privacy_request (asked_at DESC, request_id DESC);
CREATE INDEX privacy_request_of_customer ON privacy_request (customer_id);

-- Who looked at whom, for good: rows are added, and neither changed nor taken away.
CREATE TABLE audit (
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    kind        text        NOT NULL,
    what        text        NOT NULL,
    customer_id uuid,
    reason      text        NOT NULL DEFAULT '',
    branch      text        NOT NULL DEFAULT ''
);
CREATE INDEX audit_of_customer ON audit (customer_id, number DESC);
CREATE INDEX audit_of_actor ON audit (actor, number DESC);

CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was audited is neither changed nor deleted';
END
$$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
"""


def upgrade() -> None:
    op.execute(_TABLES)
