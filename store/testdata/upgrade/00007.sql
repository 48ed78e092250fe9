INSERT INTO deliveries (id, channel_id, class, event, title, body, status, created_at, tries, ended_at, error) VALUES
    ('0d000001-0000-7000-8000-000000000001', 'eeeeeee1-0000-7000-8000-000000000001', 'failure', 'stale', 'groveauth is stale', '\x7b7d', 'dead', '2026-01-06T03:01:00Z', 5, '2026-01-06T05:00:00Z', '500');
INSERT INTO delivery_attempts VALUES ('0d000001-0000-7000-8000-000000000001', 1, '2026-01-06T03:01:00Z', 12, 500, 'POST', '500', 'no');
INSERT INTO event_channels VALUES ('0e000001-0000-7000-8000-000000000001', 'eeeeeee1-0000-7000-8000-000000000001', 'failure', '0d000001-0000-7000-8000-000000000001');
INSERT INTO alert_thresholds VALUES ('11111111-1111-4111-8111-111111111111', 0, NULL, 30);
INSERT INTO alert_mutes VALUES ('0b000001-0000-7000-8000-000000000001', NULL, '2036-01-01T00:00:00Z', 'holiday', 'ada', '2026-01-06T00:00:00Z');
