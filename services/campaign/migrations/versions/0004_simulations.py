"""Where is kept by which version of the policy a decision was made?"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

# Null where another gate decided before the law was asked; 0 is the table that ships. Its rows are in the trace.
POLICY = "ALTER TABLE decision ADD COLUMN policy_version integer"


def upgrade() -> None:
    op.execute(POLICY)
