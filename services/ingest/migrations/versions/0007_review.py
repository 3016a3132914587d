"""Who has agreed to a version of a mapping before it counts?"""

from __future__ import annotations

from alembic import op

from libs.common import documents

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(documents.REVIEW_SQL)
