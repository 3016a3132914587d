"""What must the data of each event type look like? Versions of schemas, modes of sources, violations."""

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(SQL)
