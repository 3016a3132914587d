"""Which files are coming in, and how far are they?"""

from alembic import op

revision = "0006"
down_revision = "0005"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(SQL)
