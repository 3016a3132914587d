"""What do people look like to whom looks for them, or for their doubles?"""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
