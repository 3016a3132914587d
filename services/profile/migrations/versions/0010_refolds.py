"""Which profiles are being folded again?"""

from alembic import op

revision = "0010"
down_revision = "0009"

_TABLES = """
"""


def upgrade() -> None:
    if _TABLES.strip():
        op.execute(_TABLES)
