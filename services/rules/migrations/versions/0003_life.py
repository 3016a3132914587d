"""Who has agreed to a version of a rule before it counts?"""

from __future__ import annotations

from alembic import op

from libs.common import documents

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(documents.REVIEW_SQL)
