"""Which tables does every service with a worker have? Executed by its first migration."""

SQL = """
CREATE TABLE worker_unit (
    worker      text        NOT NULL,
    unit        integer     NOT NULL,
    owner       text,
    epoch       bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    revision    bigint      NOT NULL DEFAULT 0,
    progress    jsonb       NOT NULL DEFAULT '{}',
    redrive     boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (worker, unit)
) WITH (fillfactor = 50);

CREATE TABLE worker_instance (
    worker      text        NOT NULL,
    instance    text        NOT NULL,
    alive_until timestamptz NOT NULL,
    PRIMARY KEY (worker, instance)
);

CREATE TABLE outbox (
    worker  text    NOT NULL,
    unit    integer NOT NULL,
    seq     bigint  NOT NULL,
    payload bytea   NOT NULL,
    PRIMARY KEY (worker, unit, seq)
);
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE TABLE timer (
    worker  text        NOT NULL,
    unit    integer     NOT NULL,
    key     text        NOT NULL,
    due     timestamptz NOT NULL,
    gated   boolean     NOT NULL DEFAULT true,
    payload bytea       NOT NULL DEFAULT '',
    PRIMARY KEY (worker, unit, key)
);
CREATE INDEX timer_due ON timer (worker, unit, gated, due);
"""
