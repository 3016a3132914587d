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

-- The beginning of every batch: the unit's row is locked and still as its owner left it, or the batch ends here.
-- What that owner has published since is forgotten on the way. A function, because it goes out with BEGIN in one trip.
CREATE FUNCTION hold_unit(
    a_worker text, a_unit integer, an_owner text, an_epoch bigint, a_revision bigint, published_seq bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM worker_unit
    WHERE worker = a_worker AND unit = a_unit AND owner = an_owner AND epoch = an_epoch AND revision = a_revision
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%/% has another owner', a_worker, a_unit USING ERRCODE = 'DG001';
    END IF;
    IF published_seq > 0 THEN
        DELETE FROM outbox WHERE worker = a_worker AND unit = a_unit AND seq <= published_seq;
    END IF;
END
$$;
"""
