"""Where is kept who is in which segment, and since when?"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

# One row per record that says anything: of the records of a person the one that was judged last counts. A row that says
# "out" is there to overrule another record's.
_SEGMENT_MEMBER = """
CREATE TABLE segment_member (
    unit        integer     NOT NULL,
    segment_id  text        COLLATE "C" NOT NULL,
    customer_id text        COLLATE "C" NOT NULL,
    person_id   text        COLLATE "C" NOT NULL,
    inside      boolean     NOT NULL,
    since       timestamptz NOT NULL,
    judged_ms   bigint      NOT NULL,
    version     integer     NOT NULL,
    PRIMARY KEY (unit, segment_id, customer_id)
);
CREATE INDEX segment_member_person ON segment_member (segment_id, person_id, judged_ms DESC, customer_id)
    INCLUDE (inside);
CREATE INDEX segment_member_customer ON segment_member (customer_id);
"""

# How many people were in a segment when they were counted last, and how long that took.
_SEGMENT_COUNT = """
CREATE TABLE segment_count (
    segment_id   text             COLLATE "C" PRIMARY KEY,
    people       bigint           NOT NULL,
    counted_at   timestamptz      NOT NULL,
    took_seconds double precision NOT NULL
);
"""


def upgrade() -> None:
    op.execute(_SEGMENT_MEMBER)
    op.execute(_SEGMENT_COUNT)
