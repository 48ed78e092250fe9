-- +goose Up

-- What is left out of the copies of a database: rules as table.column → null or
-- hash, by name. Those that patina.toml says are read-only in the dashboard.
ALTER TABLE databases ADD COLUMN redact text[] NOT NULL DEFAULT '{}';
ALTER TABLE databases ADD COLUMN redact_fixed boolean NOT NULL DEFAULT false;

-- What each copy leaves out, as its manifest says it.
ALTER TABLE backup_inventory ADD COLUMN redactions jsonb GENERATED ALWAYS AS (manifest -> 'redactions') STORED;
