-- +goose Up

-- How each database stands, and what its results add up to. The triggers below
-- keep it in the transaction of what it tells, whoever writes; it never says
-- more than backup_inventory and backup_results do, and can be made of them at
-- any time by rebuild_standing().
CREATE TABLE database_standing (
    database_id    uuid PRIMARY KEY,
    newest_id      uuid,        -- newest listed copy that is not suspect, nor taken before a restore
    newest_at      timestamptz,
    newest_size    bigint,
    newest_rows    bigint,
    proven_id      uuid,        -- newest proven one
    proven_at      timestamptz,
    suspect        integer NOT NULL DEFAULT 0,
    last_id        uuid,        -- newest result that ended as success or failed
    last_status    text,
    last_at        timestamptz, -- when it ended
    succeeded      bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    skipped        bigint NOT NULL DEFAULT 0,
    requests       bigint NOT NULL DEFAULT 0, -- sums over results that ended
    retries        bigint NOT NULL DEFAULT 0,
    rows_read      bigint NOT NULL DEFAULT 0,
    bytes_received bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 60);

-- +goose StatementBegin
-- What the catalogue says of these databases. The rows are locked first: the
-- statement after that sees whatever a transaction that held them has written.
CREATE FUNCTION stand_copies(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ids) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO database_standing (database_id) SELECT i FROM unnest(ids) i ORDER BY i ON CONFLICT DO NOTHING;
    PERFORM FROM database_standing WHERE database_id = ANY (ids) ORDER BY database_id FOR UPDATE;
    UPDATE database_standing s SET newest_id = n.id, newest_at = n.taken_at, newest_size = n.size_bytes, newest_rows = n.row_count,
        proven_id = p.id, proven_at = p.taken_at, suspect = x.n
    FROM unnest(ids) i
    LEFT JOIN LATERAL (SELECT c.id, c.taken_at, c.size_bytes, c.row_count FROM backup_inventory c
        WHERE c.database_id = i AND c.deleted_at IS NULL AND c.quarantined_at IS NULL AND c.kind <> 'safety' AND c.proof <> 'suspect'
        ORDER BY c.taken_at DESC, c.id DESC LIMIT 1) n ON true
    LEFT JOIN LATERAL (SELECT c.id, c.taken_at FROM backup_inventory c
        WHERE c.database_id = i AND c.deleted_at IS NULL AND c.quarantined_at IS NULL AND c.kind <> 'safety' AND c.proof = 'proven'
        ORDER BY c.taken_at DESC, c.id DESC LIMIT 1) p ON true
    CROSS JOIN LATERAL (SELECT count(*)::integer AS n FROM backup_inventory c
        WHERE c.database_id = i AND c.deleted_at IS NULL AND (c.quarantined_at IS NOT NULL OR c.proof = 'suspect')) x
    WHERE s.database_id = i;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION stand_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stand_copies(ARRAY(SELECT DISTINCT database_id FROM new_rows));
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION stand_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stand_copies(ARRAY(SELECT DISTINCT database_id FROM old_rows));
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Of an update only the rows count whose standing it may change.
CREATE FUNCTION stand_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stand_copies(ARRAY(SELECT DISTINCT database_id FROM (
        (SELECT id, database_id, kind, proof, taken_at, size_bytes, row_count, deleted_at IS NULL, quarantined_at IS NULL FROM old_rows
            EXCEPT SELECT id, database_id, kind, proof, taken_at, size_bytes, row_count, deleted_at IS NULL, quarantined_at IS NULL FROM new_rows)
        UNION ALL
        (SELECT id, database_id, kind, proof, taken_at, size_bytes, row_count, deleted_at IS NULL, quarantined_at IS NULL FROM new_rows
            EXCEPT SELECT id, database_id, kind, proof, taken_at, size_bytes, row_count, deleted_at IS NULL, quarantined_at IS NULL FROM old_rows)) changed));
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER stand_inserted AFTER INSERT ON backup_inventory REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION stand_inserted();
CREATE TRIGGER stand_updated AFTER UPDATE ON backup_inventory REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION stand_updated();
CREATE TRIGGER stand_deleted AFTER DELETE ON backup_inventory REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION stand_deleted();

