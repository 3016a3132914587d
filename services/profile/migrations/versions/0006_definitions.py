"""What did the owners define about their customers?"""

from alembic import op

revision = "0006"
down_revision = "0005"

_TABLES = """
-- What counts is the newest version of each subject; what has none is as shipped. Rows are only ever added.
CREATE TABLE definition (
    subject text        NOT NULL,
    version integer     NOT NULL CHECK (version >= 1),
    number  bigint      NOT NULL UNIQUE,
    body    json        NOT NULL,
    actor   text        NOT NULL,
    at      timestamptz NOT NULL,
    note    text        NOT NULL,
    PRIMARY KEY (subject, version)
);

-- Grows by one with every change of any subject, in the order in which the changes are committed.
CREATE TABLE definition_number (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    number bigint  NOT NULL
);
INSERT INTO definition_number (number) VALUES (0);
"""


def upgrade() -> None:
    op.execute(_TABLES)
