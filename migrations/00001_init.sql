-- +goose Up

-- The registry. A database is known by Cloudflare's UUID; names come and go.
CREATE TABLE databases (
    id                uuid PRIMARY KEY,
    name              text NOT NULL CHECK (name <> ''),
    binding           text NOT NULL DEFAULT '',
    description       text NOT NULL DEFAULT '',
    priority          text NOT NULL DEFAULT 'normal' CHECK (priority IN ('critical', 'high', 'normal')),
    estimated_size    bigint NOT NULL DEFAULT 0,
    source            text NOT NULL DEFAULT 'discovered' CHECK (source IN ('config', 'discovered')),
    paused            boolean NOT NULL DEFAULT false,
    objective_seconds bigint NOT NULL DEFAULT 93600,
    first_seen_at     timestamptz NOT NULL,
    last_seen_at      timestamptz NOT NULL,
    gone_at           timestamptz
);
CREATE UNIQUE INDEX databases_name ON databases (name) WHERE gone_at IS NULL;
CREATE INDEX databases_any_name ON databases (name);

-- Schedules and their ledger: every slot ends as done, failed, skipped or missed.
CREATE TABLE schedules (
    id         text PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('backup', 'archive', 'discovery')),
    spec       text NOT NULL,
    created_at timestamptz NOT NULL,
    paused     boolean NOT NULL DEFAULT false
);

CREATE TABLE backup_jobs (
    id                  uuid PRIMARY KEY,
    kind                text NOT NULL CHECK (kind IN ('backup', 'archive', 'restore', 'prove', 'cleanup')),
    trigger             text NOT NULL CHECK (trigger IN ('nightly', 'manual', 'weekly', 'api')),
    status              text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'partial', 'failed', 'cancelled')),
    schedule_id         text REFERENCES schedules,
    slot                timestamptz,
    date                date NOT NULL,
    requested_by        text NOT NULL DEFAULT '',
    retry_of            uuid REFERENCES backup_jobs,
    created_at          timestamptz NOT NULL,
    started_at          timestamptz,
    completed_at        timestamptz,
    cancel_requested_at timestamptz,
    cancel_requested_by text NOT NULL DEFAULT '',
    databases_total     integer NOT NULL DEFAULT 0,
    databases_succeeded integer NOT NULL DEFAULT 0,
    databases_failed    integer NOT NULL DEFAULT 0,
    databases_skipped   integer NOT NULL DEFAULT 0,
    size_bytes          bigint NOT NULL DEFAULT 0,
    row_count           bigint NOT NULL DEFAULT 0,
    error               text NOT NULL DEFAULT '',
    transitions         jsonb NOT NULL DEFAULT '[]',
    CHECK ((schedule_id IS NULL) = (slot IS NULL))
);
CREATE INDEX backup_jobs_created ON backup_jobs (created_at DESC, id DESC);
CREATE INDEX backup_jobs_open ON backup_jobs (created_at) WHERE status IN ('queued', 'running');
CREATE INDEX backup_jobs_completed ON backup_jobs (completed_at DESC) WHERE completed_at IS NOT NULL;

CREATE TABLE schedule_slots (
    schedule_id  text NOT NULL REFERENCES schedules,
    slot         timestamptz NOT NULL,
    status       text NOT NULL CHECK (status IN ('running', 'done', 'failed', 'skipped', 'missed')),
    job_id       uuid REFERENCES backup_jobs,
    river_job_id bigint NOT NULL DEFAULT 0, -- of a slot that has no row in backup_jobs
    reason       text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    PRIMARY KEY (schedule_id, slot)
);

-- A process that may run jobs. It beats every 15 s; the jobs of a silent one
-- are handed back.
CREATE TABLE processes (
    id           uuid PRIMARY KEY,
    hostname     text NOT NULL,
    pid          integer NOT NULL,
    namespace    text NOT NULL DEFAULT '', -- in which the pid means something
    started_at   timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL
);

-- Each attempt at a result draws a higher token; the store refuses a lower one.
CREATE SEQUENCE fence;

CREATE TABLE backup_results (
    id             uuid PRIMARY KEY,
    job_id         uuid NOT NULL REFERENCES backup_jobs ON DELETE CASCADE,
    database_id    uuid NOT NULL,
    database_name  text NOT NULL,
    status         text NOT NULL CHECK (status IN ('queued', 'running', 'success', 'failed', 'skipped')),
    schedule_id    text,
    slot           timestamptz,
    date           date NOT NULL,
    attempt        integer NOT NULL DEFAULT 0,
    fence          bigint NOT NULL DEFAULT 0,
    process_id     uuid,
    river_job_id   bigint NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    started_at     timestamptz,
    completed_at   timestamptz,
    duration_ms    bigint NOT NULL DEFAULT 0,
    copy_id        uuid,
    key            text NOT NULL DEFAULT '',
    size_bytes     bigint NOT NULL DEFAULT 0,
    table_count    integer NOT NULL DEFAULT 0,
    row_count      bigint NOT NULL DEFAULT 0,
    consistency    text NOT NULL DEFAULT '' CHECK (consistency IN ('', 'snapshot', 'quiet', 'fuzzy')),
    error          text NOT NULL DEFAULT '',
    next           text NOT NULL DEFAULT '',
    findings       jsonb NOT NULL DEFAULT '[]',
    requests       integer NOT NULL DEFAULT 0,
    retries        integer NOT NULL DEFAULT 0,
    rows_read      bigint NOT NULL DEFAULT 0,
    bytes_received bigint NOT NULL DEFAULT 0,
    progress_table text NOT NULL DEFAULT '',
    progress_rows  bigint NOT NULL DEFAULT 0,
    progress_bytes bigint NOT NULL DEFAULT 0,
    progress_at    timestamptz,
    UNIQUE (job_id, database_id)
);
-- At most one committed result for a database and slot, however many processes run.
CREATE UNIQUE INDEX backup_results_slot ON backup_results (schedule_id, slot, database_id)
    WHERE status = 'success' AND slot IS NOT NULL;
