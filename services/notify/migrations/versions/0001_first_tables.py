"""Which tables does notify begin with?"""

from __future__ import annotations

from alembic import op

from libs.common import documents, worker_tables

revision = "0001"
down_revision: str | None = None

TABLES = """
CREATE TABLE customer (
    customer_id text    PRIMARY KEY,
    unit        integer NOT NULL,
    version     bigint  NOT NULL,
    body        bytea   NOT NULL
);

CREATE TABLE message (
    message_id         text        PRIMARY KEY,
    unit               integer     NOT NULL,
    decision_id        text        NOT NULL,
    campaign_id        text        NOT NULL,
    customer_id        text        NOT NULL,
    person_id          text        NOT NULL,
    trigger_id         text        NOT NULL,
    event_id           text        NOT NULL,
    variant            text        NOT NULL,
    channel            text        NOT NULL,
    class              text        NOT NULL,
    template           text        NOT NULL,
    conditions         bytea       NOT NULL,
    "values"           bytea       NOT NULL,
    received_ms        bigint      NOT NULL,
    requested_at       timestamptz NOT NULL,
    planned_at         timestamptz NOT NULL,
    valid_until        timestamptz NOT NULL,
    not_before         timestamptz NOT NULL,
    state              text        NOT NULL DEFAULT 'PLANNED',
    attempts           integer     NOT NULL DEFAULT 0,
    first_tried_at     timestamptz,
    doubt              boolean     NOT NULL DEFAULT false,
    possible_duplicate boolean     NOT NULL DEFAULT false,
    settled            text        NOT NULL DEFAULT '',
    reason             text        NOT NULL DEFAULT '',
    lease_owner        text        NOT NULL DEFAULT '',
    lease_until        timestamptz,
    provider           text        NOT NULL DEFAULT '',
    provider_ref       text        NOT NULL DEFAULT '',
    template_version   integer     NOT NULL DEFAULT 0,
    recipient          text        NOT NULL DEFAULT '',
    subject            text        NOT NULL DEFAULT '',
    body               text        NOT NULL DEFAULT '',
    links              text        NOT NULL DEFAULT '[]',
    updated_at         timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX message_due ON message (channel, not_before) WHERE state = 'PLANNED';
CREATE INDEX message_leased ON message (channel, lease_until) WHERE state = 'SUBMITTING';
CREATE INDEX message_newest ON message (planned_at DESC, message_id DESC);
CREATE INDEX message_of_customer ON message (customer_id, planned_at DESC, message_id DESC);
CREATE INDEX message_of_campaign ON message (campaign_id, planned_at DESC, message_id DESC);

CREATE TABLE message_step (
    message_id text        NOT NULL,
    unit       integer     NOT NULL,
    at         timestamptz NOT NULL,
    number     bigint      GENERATED ALWAYS AS IDENTITY,
    state      text        NOT NULL,
    detail     text        NOT NULL
);
CREATE INDEX message_step_of_message ON message_step (message_id, at, number);

CREATE TABLE response (
    response_id text        PRIMARY KEY,
    unit        integer     NOT NULL,
    message_id  text        NOT NULL,
    type        text        NOT NULL,
    at          timestamptz NOT NULL,
    data        text        NOT NULL
);
CREATE INDEX response_of_message ON response (message_id, at);

CREATE TABLE suppression (
    customer_id text        NOT NULL,
    unit        integer     NOT NULL,
    channel     text        NOT NULL,
    reason      text        NOT NULL,
    recipient   text        NOT NULL,
    message_id  text        NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (customer_id, channel, reason)
);

CREATE TABLE task (
    task_id     text        PRIMARY KEY,
    unit        integer     NOT NULL,
    message_id  text        NOT NULL,
    decision_id text        NOT NULL,
    campaign_id text        NOT NULL,
    customer_id text        NOT NULL,
    person_id   text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('open', 'done')),
    phone       text        NOT NULL,
    script      text        NOT NULL,
    created_at  timestamptz NOT NULL,
    due         timestamptz NOT NULL,
    outcome     text        NOT NULL DEFAULT '',
    note        text        NOT NULL DEFAULT '',
    call_back_at timestamptz,
    done_by     text        NOT NULL DEFAULT '',
    done_at     timestamptz
);
CREATE INDEX task_open ON task (due, task_id) WHERE state = 'open';
CREATE INDEX task_newest ON task (created_at DESC, task_id DESC);
"""


def upgrade() -> None:
    op.execute(worker_tables.SQL)
    op.execute(documents.SQL)
    op.execute(TABLES)