-- +goose StatementBegin
-- Adds a result to the sums of its database, or takes it out of them. It locks
-- the row of the database, whatever the result is.
CREATE FUNCTION stand_count(r backup_results, n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO database_standing AS s (database_id, succeeded, failed, skipped, requests, retries, rows_read, bytes_received)
    SELECT r.database_id, n * (r.status = 'success')::integer, n * (r.status = 'failed')::integer, n * (r.status = 'skipped')::integer,
        k * r.requests, k * r.retries, k * r.rows_read, k * r.bytes_received
    FROM (SELECT CASE WHEN r.status IN ('success', 'failed', 'skipped') THEN n ELSE 0 END AS k) ended
    ON CONFLICT (database_id) DO UPDATE SET succeeded = s.succeeded + excluded.succeeded, failed = s.failed + excluded.failed,
        skipped = s.skipped + excluded.skipped, requests = s.requests + excluded.requests, retries = s.retries + excluded.retries,
        rows_read = s.rows_read + excluded.rows_read, bytes_received = s.bytes_received + excluded.bytes_received
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION stand_last(id uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE database_standing s SET (last_id, last_status, last_at) = (SELECT r.id, r.status, r.completed_at FROM backup_results r
        WHERE r.database_id = s.database_id AND r.status IN ('success', 'failed') ORDER BY r.created_at DESC, r.id DESC LIMIT 1)
    WHERE s.database_id = stand_last.id;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION stand_result() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM stand_count(OLD, -1);
        IF TG_OP = 'DELETE' OR OLD.database_id <> NEW.database_id THEN
            PERFORM stand_last(OLD.database_id);
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM stand_count(NEW, 1);
        PERFORM stand_last(NEW.database_id);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER stand_result_inserted AFTER INSERT ON backup_results FOR EACH ROW
    WHEN (NEW.status IN ('success', 'failed', 'skipped')) EXECUTE FUNCTION stand_result();
CREATE TRIGGER stand_result_updated AFTER UPDATE OF database_id, status, created_at, completed_at, requests, retries, rows_read, bytes_received
    ON backup_results FOR EACH ROW
    WHEN (NEW.status IN ('success', 'failed', 'skipped') OR OLD.status IN ('success', 'failed', 'skipped')) EXECUTE FUNCTION stand_result();
CREATE TRIGGER stand_result_deleted AFTER DELETE ON backup_results FOR EACH ROW
    WHEN (OLD.status IN ('success', 'failed', 'skipped')) EXECUTE FUNCTION stand_result();

-- +goose StatementBegin
-- Makes the whole table anew out of what it tells.
CREATE FUNCTION rebuild_standing() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE backup_inventory, backup_results IN SHARE MODE;
    DELETE FROM database_standing;
    INSERT INTO database_standing (database_id, succeeded, failed, skipped, requests, retries, rows_read, bytes_received)
        SELECT database_id, count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'skipped'),
            sum(requests), sum(retries), sum(rows_read), sum(bytes_received)
        FROM backup_results WHERE status IN ('success', 'failed', 'skipped') GROUP BY database_id;
    PERFORM stand_last(database_id) FROM database_standing;
    PERFORM stand_copies(ARRAY(SELECT DISTINCT database_id FROM backup_inventory));
END $$;
-- +goose StatementEnd

SELECT rebuild_standing();

-- The order in which lists are read, so that a page of one is a piece of an index.
CREATE INDEX backup_inventory_kind ON backup_inventory (kind, database_name, date DESC, taken_at DESC, id DESC) WHERE deleted_at IS NULL;
DROP INDEX backup_inventory_archived;
CREATE INDEX backup_inventory_archived ON backup_inventory (archived_in, database_name, date DESC, taken_at DESC, id DESC)
    WHERE deleted_at IS NULL AND archived_in IS NOT NULL;
CREATE INDEX backup_jobs_date ON backup_jobs (date, created_at DESC);
CREATE INDEX backup_jobs_status ON backup_jobs (status, created_at DESC, id DESC);
CREATE INDEX audit_log_actor ON audit_log (actor, id DESC);
CREATE INDEX audit_log_action ON audit_log (action, id DESC);
CREATE INDEX audit_log_outcome ON audit_log (outcome, id DESC);
CREATE INDEX restores_created ON restores (created_at DESC, id DESC);
