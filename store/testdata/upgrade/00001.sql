-- What an installation of the first version may hold: a row of each kind in
-- every table, odd ones among them.
INSERT INTO databases VALUES
    ('11111111-1111-4111-8111-111111111111', 'groveauth', 'GROVEAUTH_DB', 'Authentication', 'critical', 212000, 'config', false, 93600, '2026-01-01T00:00:00Z', '2026-01-05T02:30:00Z', NULL),
    ('22222222-2222-4222-8222-222222222222', 'scout-db', '', '', 'normal', 0, 'discovered', true, 7200, '2026-01-02T00:00:00Z', '2026-01-04T02:30:00Z', '2026-01-05T02:30:00Z'),
    ('33333333-3333-4333-8333-333333333333', 'scout-db', '', 'a "name" that came back; ''ok'' é', 'high', 1, 'discovered', false, 93600, '2026-01-05T02:30:00Z', '2026-01-05T02:30:00Z', NULL);
INSERT INTO schedules VALUES
    ('nightly', 'backup', '0 3 * * *', '2026-01-01T00:00:00Z', false),
    ('weekly', 'archive', '0 4 * * 0', '2026-01-01T00:00:00Z', true),
    ('discovery', 'discovery', '30 2 * * *', '2026-01-01T00:00:00Z', false);
INSERT INTO backup_jobs (id, kind, trigger, status, schedule_id, slot, date, requested_by, created_at, started_at, completed_at, databases_total, databases_succeeded, databases_failed, size_bytes, row_count, error, transitions) VALUES
    ('aaaaaaa1-0000-7000-8000-000000000001', 'backup', 'nightly', 'partial', 'nightly', '2026-01-05T03:00:00Z', '2026-01-05', '', '2026-01-05T03:00:01Z', '2026-01-05T03:00:02Z', '2026-01-05T03:00:09Z', 2, 1, 1, 4242, 17, '1 of 2 failed', '[{"to": "queued"}, {"to": "running"}]'),
    ('aaaaaaa1-0000-7000-8000-000000000002', 'backup', 'api', 'queued', NULL, NULL, '2026-01-05', 'ada', '2026-01-05T12:00:00Z', NULL, NULL, 1, 0, 0, 0, 0, '', '[]');
INSERT INTO schedule_slots VALUES
    ('nightly', '2026-01-04T03:00:00Z', 'missed', NULL, 0, 'nothing ran', '2026-01-05T02:00:00Z', '2026-01-05T02:00:00Z'),
    ('nightly', '2026-01-05T03:00:00Z', 'failed', 'aaaaaaa1-0000-7000-8000-000000000001', 0, '', '2026-01-05T03:00:01Z', '2026-01-05T03:00:09Z');
INSERT INTO processes VALUES ('bbbbbbb1-0000-7000-8000-000000000001', 'host', 42, 'pid:[1]', '2026-01-05T00:00:00Z', '2026-01-05T12:00:00Z');
INSERT INTO backup_results (id, job_id, database_id, database_name, status, schedule_id, slot, date, attempt, fence, created_at, started_at, completed_at, duration_ms, copy_id, key, size_bytes, table_count, row_count, consistency, error, next, findings, requests, rows_read, bytes_received) VALUES
    ('ccccccc1-0000-7000-8000-000000000001', 'aaaaaaa1-0000-7000-8000-000000000001', '11111111-1111-4111-8111-111111111111', 'groveauth', 'success', 'nightly', '2026-01-05T03:00:00Z', '2026-01-05', 1, 7, '2026-01-05T03:00:01Z', '2026-01-05T03:00:02Z', '2026-01-05T03:00:05Z', 3000, 'ddddddd1-0000-7000-8000-000000000001', 'daily/2026-01-05/groveauth.sql', 4242, 3, 17, 'snapshot', '', '', '[{"object": "t", "message": "odd"}]', 4, 17, 9000),
    ('ccccccc1-0000-7000-8000-000000000002', 'aaaaaaa1-0000-7000-8000-000000000001', '33333333-3333-4333-8333-333333333333', 'scout-db', 'failed', 'nightly', '2026-01-05T03:00:00Z', '2026-01-05', 3, 9, '2026-01-05T03:00:01Z', '2026-01-05T03:00:02Z', '2026-01-05T03:00:09Z', 7000, NULL, '', 0, 0, 0, '', 'D1 was away', 'it is tried again', '[]', 9, 0, 0),
    ('ccccccc1-0000-7000-8000-000000000003', 'aaaaaaa1-0000-7000-8000-000000000002', '11111111-1111-4111-8111-111111111111', 'groveauth', 'queued', NULL, NULL, '2026-01-05', 0, 11, '2026-01-05T12:00:00Z', NULL, NULL, 0, NULL, '', 0, 0, 0, '', '', '', '[]', 0, 0, 0);
