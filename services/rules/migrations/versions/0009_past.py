"""Where is kept what else a backtest was asked for?"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


# An id or a whole document, whose gates are asked what they would have done.
CAMPAIGN = "ALTER TABLE backtest ADD COLUMN campaign json"


def upgrade() -> None:
    op.execute(CAMPAIGN)
