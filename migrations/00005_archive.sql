-- +goose Up

-- Weekly archives. One is here from the moment it was read back and each of its
-- members found whole.
CREATE TABLE archives (
    week           text PRIMARY KEY CHECK (week ~ '^\d{4}-W\d\d$'), -- ISO year and week
    key            text NOT NULL,
    size_bytes     bigint NOT NULL,
    sha256         text NOT NULL,
    from_date      date NOT NULL,
    to_date        date NOT NULL,
    member_count   integer NOT NULL,
    missing        jsonb NOT NULL DEFAULT '[]', -- what it could not hold, and why
    job_id         uuid,
    created_at     timestamptz NOT NULL,
    verified_at    timestamptz NOT NULL,
    expires_at     timestamptz,
    expires_reason text NOT NULL DEFAULT '',
    deleted_at     timestamptz
);

-- Where a copy lies: in an object of its own, in a verified archive, or in both.
-- Once its own object goes, it is read out of the archive.
ALTER TABLE backup_inventory
    ADD COLUMN archived_in text REFERENCES archives,
    ADD COLUMN archive_name text NOT NULL DEFAULT '',     -- 2026-11-23/groveauth.sql
    ADD COLUMN archive_offset bigint NOT NULL DEFAULT 0,  -- of its gzip bytes within the archive
    ADD COLUMN archive_length bigint NOT NULL DEFAULT 0,
    ADD COLUMN location text NOT NULL DEFAULT 'object' CHECK (location IN ('object', 'archive')),
    ADD CHECK (location = 'object' OR archived_in IS NOT NULL);
CREATE INDEX backup_inventory_archived ON backup_inventory (archived_in, date, database_name) WHERE deleted_at IS NULL AND archived_in IS NOT NULL;
CREATE INDEX backup_inventory_unarchived ON backup_inventory (date) WHERE deleted_at IS NULL AND archived_in IS NULL;
