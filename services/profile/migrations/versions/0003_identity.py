"""What is known of links between records, and what keeps records apart?"""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
