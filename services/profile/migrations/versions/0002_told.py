"""What stands beside the data of an event: identifiers, circumstances, and what came of it."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Constant defaults are not written to the rows: this takes no longer with many of them.
    op.execute("ALTER TABLE timeline ADD COLUMN told bytea NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE record ADD COLUMN links_revision bigint NOT NULL DEFAULT 0")
    op.execute("DROP INDEX timeline_customer")
    op.execute("CREATE INDEX timeline_customer ON timeline (customer_id, time DESC, event_id DESC)")
