-- +goose Up

-- Every restore: what goes where, how far it has come, and the way back. The
-- job of the same id does it.
CREATE TABLE restores (
    id              uuid PRIMARY KEY REFERENCES backup_jobs ON DELETE CASCADE,
    target          text NOT NULL CHECK (target IN ('new', 'in_place', 'bookmark')),
    copy_id         uuid,
    database_id     uuid,
    database_name   text NOT NULL DEFAULT '',
    tables          text[] NOT NULL DEFAULT '{}',
    name            text NOT NULL,
    target_id       text NOT NULL DEFAULT '',
    bookmark        text NOT NULL DEFAULT '',
    step            text NOT NULL,
    safety_copy_id  uuid,
    bookmark_before text NOT NULL DEFAULT '',
    import_bookmark text NOT NULL DEFAULT '',
    bookmark_after  text NOT NULL DEFAULT '',
    statements      bigint NOT NULL DEFAULT 0,
    rows_written    bigint NOT NULL DEFAULT 0,
    progress_bytes  bigint NOT NULL DEFAULT 0,
    progress_total  bigint NOT NULL DEFAULT 0,
    checks          jsonb NOT NULL DEFAULT '[]',
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    outcome         text NOT NULL DEFAULT '',
    next            text NOT NULL DEFAULT ''
);
CREATE INDEX restores_of ON restores (database_id, created_at DESC);
-- One restore at a time over what a database holds, and none of one name.
CREATE UNIQUE INDEX restores_open ON restores (target_id) WHERE ended_at IS NULL AND target_id <> '';
CREATE UNIQUE INDEX restores_name ON restores (name) WHERE ended_at IS NULL;
