"""Where is kept what fired, on what grounds, and how often each rule came to what?"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

# By month of occurrence: a month that is over is dropped whole. A trigger that is found again has the same instant.
# What lies further back than any month that is kept ready goes into the last part.
_TRIGGER_LOG = """
CREATE TABLE trigger_log (
    occurred_at timestamptz NOT NULL,
    trigger_id  uuid        NOT NULL,
    unit        integer     NOT NULL,
    rule_id     text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL,
    customer_id text        COLLATE "C" NOT NULL,
    person_id   text        COLLATE "C" NOT NULL,
    event_id    text        NOT NULL,
    logged_at   timestamptz NOT NULL,
    body        bytea       NOT NULL,
    PRIMARY KEY (occurred_at, trigger_id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX trigger_log_id ON trigger_log USING hash (trigger_id);
CREATE INDEX trigger_log_rule ON trigger_log (rule_id, occurred_at, trigger_id);
CREATE INDEX trigger_log_customer ON trigger_log (customer_id, occurred_at, trigger_id);
CREATE TABLE trigger_log_older PARTITION OF trigger_log DEFAULT;
"""

_RULE_DAY = """
CREATE TABLE rule_day (
    rule_id text    COLLATE "C" NOT NULL,
    day     date    NOT NULL,
    outcome text    COLLATE "C" NOT NULL,
    unit    integer NOT NULL,
    count   bigint  NOT NULL,
    PRIMARY KEY (rule_id, day, outcome, unit)
) WITH (fillfactor = 70);
CREATE INDEX rule_day_age ON rule_day (day);
"""


def upgrade() -> None:
    op.execute(_TRIGGER_LOG)
    op.execute(_RULE_DAY)
