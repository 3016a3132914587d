"""What was erased, and who looked at whom?"""

from alembic import op

revision = "0009"
down_revision = "0008"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
