INSERT INTO backup_jobs (id, kind, trigger, status, date, created_at, river_job_id, fence) VALUES
    ('aaaaaaa1-0000-7000-8000-000000000003', 'prove', 'monthly', 'completed', '2026-01-07', '2026-01-07T06:00:00Z', 5, 12);
INSERT INTO drills VALUES ('aaaaaaa1-0000-7000-8000-000000000003', 'passed', 1, 1, 0, 'all restore', '2026-01-07T06:00:00Z', '2026-01-07T06:01:00Z');
INSERT INTO drill_results (job_id, role, database_id, database_name, at, copy_id, passed, load_us, source) VALUES
    ('aaaaaaa1-0000-7000-8000-000000000003', 'newest', '11111111-1111-4111-8111-111111111111', 'groveauth', '2026-01-07T06:00:30Z', 'ddddddd1-0000-7000-8000-000000000001', true, 1234, 'equal');
