"""Where is kept which events without a person are still on their way to customers?"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

# A row for each unit, event and rule; the id is of event and rule. `cursor` is the last customer who had a turn.
_FANOUT = """
CREATE TABLE fanout (
    unit        integer     NOT NULL,
    fanout_id   uuid        NOT NULL,
    rule_id     text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL,
    segment_id  text        COLLATE "C" NOT NULL,
    event_id    text        NOT NULL,
    event_type  text        NOT NULL,
    received_at timestamptz NOT NULL,
    began_at    timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    ended_at    timestamptz,
    state       text        COLLATE "C" NOT NULL DEFAULT 'running',
    cursor      text        COLLATE "C" NOT NULL DEFAULT '',
    selected    bigint      NOT NULL,
    seen        bigint      NOT NULL DEFAULT 0,
    fired       bigint      NOT NULL DEFAULT 0,
    body        bytea       NOT NULL,
    PRIMARY KEY (unit, fanout_id)
) WITH (fillfactor = 80);
CREATE INDEX fanout_id ON fanout (fanout_id);
CREATE INDEX fanout_running ON fanout (unit, received_at, fanout_id) WHERE state = 'running';
CREATE INDEX fanout_newest ON fanout (received_at, fanout_id);
CREATE INDEX fanout_rule ON fanout (rule_id, received_at, fanout_id);
CREATE INDEX fanout_ended ON fanout (ended_at) WHERE state <> 'running';
"""

# By itself, for it is written by the API, and also means units that have not met the event yet.
_CANCELLED = """
CREATE TABLE fanout_cancelled (
    fanout_id    uuid        PRIMARY KEY,
    cancelled_by text        NOT NULL,
    cancelled_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(_FANOUT)
    op.execute(_CANCELLED)
