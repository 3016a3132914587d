"""Which branches, regions, staff and products are there?"""

from alembic import op

revision = "0008"
down_revision = "0007"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
