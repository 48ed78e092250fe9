-- +goose Up

-- Who reads a copy's bytes, or an archive's: what is read is not deleted. A
-- reader renews its time by Postgres's clock; one that died runs out.
CREATE TABLE readers (
    id    uuid PRIMARY KEY,
    what  text NOT NULL,               -- a copy's id, or an archive's week
    doing text NOT NULL DEFAULT '',
    until timestamptz NOT NULL
);
CREATE INDEX readers_what ON readers (what, until);

-- Objects that nothing lists any more and that are to be deleted. A row is made
-- in the transaction that took its object off the list, and goes once the object
-- has gone, so that a process which died between the two leaves nothing behind.
CREATE TABLE removals (
    key        text PRIMARY KEY,
    size_bytes bigint NOT NULL,
    copy_id    uuid,
    week       text,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL
);

-- When the stored bytes were last read back and found as recorded.
ALTER TABLE backup_inventory ADD COLUMN scrubbed_at timestamptz;
CREATE INDEX backup_inventory_scrub ON backup_inventory (scrubbed_at NULLS FIRST, id)
    WHERE deleted_at IS NULL AND location = 'object' AND quarantined_at IS NULL;
ALTER TABLE archives ADD COLUMN scrubbed_at timestamptz;

-- An archive found damaged: what of it is whole can be read, and nothing relies
-- on it any more.
ALTER TABLE archives ADD COLUMN quarantined_at timestamptz;
ALTER TABLE archives ADD COLUMN quarantine_reason text NOT NULL DEFAULT '';

-- A database whose copies an admin wanted gone.
ALTER TABLE databases ADD COLUMN erased_at timestamptz;
