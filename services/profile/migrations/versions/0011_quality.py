"""Whose data are to be put right, and by which branch?"""

from alembic import op

revision = "0011"
down_revision = "0010"

_TABLES = """
-- One row per record of whom more is known than a browser. `good` and `bad` are bits by problem: a person has one that
-- some record shows and no record refutes. `person_id` is null where the record is the whole person; `branch_rank`
-- says which record's branch is the person's.
CREATE TABLE quality (
    customer_id  uuid     PRIMARY KEY,
    unit         integer  NOT NULL,
    person_id    uuid,
    branch       text     NOT NULL,
    branch_rank  bigint   NOT NULL,
    good         smallint NOT NULL,
    bad          smallint NOT NULL,
    confirmed_on date
) WITH (fillfactor = 80);
CREATE INDEX quality_branch ON quality (branch, customer_id) WHERE person_id IS NULL;
CREATE INDEX quality_person ON quality (person_id) WHERE person_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(_TABLES)
