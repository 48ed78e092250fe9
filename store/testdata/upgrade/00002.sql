INSERT INTO schedules VALUES ('drill', 'drill', '0 6 1 * *', '2026-01-06T00:00:00Z', false);
INSERT INTO events (id, at, kind, once, database_id, database_name, message, next, decided_at) VALUES
    ('0e000001-0000-7000-8000-000000000001', '2026-01-06T03:00:00Z', 'stale', 'o1', '11111111-1111-4111-8111-111111111111', 'groveauth', 'it is old', 'look', NULL),
    ('0e000001-0000-7000-8000-000000000002', '2026-01-06T03:00:00Z', 'job_succeeded', '', NULL, '', 'all is well', '', '2026-01-06T03:01:00Z');
