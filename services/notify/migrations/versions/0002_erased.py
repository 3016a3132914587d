"""Of which messages is nothing known any more but that they were?"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE message ADD COLUMN erased boolean NOT NULL DEFAULT false")
    op.execute("CREATE INDEX task_of_customer ON task (customer_id)")
