"""How are the audit, the quality report and old commands read without reading everything?"""

from alembic import op

revision = "0013"
down_revision = "0012"

_INDEXES = """
CREATE INDEX audit_of_kind ON audit (kind, number DESC);
CREATE INDEX command_applied ON command (applied_at);

-- The rows of a branch in the order in which they are listed, and those with what few have: bounced or wrong addresses.
DROP INDEX quality_branch;
CREATE INDEX quality_branch ON quality (branch, customer_id);
CREATE INDEX quality_seldom ON quality (customer_id) WHERE bad & 31 <> 0;

-- What can still be done of what a record owes, before what is over.
CREATE INDEX points_open_until ON points_open (customer_id, until_on, at, entry_id) WHERE state = 'open';
"""


def upgrade() -> None:
    op.execute(_INDEXES)
