-- +goose Up

-- What was decided about an event. Told: channels get it, or wait for it.
-- Nobody: it should have been told, and no channel is there for it.
ALTER TABLE events ADD COLUMN outcome text NOT NULL DEFAULT ''
    CHECK (outcome IN ('', 'told', 'muted', 'unwanted', 'nobody'));
ALTER TABLE events ADD COLUMN seen_at timestamptz; -- a person has seen that nobody was told
CREATE INDEX events_nobody ON events (at) WHERE outcome = 'nobody' AND seen_at IS NULL;
CREATE INDEX events_kind ON events (kind, at DESC);

ALTER TABLE alert_config ADD COLUMN notify_summary boolean NOT NULL DEFAULT true;
ALTER TABLE alert_config ADD COLUMN address text NOT NULL DEFAULT '';         -- what may be shown of the URL
ALTER TABLE alert_config ADD COLUMN secret_sealed bytea;                      -- signs what a webhook gets
ALTER TABLE alert_config ADD COLUMN previous_sealed bytea;                    -- signs too, while receivers change over
ALTER TABLE alert_config ADD COLUMN origin text NOT NULL DEFAULT 'dashboard'; -- or the variable it came from
ALTER TABLE alert_config ADD COLUMN disabled_reason text NOT NULL DEFAULT '';

-- One message to one channel. Its ID is the message's, the same at every try.
CREATE TABLE deliveries (
    id         uuid PRIMARY KEY,
    channel_id uuid NOT NULL REFERENCES alert_config ON DELETE CASCADE,
    class      text NOT NULL,
    event      text NOT NULL,
    title      text NOT NULL,
    body       bytea NOT NULL,
    status     text NOT NULL CHECK (status IN ('pending', 'delivered', 'dead')),
    created_at timestamptz NOT NULL,
    tries      integer NOT NULL DEFAULT 0, -- the token of the try that may write
    next_at    timestamptz,
    ended_at   timestamptz,
    error      text NOT NULL DEFAULT '',
    seen_at    timestamptz                 -- a person has seen that it is dead
);
CREATE INDEX deliveries_channel ON deliveries (channel_id, created_at DESC, id DESC);
CREATE INDEX deliveries_open ON deliveries (created_at) WHERE status = 'pending';
CREATE INDEX deliveries_dead ON deliveries (created_at) WHERE status = 'dead' AND seen_at IS NULL;
CREATE INDEX deliveries_created ON deliveries (created_at);

CREATE TABLE delivery_attempts (
    delivery_id uuid NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    n           integer NOT NULL,
    at          timestamptz NOT NULL,
    took_ms     bigint NOT NULL DEFAULT 0,
    http_status integer NOT NULL DEFAULT 0,
    request     text NOT NULL DEFAULT '',
    answer      text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, n)
);

-- Which event a channel is to be told, and the message that told it; without
-- one it waits for the next.
CREATE TABLE event_channels (
    event_id    uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    channel_id  uuid NOT NULL REFERENCES alert_config ON DELETE CASCADE,
    class       text NOT NULL,
    delivery_id uuid REFERENCES deliveries ON DELETE CASCADE,
    PRIMARY KEY (event_id, channel_id)
);
CREATE INDEX event_channels_waiting ON event_channels (channel_id, class) WHERE delivery_id IS NULL;
CREATE INDEX event_channels_delivery ON event_channels (delivery_id);

-- From when on a database is worth telling of, where it differs from all others.
CREATE TABLE alert_thresholds (
    database_id  uuid PRIMARY KEY,
    long_seconds bigint,  -- 0: never; NULL: as for all
    size_percent integer,
    rows_percent integer
);

CREATE TABLE alert_mutes (
    id          uuid PRIMARY KEY,
    database_id uuid, -- NULL: everything
    until       timestamptz NOT NULL,
    reason      text NOT NULL DEFAULT '',
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX alert_mutes_until ON alert_mutes (until);
