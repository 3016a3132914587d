"""Where do versioned documents live? Executed by the first migration of a service that keeps some."""

# `body` is json and not jsonb: the author gets back what they wrote, in their order and with their digits.
SQL = """
CREATE TABLE document (
    kind         text        NOT NULL,
    id           text        NOT NULL,
    version      integer     NOT NULL CHECK (version >= 1),
    status       text        NOT NULL CHECK (status IN ('draft', 'active', 'paused', 'retired')),
    ramp_percent smallint    NOT NULL DEFAULT 100 CHECK (ramp_percent BETWEEN 0 AND 100),
    body         json        NOT NULL,
    author       text        NOT NULL,
    note         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (kind, id, version)
);
CREATE UNIQUE INDEX document_live ON document (kind, id) WHERE status IN ('active', 'paused');

CREATE TABLE document_snapshot (
    kind   text   PRIMARY KEY,
    number bigint NOT NULL
);

CREATE TABLE document_change (
    kind         text        NOT NULL,
    number       bigint      NOT NULL,
    id           text        NOT NULL,
    version      integer     NOT NULL,
    status       text        NOT NULL,
    ramp_percent smallint    NOT NULL,
    was_version  integer,
    was_status   text,
    author       text        NOT NULL,
    note         text        NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (kind, number),
    FOREIGN KEY (kind, id, version) REFERENCES document
);
CREATE INDEX document_change_of_one ON document_change (kind, id, number);
"""

# What stands beside a version of which a second person is asked: executed by a later migration of the same services.
REVIEW_SQL = """
ALTER TABLE document
    ADD COLUMN review text NOT NULL DEFAULT '' CHECK (review IN ('', 'asked', 'approved', 'rejected'));
CREATE UNIQUE INDEX document_asked ON document (kind, id) WHERE review = 'asked';
ALTER TABLE document_change ADD COLUMN reach_percent double precision;

CREATE TABLE document_review (
    kind    text        NOT NULL,
    id      text        NOT NULL,
    number  bigint      GENERATED ALWAYS AS IDENTITY,
    version integer     NOT NULL,
    verdict text        NOT NULL CHECK (verdict IN ('asked', 'withdrawn', 'approved', 'rejected')),
    author  text        NOT NULL,
    note    text        NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (kind, id, number),
    FOREIGN KEY (kind, id, version) REFERENCES document
);
"""

# What came of each version's work by day, who of them has to be looked at, and why one was stopped: executed by a later
# migration of services whose documents are guarded. `stay` is the change that put the version in force.
GUARD_SQL = """
CREATE TABLE document_guard_day (
    kind    text    NOT NULL,
    id      text    NOT NULL,
    stay    bigint  NOT NULL,
    day     date    NOT NULL,
    measure text    NOT NULL,
    unit    integer NOT NULL,
    count   bigint  NOT NULL,
    PRIMARY KEY (kind, id, stay, day, measure, unit)
) WITH (fillfactor = 70);
CREATE INDEX document_guard_day_age ON document_guard_day (day);

CREATE TABLE document_guard_touched (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind   text   NOT NULL,
    ids    text[] NOT NULL
);

CREATE TABLE document_guard_stop (
    kind    text   NOT NULL,
    number  bigint NOT NULL,
    figures json   NOT NULL,
    PRIMARY KEY (kind, number),
    FOREIGN KEY (kind, number) REFERENCES document_change
);
"""
