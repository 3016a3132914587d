"""Which files are coming in, and how far are they?"""

from alembic import op

revision = "0006"
down_revision = "0005"

SQL = """
CREATE TABLE import_file (
    import_id      text PRIMARY KEY,
    key_id         text NOT NULL,
    channel        text NOT NULL,
    state          text NOT NULL,
    detail         text NOT NULL DEFAULT '',
    filename       text NOT NULL DEFAULT '',
    source         text NOT NULL DEFAULT '',
    branch         text NOT NULL DEFAULT '',
    sheet_date     date,
    instructions   text NOT NULL,
    metadata       text NOT NULL DEFAULT '',
    -- The upload: how much is to come (null while nobody knows), and who is writing at the moment.
    size           bigint,
    received       bigint NOT NULL DEFAULT 0,
    writer         text,
    created_at     timestamptz NOT NULL,
    moved_at       timestamptz NOT NULL,
    uploaded_at    timestamptz,
    finished_at    timestamptz,
    -- Who works on it, and until when that holds without a sign of life.
    owner          text,
    epoch          bigint NOT NULL DEFAULT 0,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    pace_since     timestamptz,
    pace_line      bigint NOT NULL DEFAULT 0,
    -- How far it is, and what came of it.
    layout         text NOT NULL DEFAULT '',
    totals_agreed  boolean NOT NULL DEFAULT false,
    lines_total    bigint,
    found          text NOT NULL DEFAULT '{}',
    position       bigint NOT NULL DEFAULT 0,
    line           bigint NOT NULL DEFAULT 1,
    lines_read     bigint NOT NULL DEFAULT 0,
    lines_accepted bigint NOT NULL DEFAULT 0,
    lines_refused  bigint NOT NULL DEFAULT 0,
    lines_skipped  bigint NOT NULL DEFAULT 0,
    events_sent    bigint NOT NULL DEFAULT 0,
    sent           text NOT NULL DEFAULT '{}'
);
CREATE INDEX import_file_by_age ON import_file (created_at DESC, import_id DESC);
CREATE INDEX import_file_to_do ON import_file (uploaded_at) WHERE state IN ('waiting', 'checking', 'importing');
CREATE INDEX import_file_unfinished ON import_file (key_id)
    WHERE state IN ('uploading', 'waiting', 'checking', 'importing', 'totals_disagree');
CREATE INDEX import_file_sheets ON import_file (branch, sheet_date) WHERE state = 'done' AND sheet_date IS NOT NULL;

-- Bytes as they were sent; `start` is their place in the file. They are gone once nobody needs them any more.
CREATE TABLE import_chunk (
    import_id text NOT NULL REFERENCES import_file ON DELETE CASCADE,
    start     bigint NOT NULL,
    bytes     bytea NOT NULL,
    PRIMARY KEY (import_id, start)
);
ALTER TABLE import_chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE import_reject (
    import_id text NOT NULL REFERENCES import_file ON DELETE CASCADE,
    line      bigint NOT NULL,
    part      integer NOT NULL,
    reason    text NOT NULL,
    pointer   text NOT NULL,
    detail    text NOT NULL,
    body      bytea NOT NULL,
    PRIMARY KEY (import_id, line, part)
);

CREATE TABLE import_expected (
    branch        text PRIMARY KEY,
    source        text NOT NULL DEFAULT '',
    due           time NOT NULL,
    zone          text NOT NULL,
    weekdays      smallint[] NOT NULL,
    grace_minutes integer NOT NULL,
    changed_at    timestamptz NOT NULL,
    changed_by    text NOT NULL
);
"""


def upgrade() -> None:
    op.execute(SQL)
