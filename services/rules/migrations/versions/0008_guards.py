"""Where is kept what came of what a rule caused, so that it can be stopped?"""

from __future__ import annotations

from alembic import op

from libs.common import documents

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(documents.GUARD_SQL)
