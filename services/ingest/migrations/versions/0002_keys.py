"""What may the holder of a key do beyond its channel? Scopes, two secrets, expiry, limits."""

from alembic import op

revision = "0002"
down_revision = "0001"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(SQL)
