package sample

// size and rows of a database's copy on a day: skewed over the databases, and
// growing by a little every day.
const (
	sizeOf = "((20000 + 3000000 * power(random_of, 4)) * (1 + day / 2000.0))::bigint"
	rowsOf = "((50 + 20000 * power(random_of, 4)) * (1 + day / 2000.0))::bigint"
	skewed = "((d * 7919) % 1000) / 1000.0 AS random_of"
)

// parts are in the order in which they are made. Triggers and checks of foreign
// keys rest meanwhile; what they keep is made at the end.
var parts = []part{
	{"prepare", "SET session_replication_role = replica"},
	{"databases", `
		INSERT INTO databases (id, name, binding, description, priority, estimated_size, first_seen_at, last_seen_at, paused, gone_at)
		SELECT ` + databaseID("d") + `, ` + name("d") + `, 'DB_' || d, CASE WHEN d % 3 = 0 THEN 'Made up, number ' || d ELSE '' END,
			CASE WHEN d % 50 = 0 THEN 'critical' WHEN d % 10 = 0 THEN 'high' ELSE 'normal' END, 100000,
			@now::timestamptz - make_interval(days => @nights::int), @now::timestamptz, d % 200 = 7, CASE WHEN d % 500 = 3 THEN @now::timestamptz - interval '2 days' END
		FROM generate_series(0, @databases::int - 1) d`},
	{"schedules", `INSERT INTO schedules (id, kind, spec, created_at) VALUES ('nightly', 'backup', '0 3 * * *', @now::timestamptz - interval '2 years')`},
	{"slots", `
		INSERT INTO schedule_slots (schedule_id, slot, status, job_id, created_at, ended_at)
		SELECT 'nightly', at, 'done', ` + id("10", "day") + `, at, at + interval '50 minutes'
		FROM (SELECT day, @now::timestamptz - interval '2 hours' - make_interval(days => @nights::int - 1 - day) AS at FROM generate_series(0, @nights::int - 1) day) x`},
	{"nights", `
		INSERT INTO backup_jobs (id, kind, trigger, status, schedule_id, slot, date, requested_by, created_at, started_at, completed_at,
			databases_total, databases_succeeded, databases_failed, size_bytes, row_count, transitions)
		SELECT ` + id("10", "day") + `, 'backup', 'nightly', CASE WHEN day % 9 = 0 THEN 'completed' ELSE 'partial' END, 'nightly', at, at::date, 'schedule nightly', at, at, at + interval '50 minutes',
			@databases, @databases::int - @databases::int / 250, @databases::int / 250, 5000000000, 40000000,
			jsonb_build_array(jsonb_build_object('status', 'queued', 'at', at), jsonb_build_object('status', 'running', 'at', at), jsonb_build_object('status', 'partial', 'at', at + interval '50 minutes'))
		FROM (SELECT day, @now::timestamptz - interval '2 hours' - make_interval(days => @nights::int - 1 - day) AS at FROM generate_series(0, @nights::int - 1) day) x`},
	{"jobs by hand", `
		INSERT INTO backup_jobs (id, kind, trigger, status, date, requested_by, created_at, started_at, completed_at, databases_total, databases_succeeded, databases_failed, size_bytes, row_count)
		SELECT ` + id("11", "n") + `, CASE WHEN n % 20 = 0 THEN 'restore' ELSE 'backup' END, CASE WHEN n % 3 = 0 THEN 'api' ELSE 'manual' END,
			CASE n % 12 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'completed' END, at::date, 'person ' || n % 40, at, at, at + interval '2 minutes', 1, 1, 0, 1000000, 20000
		FROM (SELECT n, @now::timestamptz - (@jobs::int - n) * (make_interval(days => @nights::int) / @jobs::int) AS at FROM generate_series(0, @jobs::int - 1) n) x`},
	{"no indexes on results", `
		DROP INDEX backup_results_slot, backup_results_running, backup_results_open, backup_results_river, backup_results_history;
		ALTER TABLE backup_results DROP CONSTRAINT backup_results_job_id_database_id_key`},
	{"results", `
		INSERT INTO backup_results (id, job_id, database_id, database_name, status, schedule_id, slot, date, attempt, fence, created_at, started_at, completed_at, duration_ms,
			copy_id, key, size_bytes, table_count, row_count, consistency, error, next, requests, rows_read, bytes_received)
		SELECT ` + id("20", "day * @databases::bigint + d") + `, ` + id("10", "day") + `, ` + databaseID("d") + `, ` + name("d") + `,
			CASE WHEN bad THEN 'failed' ELSE 'success' END, 'nightly', at, at::date, 1, day * @databases::bigint + d, at, at, at + interval '30 minutes', 400 + d % 3000,
			CASE WHEN NOT bad THEN ` + id("30", "day * @databases::bigint + d") + ` END, CASE WHEN bad THEN '' ELSE 'backups/' || at::date || '/' || d || '.sql' END,
			CASE WHEN bad THEN 0 ELSE ` + sizeOf + ` END, 12, CASE WHEN bad THEN 0 ELSE ` + rowsOf + ` END, CASE WHEN bad THEN '' ELSE 'snapshot' END,
			CASE WHEN bad THEN 'D1 answered 500 three times' ELSE '' END, CASE WHEN bad THEN 'Try it again; nothing that is stored was touched.' ELSE '' END, 3, ` + rowsOf + `, ` + sizeOf + `
		FROM (SELECT day, d, @now::timestamptz - interval '2 hours' - make_interval(days => @nights::int - 1 - day) AS at, (d * 31 + day * 17) % 250 = 0 AS bad, ` + skewed + `
			FROM generate_series(0, @nights::int - 1) day, generate_series(0, @databases::int - 1) d) x`},
	{"indexes on results", `
		ALTER TABLE backup_results ADD CONSTRAINT backup_results_job_id_database_id_key UNIQUE (job_id, database_id);
		CREATE UNIQUE INDEX backup_results_slot ON backup_results (schedule_id, slot, database_id) WHERE status = 'success' AND slot IS NOT NULL;
		CREATE UNIQUE INDEX backup_results_running ON backup_results (database_id) WHERE status = 'running';
		CREATE INDEX backup_results_open ON backup_results (database_id) WHERE status IN ('queued', 'running');
		CREATE INDEX backup_results_river ON backup_results (river_job_id) WHERE status IN ('queued', 'running');
		CREATE INDEX backup_results_history ON backup_results (database_id, created_at DESC)`},
	{"results by hand", `
		INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, attempt, created_at, started_at, completed_at, duration_ms, size_bytes, table_count, row_count, consistency)
		SELECT ` + id("21", "n") + `, j.id, ` + databaseID("n % @databases::int") + `, ` + name("n % @databases::int") + `, 'success', j.date, 1, j.created_at, j.started_at, j.completed_at, 900, 1000000, 12, 20000, 'snapshot'
		FROM generate_series(0, @jobs::int - 1) n JOIN backup_jobs j ON j.id = ` + id("11", "n") + ` WHERE j.kind = 'backup'`},
	{"archives", `
		INSERT INTO archives (week, key, size_bytes, sha256, from_date, to_date, member_count, created_at, verified_at)
		SELECT to_char(at, 'IYYY"-W"IW'), 'weekly/' || to_char(at, 'IYYY"-W"IW') || '.tar.gz', 9000000000, md5(at::text) || md5(at::text), date_trunc('week', at)::date, date_trunc('week', at)::date + 6, 7 * @databases::int, at, at
		FROM (SELECT @now::timestamptz - make_interval(weeks => w) AS at FROM generate_series(1, @archives::int) w) x`},
	{"copies", copies},
	{"proofs", `
		INSERT INTO drills (id, verdict, databases, passed, failed, text, created_at, ended_at)
		SELECT ` + id("12", "n") + `, 'passed', @databases, @databases, 0, '', at, at + interval '2 hours'
		FROM (SELECT n, @now::timestamptz - make_interval(days => 30 * (@drills::int - n)) AS at FROM generate_series(0, @drills::int - 1) n) x`},
	{"jobs of proofs", `
		INSERT INTO backup_jobs (id, kind, trigger, status, date, created_at, started_at, completed_at, databases_total, databases_succeeded)
		SELECT id, 'prove', 'monthly', 'completed', created_at::date, created_at, created_at, ended_at, databases, passed FROM drills`},
	{"what proofs found", `
		INSERT INTO drill_results (job_id, role, database_id, database_name, at, key, kind, date, taken_at, size_bytes, table_count, row_count, consistency, passed, load_us, check_us, again_us, source)
		SELECT j.id, role, ` + databaseID("d") + `, ` + name("d") + `, j.created_at, 'backups/' || d || '.sql', 'daily', j.date, j.created_at, 1000000, 12, 20000, 'snapshot', true, 4000, 900, 3000, 'equal'
		FROM drills t JOIN backup_jobs j USING (id), generate_series(0, @databases::int - 1) d, unnest(ARRAY['newest', 'oldest']) role`},
	{"restores", `
		INSERT INTO restores (id, target, database_id, database_name, name, step, created_at, ended_at, outcome)
		SELECT j.id, 'new', ` + databaseID("row_number() OVER () % @databases::int") + `, 'blog', 'restored-' || row_number() OVER (), 'done', j.created_at, j.completed_at, 'restored'
		FROM backup_jobs j WHERE kind = 'restore'`},
	{"events", `
		INSERT INTO events (id, at, kind, once, database_id, database_name, message, decided_at, outcome)
		SELECT ` + id("40", "n") + `, at, kind, CASE WHEN n % 20 < 2 THEN 'occasion ' || n / 2 ELSE '' END, ` + databaseID("n / 2 % @databases::int") + `, ` + name("n / 2 % @databases::int") + `, 'Made up.', at, 'told'
		FROM (SELECT n, CASE WHEN n % 20 = 0 THEN 'stale' WHEN n % 20 = 1 THEN 'recovered' WHEN n % 20 < 10 THEN 'job_failed' ELSE 'job_succeeded' END AS kind,
			@now::timestamptz - (@events::int - n) * (interval '400 days' / @events::int) AS at FROM generate_series(0, @events::int - 1) n) x`},
	{"channels", `
		INSERT INTO alert_config (id, kind, name, url_sealed, created_at, updated_at, address)
		SELECT ` + id("41", "n") + `, CASE WHEN n = 0 THEN 'discord' ELSE 'webhook' END, 'Channel ' || n, 'sealed', @now, @now, 'https://hooks.example' FROM generate_series(0, 2) n`},
	{"deliveries", `
		INSERT INTO deliveries (id, channel_id, class, event, title, body, status, created_at, tries, ended_at)
		SELECT ` + id("42", "n") + `, ` + id("41", "n % 3") + `, 'failure', 'job_failed', 'A backup failed', '{}', 'delivered', at, 1, at
		FROM (SELECT n, @now::timestamptz - (@events::int / 2 - n) * (interval '90 days' / (@events::int / 2)) AS at FROM generate_series(0, @events::int / 2 - 1) n) x`},
	{"tries", `
		INSERT INTO delivery_attempts (delivery_id, n, at, took_ms, http_status, request, answer) SELECT id, 1, created_at, 80, 204, 'POST', '' FROM deliveries`},
	{"audit", `
		INSERT INTO audit_log (id, at, actor, action, target, outcome, ip, user_agent, request_id, previous, hash)
		SELECT n, @now::timestamptz - (@audit::int - n) * (interval '400 days' / @audit::int), CASE WHEN n % 3 = 0 THEN 'token ci' ELSE 'person ' || n % 40 END,
			(ARRAY['sign-in', 'download', 'trigger', 'restore', 'denied', 'sign-out'])[1 + n % 6], 'something ' || n % 5000, CASE WHEN n % 97 = 0 THEN 'refused' ELSE 'done' END,
			'10.0.0.' || n % 200, 'curl/8', md5(n::text), sha256(n::text::bytea), sha256((n + 1)::text::bytea)
		FROM generate_series(1, @audit::int) n`},
	{"finish", "SET session_replication_role = origin"},
	{"standing", "SELECT rebuild_standing()"},
	{"statistics", "ANALYZE"},
}

