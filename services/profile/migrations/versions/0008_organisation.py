"""Which branches, regions, staff and products are there?"""

from alembic import op

revision = "0008"
down_revision = "0007"

_TABLES = """
-- The number of the last change of reference data: whoever changes any holds its row's lock until it is committed, so
-- that nobody who has read up to a number has missed one below it.
CREATE TABLE reference_number (number bigint NOT NULL);
INSERT INTO reference_number VALUES (0);

-- What is gone stays as a row: those who keep a copy must hear of it.
CREATE TABLE product (
    code       text        PRIMARY KEY,
    name       text        NOT NULL,
    category   text        NOT NULL,
    brand      text        NOT NULL,
    margin     numeric,
    gone       boolean     NOT NULL DEFAULT false,
    number     bigint      NOT NULL,
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX product_number ON product (number);
CREATE INDEX product_category ON product (category text_pattern_ops, code) WHERE NOT gone;

-- Head office, regions and branches; `parent` is the next one above.
CREATE TABLE place (
    code          text        PRIMARY KEY,
    kind          text        NOT NULL CHECK (kind IN ('head_office', 'region', 'branch')),
    name          text        NOT NULL,
    parent        text        NOT NULL,
    zone          text        NOT NULL,
    ownership     text        NOT NULL CHECK (ownership IN ('own', 'independent')),
    opening_hours text[]      NOT NULL,
    gone          boolean     NOT NULL DEFAULT false,
    number        bigint      NOT NULL,
    actor         text        NOT NULL,
    changed_at    timestamptz NOT NULL
);
CREATE INDEX place_parent ON place (parent, code);
CREATE INDEX place_number ON place (number);

CREATE TABLE staff (
    code       text        PRIMARY KEY,
    name       text        NOT NULL,
    job        text        NOT NULL,
    place      text        NOT NULL,
    gone       boolean     NOT NULL DEFAULT false,
    number     bigint      NOT NULL,
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX staff_place ON staff (place, code);
CREATE INDEX staff_number ON staff (number);

-- Codes of events that stand for nothing we know of; a row has one writer, the unit.
CREATE TABLE unknown_code (
    kind     text        NOT NULL CHECK (kind IN ('product', 'place', 'staff')),
    code     text        NOT NULL,
    unit     integer     NOT NULL,
    events   bigint      NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    source   text        NOT NULL,
    PRIMARY KEY (kind, code, unit)
) WITH (fillfactor = 70);

-- Traits bought or lent from outside, a row for each delivery.
CREATE TABLE enrichment (
    enrichment_id uuid        PRIMARY KEY,
    source        text        NOT NULL,
    licence       text        NOT NULL,
    expires_on    date        NOT NULL,
    actor         text        NOT NULL,
    received_at   timestamptz NOT NULL,
    lines         integer     NOT NULL,
    matched       integer     NOT NULL,
    unmatched     integer     NOT NULL,
    refused       integer     NOT NULL,
    customers     integer     NOT NULL,
    traits        jsonb       NOT NULL,
    digest        text        NOT NULL
);
CREATE INDEX enrichment_at ON enrichment (received_at DESC, enrichment_id DESC);
"""


def upgrade() -> None:
    op.execute(_TABLES)
