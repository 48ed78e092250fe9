-- +goose Up

-- Jobs that are one piece of work (a restore, a drill, an archive, a cleanup)
-- have one River job, and no row in backup_results.
ALTER TABLE backup_jobs ADD COLUMN river_job_id bigint NOT NULL DEFAULT 0;
ALTER TABLE backup_jobs ADD COLUMN fence bigint NOT NULL DEFAULT 0;
ALTER TABLE backup_jobs DROP CONSTRAINT backup_jobs_trigger_check;
ALTER TABLE backup_jobs ADD CONSTRAINT backup_jobs_trigger_check CHECK (trigger IN ('nightly', 'manual', 'weekly', 'monthly', 'api'));
ALTER TABLE schedules DROP CONSTRAINT schedules_kind_check;
ALTER TABLE schedules ADD CONSTRAINT schedules_kind_check
    CHECK (kind IN ('backup', 'archive', 'discovery', 'drill', 'cleanup', 'meta', 'scrub', 'summary'));

-- What somebody may want to be told, written in the transaction that caused it.
CREATE TABLE events (
    id            uuid PRIMARY KEY,
    at            timestamptz NOT NULL,
    kind          text NOT NULL,
    once          text NOT NULL DEFAULT '', -- the same occasion is told once
    database_id   uuid,
    database_name text NOT NULL DEFAULT '',
    job_id        uuid,
    copy_id       uuid,
    message       text NOT NULL,
    next          text NOT NULL DEFAULT '',
    decided_at    timestamptz               -- when it was decided whom to tell
);
CREATE UNIQUE INDEX events_once ON events (kind, once) WHERE once <> '';
CREATE INDEX events_open ON events (at, id) WHERE decided_at IS NULL;
CREATE INDEX events_at ON events (at DESC, id DESC);