// copies are listed for the last nights: a week of them lies in objects of their
// own, the rest in the archives.
const copies = `
	INSERT INTO backup_inventory (id, job_id, database_id, database_name, kind, date, taken_at, key, size_bytes, sha256, body_sha256, table_count, row_count,
		consistency, proof, proven_at, created_at, pinned, archived_in, archive_name, location, manifest)
	SELECT c.copy_id, c.job_id, c.database_id, c.database_name, CASE WHEN n % 997 = 0 THEN 'manual' ELSE 'daily' END, c.date, c.started_at, c.key, c.size_bytes, md5(c.key) || md5(c.key), md5(c.row_count::text) || md5(c.key), 12, c.row_count,
		'snapshot', CASE WHEN n % 1999 = 0 THEN 'suspect' WHEN c.date = last AND n % 20 = 0 THEN 'pending' ELSE 'proven' END,
		CASE WHEN n % 1999 = 0 OR c.date = last AND n % 20 = 0 THEN NULL ELSE c.completed_at END, c.completed_at, n % 5000 = 0,
		a.week, CASE WHEN a.week IS NULL THEN '' ELSE c.date || '/' || c.database_name || '.sql' END, CASE WHEN a.week IS NULL OR c.date > last - 7 THEN 'object' ELSE 'archive' END,
		jsonb_build_object('key', c.key, 'sections', '[{"kind": "table", "name": "users", "rows": 20, "length": 9000}, {"kind": "table", "name": "posts", "rows": 200, "length": 90000}, {"kind": "table", "name": "tags", "rows": 40, "length": 3000}]'::jsonb)
	FROM (SELECT r.*, row_number() OVER () AS n, max(r.date) OVER () AS last FROM backup_results r
		WHERE r.status = 'success' AND r.copy_id IS NOT NULL AND r.created_at > @now::timestamptz - make_interval(days => @stored::int) - interval '2 hours') c
	LEFT JOIN archives a ON c.date BETWEEN a.from_date AND a.to_date`
