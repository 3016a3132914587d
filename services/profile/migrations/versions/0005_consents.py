"""What did customers agree to, word for word, and what is owed to them?"""

from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
