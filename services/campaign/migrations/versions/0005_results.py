"""Where is kept what customers did that a campaign may be for, and who they are?"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

# What a report looks at is joined when it is asked for, so that late events, merges and their undoing count by
# themselves. `at` comes first behind the customer: a report asks for spans of time of many customers.
_DONE = """
CREATE TABLE done (
    customer_id text        COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    event_id    text        COLLATE "C" NOT NULL,
    type        text        NOT NULL,
    unit        integer     NOT NULL,
    branch      text        NOT NULL,
    channel     text        NOT NULL,
    currency    text        NOT NULL,
    amount      numeric     NOT NULL,
    margin      numeric     NOT NULL,
    unmargined  numeric     NOT NULL,
    PRIMARY KEY (customer_id, at, event_id)
);
CREATE INDEX done_age ON done USING brin (at);
"""

# Who somebody is today: the person that the newest copy of their profile names.
_PERSON = """
ALTER TABLE customer ADD COLUMN person_id text NOT NULL DEFAULT '';
UPDATE customer SET person_id = coalesce(convert_from(body, 'UTF8')::jsonb ->> 'person_id', '');
CREATE INDEX customer_of_person ON customer (person_id) WHERE person_id <> '';
"""


def upgrade() -> None:
    op.execute(_DONE)
    op.execute(_PERSON)
