"""What was asked of the past, and what came of it?"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_BACKTEST = """
CREATE TABLE backtest (
    id             uuid        PRIMARY KEY,
    state          text        NOT NULL CHECK (state IN ('queued', 'running', 'finished', 'failed', 'cancelled')),
    rule_id        text        NOT NULL,
    version        integer     NOT NULL,
    document       json        NOT NULL,
    since          timestamptz NOT NULL,
    until          timestamptz NOT NULL,
    overlap        boolean     NOT NULL,
    in_force_before boolean NOT NULL,
    ignore_valid   boolean     NOT NULL,
    examples       integer     NOT NULL,
    actor          text        NOT NULL,
    note           text        NOT NULL,
    created_at     timestamptz NOT NULL,
    started_at     timestamptz,
    ended_at       timestamptz,
    owner          text,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    attempts       integer     NOT NULL DEFAULT 0,
    messages_read  bigint      NOT NULL DEFAULT 0,
    messages_total bigint,
    events_read    bigint      NOT NULL DEFAULT 0,
    reached        timestamptz,
    error          text        NOT NULL DEFAULT '',
    report         json
);
CREATE INDEX backtest_open ON backtest (id) WHERE state IN ('queued', 'running');
CREATE INDEX backtest_age ON backtest (created_at);

-- Apart from the report, because whoever is erased has to be found in them.
CREATE TABLE backtest_example (
    backtest_id uuid    NOT NULL REFERENCES backtest ON DELETE CASCADE,
    number      integer NOT NULL,
    customer_id text    COLLATE "C" NOT NULL,
    body        json    NOT NULL,
    PRIMARY KEY (backtest_id, number)
);
CREATE INDEX backtest_example_customer ON backtest_example (customer_id);

-- Records that lead to nobody any more: what the log still holds of them is shown to nobody either.
CREATE TABLE backtest_erased (
    customer_id text        COLLATE "C" PRIMARY KEY,
    at          timestamptz NOT NULL
);
CREATE INDEX backtest_erased_age ON backtest_erased (at);
"""


def upgrade() -> None:
    op.execute(_BACKTEST)
