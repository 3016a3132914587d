"""What do people look like to whom looks for them, or for their doubles?"""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = """
-- What is compared and shown of a record, as `services/profile/portraits.py` writes it, and what it is found by.
CREATE TABLE portrait (
    record_id uuid     PRIMARY KEY,
    unit      integer  NOT NULL,
    body      bytea    NOT NULL,
    keys      bigint[] NOT NULL,
    terms     text[]   NOT NULL
) WITH (fillfactor = 80);

-- Records that share a key (a hash of it) are compared. These rows, and those below, are written and deleted together
-- with the portrait that names them, and by its owner alone.
CREATE TABLE portrait_key (
    key    bigint NOT NULL,
    record uuid   NOT NULL,
    PRIMARY KEY (key, record)
);

-- What people type to find somebody, by its beginning: bytes in order, whatever the locale.
CREATE TABLE portrait_term (
    term   text COLLATE "C" NOT NULL,
    record uuid             NOT NULL,
    PRIMARY KEY (term, record)
);

-- Cards and telephones that were ever known, by their beginnings and ends.
CREATE INDEX identifier_card ON identifier (key text_pattern_ops) WHERE key LIKE 'loyalty\\_card:%';
CREATE INDEX identifier_card_end ON identifier (reverse(key) text_pattern_ops) WHERE key LIKE 'loyalty\\_card:%';
CREATE INDEX identifier_phone_end ON identifier (reverse(key) text_pattern_ops) WHERE key LIKE 'phone:%';

-- Records that the finder has not looked at since they changed. Nothing is unique here, so that whoever writes a
-- record never waits for whoever looks at it.
CREATE TABLE duplicate_look (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id   uuid        NOT NULL,
    taken_until timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX duplicate_look_record ON duplicate_look (record_id);

-- Two records, the smaller id first, of which a person is to say whether they are one.
CREATE TABLE duplicate_pair (
    pair_id     uuid             PRIMARY KEY,
    one         uuid             NOT NULL,
    other       uuid             NOT NULL,
    state       text             NOT NULL CHECK (state IN ('open', 'same', 'different', 'gone')),
    odds        double precision NOT NULL,
    guards      text[]           NOT NULL,
    weights     integer          NOT NULL,
    found_at    timestamptz      NOT NULL,
    decided_at  timestamptz,
    decided_by  text             NOT NULL DEFAULT '',
    reason      text             NOT NULL DEFAULT ''
);
CREATE INDEX duplicate_pair_state ON duplicate_pair (state, odds DESC, pair_id);
CREATE INDEX duplicate_pair_one ON duplicate_pair (one);
CREATE INDEX duplicate_pair_other ON duplicate_pair (other);

-- What was learned; the newest is in force.
CREATE TABLE duplicate_weights (
    version    integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body       bytea       NOT NULL,
    learned_at timestamptz NOT NULL
);

-- Work over all records: to learn from a sample of them, or to look at each of them again.
CREATE TABLE duplicate_job (
    job         integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('learning', 'pass')),
    cursor      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    marked      bigint      NOT NULL DEFAULT 0,
    last_number bigint      NOT NULL DEFAULT 0,
    total       bigint      NOT NULL,
    version     integer,
    actor       text        NOT NULL,
    note        text        NOT NULL,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    taken_until timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX duplicate_job_open ON duplicate_job (kind, job) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    op.execute(_TABLES)