INSERT INTO export_slots VALUES (1, NULL, 0, NULL, NULL), (2, NULL, 0, NULL, NULL), (3, NULL, 0, NULL, NULL);
INSERT INTO backup_inventory (id, result_id, job_id, database_id, database_name, kind, date, taken_at, key, size_bytes, sha256, body_sha256, table_count, row_count, consistency, bookmark_before, bookmark_after, proof, proven_at, pinned, created_at, expires_at, expires_reason, deleted_at, manifest) VALUES
    ('ddddddd1-0000-7000-8000-000000000001', 'ccccccc1-0000-7000-8000-000000000001', 'aaaaaaa1-0000-7000-8000-000000000001', '11111111-1111-4111-8111-111111111111', 'groveauth', 'daily', '2026-01-05', '2026-01-05T03:00:02Z', 'daily/2026-01-05/groveauth.sql', 4242, repeat('ab', 32), repeat('cd', 32), 3, 17, 'snapshot', 'b1', 'b1', 'proven', '2026-01-05T03:00:06Z', true, '2026-01-05T03:00:05Z', '2026-01-12T03:00:00Z', '7 days', NULL, '{"version": 1}'),
    ('ddddddd1-0000-7000-8000-000000000002', NULL, NULL, '22222222-2222-4222-8222-222222222222', 'scout-db', 'daily', '2026-01-03', '2026-01-03T03:00:02Z', 'daily/2026-01-03/scout-db.sql', 1, repeat('ef', 32), repeat('01', 32), 0, 0, 'fuzzy', '', '', 'suspect', NULL, false, '2026-01-03T03:00:05Z', NULL, '', NULL, '{"version": 1}'),
    ('ddddddd1-0000-7000-8000-000000000003', NULL, NULL, '11111111-1111-4111-8111-111111111111', 'groveauth', 'manual', '2026-01-02', '2026-01-02T10:00:00Z', 'manual/2026-01-02/100000Z-00000000/groveauth.sql', 9, repeat('23', 32), repeat('45', 32), 1, 1, 'quiet', 'a', 'a', 'pending', NULL, false, '2026-01-02T10:00:05Z', NULL, '', '2026-01-04T00:00:00Z', '{"version": 1}');
INSERT INTO alert_config VALUES ('eeeeeee1-0000-7000-8000-000000000001', 'discord', 'Ops', '\x0102030405', true, true, true, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z');
INSERT INTO users VALUES
    ('fffffff1-0000-7000-8000-000000000001', 'ada', '$argon2id$v=19$m=65536,t=1,p=2$c2FsdA$aGFzaA', 'admin', true, 3, '2026-01-01T00:00:00Z', '2026-01-05T09:00:00Z', NULL),
    ('fffffff1-0000-7000-8000-000000000002', 'Bob', '', 'viewer', false, 1, '2026-01-01T00:00:00Z', NULL, '2026-01-04T00:00:00Z');
INSERT INTO sessions VALUES ('hashed', '\x00ff', '2036-01-05T00:00:00Z');
INSERT INTO api_tokens VALUES ('fffffff2-0000-7000-8000-000000000001', 'ci', '\xaabb', 'patina_ab…', 'operator', true, ARRAY['11111111-1111-4111-8111-111111111111']::uuid[], 'ada', '2026-01-01T00:00:00Z', '2036-01-01T00:00:00Z', NULL, NULL);
INSERT INTO idempotency_keys VALUES ('ada', 'k1', repeat('67', 32), '{"job_id": "x"}', '2026-01-05T12:00:00Z');
INSERT INTO audit_log VALUES
    (1, '2026-01-05T03:00:00Z', 'ada', 'download', 'groveauth', 'done', 'an é', '192.0.2.1', 'curl', 'r1', '\x0000000000000000000000000000000000000000000000000000000000000000', '\xd878b2909249ebebdc2c4b248084dff041fde162f32240de98e3576152efbd8c'),
    (2, '2026-01-05T03:01:00Z', 'ada', 'download', 'groveauth', 'done', 'an é', '192.0.2.1', 'curl', 'r1', '\xd878b2909249ebebdc2c4b248084dff041fde162f32240de98e3576152efbd8c', '\xd5812ed4844ff4413b6167f1b8e5d48a67740e719c186f03fb6094e91e2e96da');
INSERT INTO rate_limits VALUES ('cloudflare', 12.5, 100, 3.2, '2026-01-05T12:00:00Z', NULL);
INSERT INTO settings VALUES ('frozen', 'false'), ('channel.DISCORD_WEBHOOK_URL', 'true');
