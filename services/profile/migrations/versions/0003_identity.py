"""What is known of links between records, and what keeps records apart?"""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = """
-- Of two lists of a person's records the one of the higher revision is true.
CREATE SEQUENCE links_revision;
UPDATE record SET links_revision = nextval('links_revision')
FROM (SELECT person_id FROM record GROUP BY person_id HAVING count(*) > 1) AS several
WHERE record.person_id = several.person_id;
UPDATE record SET links_revision = (SELECT last_value FROM links_revision) WHERE links_revision > 0;

-- Why an identifier joins nobody: shared or limit; empty for those that do.
ALTER TABLE identifier ADD COLUMN silent text NOT NULL DEFAULT '';

-- An edge between two records, with what speaks for it. One that was taken back stays, with who did it and why.
ALTER TABLE link
    ADD COLUMN one uuid,
    ADD COLUMN other uuid,
    ADD COLUMN kind text NOT NULL DEFAULT 'event',
    ADD COLUMN actor text NOT NULL DEFAULT '',
    ADD COLUMN about jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN ended_at timestamptz,
    ADD COLUMN ended_by text NOT NULL DEFAULT '',
    ADD COLUMN ended_why text NOT NULL DEFAULT '';
UPDATE link SET
    one = coalesce(
        (SELECT record_id FROM identifier WHERE key = evidence[1]),
        CASE WHEN evidence[1] ~ '^customer_id:[0-9a-f-]{36}$' THEN substr(evidence[1], 13)::uuid END, person_id),
    other = coalesce(
        (SELECT record_id FROM identifier WHERE key = evidence[2]),
        CASE WHEN evidence[2] ~ '^customer_id:[0-9a-f-]{36}$' THEN substr(evidence[2], 13)::uuid END, joined[1]);
ALTER TABLE link
    ALTER COLUMN one SET NOT NULL,
    ALTER COLUMN other SET NOT NULL,
    DROP COLUMN person_id,
    DROP COLUMN joined,
    DROP COLUMN link_id;
ALTER TABLE link ADD COLUMN link_id uuid PRIMARY KEY DEFAULT gen_random_uuid();
ALTER TABLE link ALTER COLUMN link_id DROP DEFAULT;
CREATE INDEX link_one ON link (one);
CREATE INDEX link_other ON link (other);

-- Pairs that nothing automatic joins again; each stands in both directions.
CREATE TABLE kept_apart (
    record_id uuid        NOT NULL,
    other     uuid        NOT NULL,
    parted_at timestamptz NOT NULL,
    PRIMARY KEY (record_id, other)
);
"""


def upgrade() -> None:
    op.execute(_TABLES)
