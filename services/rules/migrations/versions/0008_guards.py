"""Where is kept what came of what a rule caused, so that it can be stopped?"""

from __future__ import annotations

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    pass
