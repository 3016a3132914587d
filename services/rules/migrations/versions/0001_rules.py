"""Where are rules, and what the engine remembers of customers, kept?"""

from __future__ import annotations

from alembic import op

from libs.common import documents, worker_tables

revision = "0001"
down_revision = None

# A blob is rewritten at most once per batch and is small: it is neither compressed nor moved out of its row in vain.
_RULE_STATE = """
CREATE TABLE rule_state (
    customer_id text        COLLATE "C" NOT NULL PRIMARY KEY,
    unit        integer     NOT NULL,
    waiting     boolean     NOT NULL,
    expires_at  timestamptz NOT NULL,
    body        bytea       NOT NULL
) WITH (fillfactor = 70);
ALTER TABLE rule_state ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX rule_state_waiting ON rule_state (unit) WHERE waiting;
CREATE INDEX rule_state_expiry ON rule_state (unit, expires_at) WHERE NOT waiting;
"""


def upgrade() -> None:
    op.execute(worker_tables.SQL)
    op.execute(documents.SQL)
    op.execute(_RULE_STATE)
