"""What does the campaign service remember? Profiles, decisions, contacts, switches, campaigns."""

from __future__ import annotations

from alembic import op

from libs.common import documents, worker_tables

revision = "0001"
down_revision = None

TABLES = """
-- The newest profile of each record, as far as it says whether contact is allowed; it holds no address.
CREATE TABLE customer (
    customer_id text    PRIMARY KEY,
    unit        integer NOT NULL,
    version     bigint  NOT NULL,
    linked      text[]  NOT NULL,
    body        bytea   NOT NULL
);

CREATE TABLE decision (
    decision_id      uuid        PRIMARY KEY,
    unit             integer     NOT NULL,
    trigger_id       text        NOT NULL,
    campaign_id      text        NOT NULL,
    campaign_version integer     NOT NULL,
    customer_id      text        NOT NULL,
    person_id        text        NOT NULL,
    outcome          text        NOT NULL CHECK (outcome IN ('contact', 'deferred', 'denied', 'holdout')),
    gate             text        NOT NULL,
    channel          text        NOT NULL,
    cost             text        NOT NULL,
    event_id         text        NOT NULL,
    rule_id          text        NOT NULL,
    decided_at       timestamptz NOT NULL,
    defer_until      timestamptz,
    trace            bytea       NOT NULL
);
CREATE INDEX decision_of_customer ON decision (customer_id, decided_at DESC, decision_id DESC);
CREATE INDEX decision_of_person ON decision (person_id, decided_at DESC, decision_id DESC);
CREATE INDEX decision_of_campaign ON decision (campaign_id, decided_at DESC, decision_id DESC);
CREATE INDEX decision_of_event ON decision (event_id);
CREATE INDEX decision_by_time ON decision (decided_at DESC, decision_id DESC);

CREATE TABLE contact (
    message_id  uuid        PRIMARY KEY,
    unit        integer     NOT NULL,
    customer_id text        NOT NULL,
    person_id   text        NOT NULL,
    campaign_id text        NOT NULL,
    channel     text        NOT NULL,
    class       text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('reserved', 'committed', 'released')),
    reserved_at timestamptz NOT NULL,
    settled_at  timestamptz
);
CREATE INDEX contact_counted ON contact (customer_id) WHERE state <> 'released';
CREATE INDEX contact_of_campaign ON contact (campaign_id);

CREATE TABLE switch (
    scope   text        PRIMARY KEY,
    version bigint      NOT NULL,
    off     boolean     NOT NULL,
    actor   text        NOT NULL,
    set_at  timestamptz NOT NULL,
    note    text        NOT NULL
);
"""


def upgrade() -> None:
    op.execute(worker_tables.SQL)
    op.execute(documents.SQL)
    op.execute(TABLES)
