"""Where is kept which events without a person are still on their way to customers?"""

from __future__ import annotations

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    pass
