"""Where is kept which rules still learn of the past, and what it left?"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_WARMING = """
-- One row for each time that a unit met rules which it did not know. `position` is the first offset that the unit has
-- handled with them; `rules` lists id, version, whether the rule is new and since when, by the unit's clock.
CREATE TABLE warming (
    unit           integer     NOT NULL,
    number         bigint      NOT NULL,
    state          text        NOT NULL CHECK (state IN ('asked', 'reading', 'read', 'ready', 'cancelled')),
    rules          jsonb       NOT NULL,
    position       bigint      NOT NULL,
    asked_at       timestamptz NOT NULL,
    ended_at       timestamptz,
    job            uuid,
    owner          text,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    attempts       integer     NOT NULL DEFAULT 0,
    retry_at       timestamptz NOT NULL DEFAULT '-infinity',
    messages_read  bigint      NOT NULL DEFAULT 0,
    messages_total bigint,
    customers      bigint,
    since          timestamptz,
    error          text        NOT NULL DEFAULT '',
    PRIMARY KEY (unit, number)
);
CREATE INDEX warming_open ON warming (unit) WHERE state IN ('asked', 'reading', 'read');
CREATE INDEX warming_ended ON warming (ended_at);

-- What the past left of customers, until their units take it over.
CREATE TABLE warmed (
    unit        integer NOT NULL,
    customer_id text    COLLATE "C" NOT NULL,
    body        bytea   NOT NULL,
    PRIMARY KEY (unit, customer_id)
);
ALTER TABLE warmed ALTER COLUMN body SET STORAGE EXTERNAL;

-- What came in meanwhile, as it came: it is told to what the past left before that is taken over.
CREATE TABLE warming_event (
    unit        integer NOT NULL,
    number      bigint  GENERATED ALWAYS AS IDENTITY,
    position    bigint  NOT NULL,
    clock_ms    bigint  NOT NULL,
    customer_id text    COLLATE "C" NOT NULL,
    body        bytea   NOT NULL,
    PRIMARY KEY (unit, customer_id, number)
);

-- Which segments a unit has asked about, and what each meant then: a digest of its definition and of its beginning.
CREATE TABLE warming_segment (
    unit       integer NOT NULL,
    segment_id text    COLLATE "C" NOT NULL,
    about      bigint  NOT NULL,
    PRIMARY KEY (unit, segment_id)
);

-- By which form a body was packed: what another one has packed is learned anew from the log.
ALTER TABLE rule_state ADD COLUMN form smallint NOT NULL DEFAULT 1;
CREATE TABLE rule_form (
    unit integer  NOT NULL PRIMARY KEY,
    form smallint NOT NULL
);
INSERT INTO rule_form SELECT DISTINCT unit, 1 FROM rule_state;
"""


def upgrade() -> None:
    op.execute(_WARMING)
