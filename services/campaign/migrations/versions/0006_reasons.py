"""Where does a decision say why its rule fired, in the rule's own word?"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Of decisions made before nobody has kept it. A constant default rewrites no row.
    op.execute("ALTER TABLE decision ADD COLUMN reason text NOT NULL DEFAULT ''")
