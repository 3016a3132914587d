"""Who has which points, and where did they come from?"""

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
