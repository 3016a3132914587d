"""What was refused, and may be replayed?"""

from alembic import op

revision = "0005"
down_revision = "0004"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(SQL)
