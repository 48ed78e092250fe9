INSERT INTO sign_ins VALUES ('fffffff3-0000-7000-8000-000000000001', 'fffffff1-0000-7000-8000-000000000001', 3, 'password', '2026-01-10T09:00:00Z', '2026-01-10T09:30:00Z', '2036-01-17T09:00:00Z', '192.0.2.1', 'Mozilla/5.0 "odd" é');
INSERT INTO password_links VALUES ('fffffff1-0000-7000-8000-000000000002', '\xccdd', 'ada', '2026-01-10T09:00:00Z', '2036-01-13T09:00:00Z');
INSERT INTO identities VALUES ('https://id.example', 'subject-1', 'fffffff1-0000-7000-8000-000000000001', 'ada@example.org', '2026-01-10T09:00:00Z');
