INSERT INTO archives (week, key, size_bytes, sha256, from_date, to_date, member_count, missing, created_at, verified_at) VALUES
    ('2026-W01', 'weekly/2026-W01.tar.gz', 999, repeat('89', 32), '2025-12-29', '2026-01-04', 1, '[{"database": "x"}]', '2026-01-04T04:00:00Z', '2026-01-04T04:01:00Z');
UPDATE backup_inventory SET archived_in = '2026-W01', archive_name = '2026-01-03/scout-db.sql', archive_offset = 12, archive_length = 34, location = 'archive'
    WHERE id = 'ddddddd1-0000-7000-8000-000000000002';
