"""How are foreign documents understood? Mappings, and the secrets of those who send them."""

from alembic import op

revision = "0004"
down_revision = "0003"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(SQL)