-- At most one export of a database at a time.
CREATE UNIQUE INDEX backup_results_running ON backup_results (database_id) WHERE status = 'running';
CREATE INDEX backup_results_open ON backup_results (database_id) WHERE status IN ('queued', 'running');
CREATE INDEX backup_results_river ON backup_results (river_job_id) WHERE status IN ('queued', 'running');
CREATE INDEX backup_results_history ON backup_results (database_id, created_at DESC);

-- One export holds one of these: the limit over all processes.
CREATE TABLE export_slots (
    n          integer PRIMARY KEY,
    result_id  uuid,
    fence      bigint NOT NULL DEFAULT 0,
    process_id uuid,
    taken_at   timestamptz
);

CREATE TABLE backup_inventory (
    id              uuid PRIMARY KEY,
    result_id       uuid,
    job_id          uuid,
    database_id     uuid NOT NULL,
    database_name   text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('daily', 'manual', 'weekly', 'safety', 'kept')),
    date            date NOT NULL,
    taken_at        timestamptz NOT NULL,
    key             text NOT NULL,
    size_bytes      bigint NOT NULL,
    sha256          text NOT NULL,
    body_sha256     text NOT NULL,
    table_count     integer NOT NULL,
    row_count       bigint NOT NULL,
    consistency     text NOT NULL CHECK (consistency IN ('snapshot', 'quiet', 'fuzzy')),
    bookmark_before text NOT NULL DEFAULT '',
    bookmark_after  text NOT NULL DEFAULT '',
    compression     text NOT NULL DEFAULT 'none' CHECK (compression IN ('none', 'gzip')),
    proof           text NOT NULL DEFAULT 'pending' CHECK (proof IN ('pending', 'proven', 'suspect')),
    proven_at       timestamptz,
    proof_error     text NOT NULL DEFAULT '',
    pinned          boolean NOT NULL DEFAULT false,
    quarantined_at  timestamptz,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    expires_reason  text NOT NULL DEFAULT '',
    deleted_at      timestamptz,
    manifest        jsonb NOT NULL
);
CREATE UNIQUE INDEX backup_inventory_key ON backup_inventory (key) WHERE deleted_at IS NULL;
CREATE INDEX backup_inventory_list ON backup_inventory (database_name, date DESC, taken_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX backup_inventory_newest ON backup_inventory (database_id, taken_at DESC) WHERE deleted_at IS NULL;
CREATE INDEX backup_inventory_proven ON backup_inventory (database_id, taken_at DESC)
    WHERE deleted_at IS NULL AND quarantined_at IS NULL AND proof = 'proven';
CREATE INDEX backup_inventory_suspect ON backup_inventory (database_id)
    WHERE deleted_at IS NULL AND (quarantined_at IS NOT NULL OR proof = 'suspect');
CREATE INDEX backup_inventory_date ON backup_inventory (date, database_name) WHERE deleted_at IS NULL;
CREATE INDEX backup_inventory_expiry ON backup_inventory (expires_at) WHERE deleted_at IS NULL;

CREATE TABLE alert_config (
    id             uuid PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('webhook', 'discord')),
    name           text NOT NULL,
    url_sealed     bytea NOT NULL,
    enabled        boolean NOT NULL DEFAULT true,
    notify_success boolean NOT NULL DEFAULT false,
    notify_failure boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX alert_config_name ON alert_config (lower(name));

-- People, their sessions, programs, and what each of them did.
CREATE TABLE users (
    id              uuid PRIMARY KEY,
    name            text NOT NULL,
    password_hash   text NOT NULL DEFAULT '',
    role            text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    downloader      boolean NOT NULL DEFAULT false,
    epoch           integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    last_sign_in_at timestamptz,
    disabled_at     timestamptz
);
CREATE UNIQUE INDEX users_name ON users (lower(name));

CREATE TABLE sessions (
    token  text PRIMARY KEY,
    data   bytea NOT NULL,
    expiry timestamptz NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expiry);

CREATE TABLE api_tokens (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    sha256       bytea NOT NULL UNIQUE,
    hint         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    downloader   boolean NOT NULL DEFAULT false,
    databases    uuid[],
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

CREATE TABLE idempotency_keys (
    actor       text NOT NULL,
    key         text NOT NULL,
    body_sha256 text NOT NULL,
    answer      jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);

CREATE TABLE audit_log (
    id         bigint PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL DEFAULT '',
    outcome    text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    ip         text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    previous   bytea NOT NULL,
    hash       bytea NOT NULL
);
CREATE INDEX audit_log_at ON audit_log (at DESC);

-- Token buckets shared by all processes.
CREATE TABLE rate_limits (
    name         text PRIMARY KEY,
    tokens       double precision NOT NULL,
    capacity     double precision NOT NULL,
    per_second   double precision NOT NULL,
    refilled_at  timestamptz NOT NULL,
    paused_until timestamptz
);

CREATE TABLE settings (
    key   text PRIMARY KEY,
    value jsonb NOT NULL
);
