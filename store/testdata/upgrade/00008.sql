INSERT INTO backup_jobs (id, kind, trigger, status, date, created_at) VALUES
    ('aaaaaaa1-0000-7000-8000-000000000004', 'restore', 'manual', 'running', '2026-01-08', '2026-01-08T06:00:00Z');
INSERT INTO restores (id, target, copy_id, database_id, database_name, tables, name, step, checks, created_at) VALUES
    ('aaaaaaa1-0000-7000-8000-000000000004', 'new', 'ddddddd1-0000-7000-8000-000000000001', '11111111-1111-4111-8111-111111111111', 'groveauth', '{users}', 'groveauth-2', 'load', '[]', '2026-01-08T06:00:00Z');
