"""Where is kept what came of a campaign's contacts, so that it can be stopped?"""

from __future__ import annotations

from alembic import op

from libs.common import documents

revision = "0003"
down_revision = "0002"

# `reactions` has a bit for each kind that was counted, so that one contact counts once for each.
CAUSES = """
ALTER TABLE decision ADD COLUMN rule_version integer NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN decision_id uuid, ADD COLUMN reactions smallint NOT NULL DEFAULT 0;
"""


def upgrade() -> None:
    op.execute(documents.GUARD_SQL)
    op.execute(CAUSES)
