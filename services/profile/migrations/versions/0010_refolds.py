"""Which profiles are being folded again?"""

from alembic import op

revision = "0010"
down_revision = "0009"

_TABLES = """
-- One row per job; customers up to `cursor` have been ordered to be folded.
CREATE TABLE refold (
    job        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verify     boolean     NOT NULL,
    announce   boolean     NOT NULL,
    since      integer,
    cursor     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ordered    bigint      NOT NULL DEFAULT 0,
    total      bigint      NOT NULL,
    actor      text        NOT NULL,
    note       text        NOT NULL,
    created_at timestamptz NOT NULL,
    ordered_at timestamptz,
    stopped_at timestamptz
);

-- How far each unit has come: units do not wait for one another.
CREATE TABLE refold_progress (
    job      integer     NOT NULL REFERENCES refold,
    unit     integer     NOT NULL,
    done     bigint      NOT NULL,
    differed bigint      NOT NULL,
    moved_at timestamptz NOT NULL,
    PRIMARY KEY (job, unit)
);
"""


def upgrade() -> None:
    op.execute(_TABLES)
