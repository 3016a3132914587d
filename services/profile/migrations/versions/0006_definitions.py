"""What did the owners define about their customers?"""

from alembic import op

revision = "0006"
down_revision = "0005"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
