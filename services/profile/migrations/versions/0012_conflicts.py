"""What is kept of conflicts, and for how long?"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # Of somebody who was erased it is kept that there was a conflict, and nothing of what it said.
    op.execute("ALTER TABLE conflict ALTER COLUMN body DROP NOT NULL")
