"""Who has which points, and where did they come from?"""

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = """
-- One row per record that ever had to do with points. Whoever writes to a record's lots holds the lock of its row,
-- also the unit of another record of the same person: that is why no two spends can use the same points.
CREATE TABLE points_account (
    customer_id uuid    PRIMARY KEY,
    unit        integer NOT NULL,
    balance     bigint  NOT NULL CHECK (balance >= 0),
    summary     bytea   NOT NULL
) WITH (fillfactor = 70);

-- What a record has from one business unit until one day (the last on which it is worth something; infinity is never).
CREATE TABLE points_lot (
    customer_id   uuid   NOT NULL,
    expires_on    date   NOT NULL,
    business_unit text   NOT NULL,
    left_points   bigint NOT NULL CHECK (left_points >= 0),
    expired       bigint NOT NULL CHECK (expired >= 0),
    PRIMARY KEY (customer_id, expires_on, business_unit)
) WITH (fillfactor = 70);

-- The ledger: only ever appended to.
CREATE TABLE points_entry (
    entry_id      uuid        PRIMARY KEY,
    unit          integer     NOT NULL,
    customer_id   uuid        NOT NULL,
    kind          text        NOT NULL,
    points        bigint      NOT NULL,
    moved         bigint      NOT NULL,
    status        text        NOT NULL CHECK (status IN ('done', 'waiting', 'refused')),
    why           text        NOT NULL,
    business_unit text        NOT NULL,
    partner       text        NOT NULL,
    reference     text        NOT NULL,
    reason        text        NOT NULL,
    reverses      uuid,
    settles       uuid,
    day           date        NOT NULL,
    expires_on    date        NOT NULL,
    actor         text        NOT NULL,
    at            timestamptz NOT NULL,
    booked_at     timestamptz NOT NULL
);
CREATE INDEX points_entry_reverses ON points_entry (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX points_entry_settles ON points_entry (settles) WHERE settles IS NOT NULL;

-- What each entry did to each lot: of all rows of a lot the sum is what is left of it.
CREATE TABLE points_posting (
    unit          integer     NOT NULL,
    entry_id      uuid        NOT NULL,
    customer_id   uuid        NOT NULL,
    business_unit text        NOT NULL,
    expires_on    date        NOT NULL,
    kind          text        NOT NULL,
    points        bigint      NOT NULL,
    booked_at     timestamptz NOT NULL
);
CREATE INDEX points_posting_customer ON points_posting (customer_id, booked_at DESC, entry_id DESC);
CREATE INDEX points_posting_entry ON points_posting (entry_id);

-- What could not be done yet, and what came of it.
CREATE TABLE points_open (
    entry_id      uuid        PRIMARY KEY,
    unit          integer     NOT NULL,
    customer_id   uuid        NOT NULL,
    kind          text        NOT NULL CHECK (kind IN ('spend', 'adjust', 'debt', 'reverse')),
    points        bigint      NOT NULL CHECK (points >= 0),
    business_unit text        NOT NULL,
    awaits        uuid,
    at            timestamptz NOT NULL,
    day           date        NOT NULL,
    until_on      date        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('open', 'settled', 'written_off')),
    note          text        NOT NULL,
    by            text        NOT NULL,
    changed_at    timestamptz NOT NULL
);
CREATE INDEX points_open_customer ON points_open (customer_id, at, entry_id) WHERE state = 'open';
CREATE INDEX points_open_state ON points_open (state, changed_at DESC, entry_id DESC);

-- Sums that a report would take hours to count; a row has one writer, the unit, so nobody waits for it.
CREATE TABLE points_total (
    unit          integer NOT NULL,
    kind          text    NOT NULL,
    issuer        text    NOT NULL,
    business_unit text    NOT NULL,
    points        bigint  NOT NULL,
    PRIMARY KEY (unit, kind, issuer, business_unit)
) WITH (fillfactor = 50);

CREATE TABLE points_liability (
    unit    integer NOT NULL,
    issuer  text    NOT NULL,
    month   date    NOT NULL,
    points  bigint  NOT NULL,
    PRIMARY KEY (unit, issuer, month)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(_TABLES)
