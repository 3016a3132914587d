"""What did customers agree to, word for word, and what is owed to them?"""

from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = """
-- Every statement as it was made, one row per channel and purpose; rows are only ever added.
CREATE TABLE consent_ledger (
    unit        integer     NOT NULL,
    customer_id uuid        NOT NULL,
    event_id    text        NOT NULL,
    source      text        NOT NULL,
    type        text        NOT NULL,
    channel     text        NOT NULL,
    purpose     text        NOT NULL,
    status      text        NOT NULL,
    wording     text        NOT NULL,
    proof       text        NOT NULL,
    reason      text        NOT NULL,
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, event_id, channel, purpose, source)
);
CREATE INDEX consent_ledger_customer ON consent_ledger (customer_id, at DESC, event_id DESC);

-- Which wordings statements name, counted by unit so that units do not wait for one another.
CREATE TABLE consent_wording_use (
    wording    text        NOT NULL,
    unit       integer     NOT NULL,
    statements bigint      NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    PRIMARY KEY (wording, unit)
);

-- What people were shown when they agreed; a change is a new version.
CREATE TABLE consent_wording (
    wording_id text        NOT NULL,
    version    integer     NOT NULL,
    language   text        NOT NULL,
    purpose    text        NOT NULL,
    channels   text[]      NOT NULL,
    text       text        NOT NULL,
    valid_from timestamptz NOT NULL,
    actor      text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (wording_id, version)
);

-- What is owed to whom, the earliest of each kind per record; due_on is null when it is done.
CREATE TABLE consent_duty (
    unit        integer NOT NULL,
    customer_id uuid    NOT NULL,
    duty        text    NOT NULL,
    due_on      date,
    done_on     date,
    PRIMARY KEY (customer_id, duty)
);
CREATE INDEX consent_duty_due ON consent_duty (due_on, customer_id, duty) WHERE due_on IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(_TABLES)
