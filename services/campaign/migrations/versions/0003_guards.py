"""Where is kept what came of a campaign's contacts, so that it can be stopped?"""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    pass
