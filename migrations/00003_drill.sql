-- +goose Up

-- Rehearsals: each a job that proves copies of every database again, timed.
CREATE TABLE drills (
    id         uuid PRIMARY KEY REFERENCES backup_jobs ON DELETE CASCADE,
    verdict    text NOT NULL DEFAULT '' CHECK (verdict IN ('', 'passed', 'failed', 'cancelled')),
    databases  integer NOT NULL DEFAULT 0,
    passed     integer NOT NULL DEFAULT 0,
    failed     integer NOT NULL DEFAULT 0,
    text       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX drills_created ON drills (created_at DESC, id DESC);

-- What proving one copy found, in a drill or because somebody asked. The copy
-- may be gone since; what was found of it stays.
CREATE TABLE drill_results (
    job_id        uuid NOT NULL REFERENCES backup_jobs ON DELETE CASCADE,
    role          text NOT NULL CHECK (role IN ('newest', 'oldest', 'asked')),
    database_id   uuid NOT NULL,
    database_name text NOT NULL,
    at            timestamptz NOT NULL,
    copy_id       uuid,
    key           text NOT NULL DEFAULT '',
    kind          text NOT NULL DEFAULT '',
    date          date,
    taken_at      timestamptz,
    size_bytes    bigint NOT NULL DEFAULT 0,
    table_count   integer NOT NULL DEFAULT 0,
    row_count     bigint NOT NULL DEFAULT 0,
    consistency   text NOT NULL DEFAULT '',
    passed        boolean NOT NULL,
    untried       boolean NOT NULL DEFAULT false,
    error         text NOT NULL DEFAULT '',
    next          text NOT NULL DEFAULT '',
    load_us       bigint NOT NULL DEFAULT 0, -- microseconds: small databases take a few thousand
    check_us      bigint NOT NULL DEFAULT 0,
    again_us      bigint NOT NULL DEFAULT 0,
    findings      integer NOT NULL DEFAULT 0,
    source        text NOT NULL DEFAULT '' CHECK (source IN ('', 'equal', 'moved', 'differs', 'unavailable')),
    source_text   text NOT NULL DEFAULT '',
    PRIMARY KEY (job_id, database_id, role)
);
CREATE INDEX drill_results_of ON drill_results (database_id, at DESC);
