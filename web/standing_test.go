package web_test

import (
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Postgres, which sorts and counts databases by their state, and the pages,
// which word it, mean the same by each state.
func TestStatesMeanTheSame(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	for _, sql := range []string{
		`INSERT INTO databases (id, name, objective_seconds, first_seen_at, last_seen_at, paused, gone_at)
			SELECT md5('d' || d)::uuid, 'db-' || d, (ARRAY[0, 3600, 93600, 200000])[1 + (random() * 3)::int], $1, $1, random() < 0.2, CASE WHEN random() < 0.15 THEN $1::timestamptz - interval '1 day' END
			FROM generate_series(1, 480) d`,
		`INSERT INTO backup_jobs (id, kind, trigger, status, date, created_at) SELECT md5('j' || j)::uuid, 'backup', 'manual', 'completed', '2026-01-01', $1::timestamptz - j * interval '6 hours' FROM generate_series(1, 12) j`,
		`INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at, completed_at)
			SELECT gen_random_uuid(), md5('j' || j)::uuid, md5('d' || d)::uuid, 'x', (ARRAY['success', 'failed', 'skipped', 'queued'])[1 + (random() * 3)::int], '2026-01-01', $1::timestamptz - j * interval '6 hours',
				CASE WHEN random() < 0.9 THEN $1::timestamptz - j * interval '6 hours' + random() * interval '8 hours' END
			FROM generate_series(1, 480) d, generate_series(1, 12) j WHERE random() < 0.15`,
		`INSERT INTO backup_inventory (id, database_id, database_name, kind, date, taken_at, key, size_bytes, sha256, body_sha256, table_count, row_count, consistency, proof, created_at, quarantined_at, deleted_at, manifest)
			SELECT gen_random_uuid(), md5('d' || d)::uuid, 'x', (ARRAY['daily', 'manual', 'safety'])[1 + (random() * 2)::int], '2026-01-01', $1::timestamptz - random() * interval '60 hours', d || '/' || c, 1, '', '', 1, 1, 'snapshot',
				(ARRAY['pending', 'proven', 'proven', 'suspect'])[1 + (random() * 3)::int], $1, CASE WHEN random() < 0.05 THEN $1::timestamptz END, CASE WHEN random() < 0.2 THEN $1::timestamptz END, '{}'
			FROM generate_series(1, 480) d, generate_series(1, 5) c WHERE random() < 0.3`,
	} {
		_, err := s.Pool().Exec(ctx, sql, now)
		must(t, err)
	}
	f := store.StandingFilter{Now: now, GoneSince: now.Add(-48 * time.Hour), Limit: 500}
	sums, err := s.StandingSums(ctx, f)
	must(t, err)
	last, total := ui.Failed, 0
	for _, state := range []ui.StateWord{ui.Failed, ui.Attention, ui.Unknown, ui.Stored, ui.Proven} {
		f.States = []string{string(state)}
		list, _, err := s.StandingPage(ctx, f)
		must(t, err)
		for _, st := range list {
			if got, why := ui.StateOf(st, now); got != state {
				t.Errorf("%s is %s in Postgres and %s on a page (%s): %+v", st.Database.Name, state, got, why, st)
			}
		}
		if len(list) == 0 || sums.States[string(state)] != len(list) {
			t.Errorf("%d databases are %s, and %d are counted", len(list), state, sums.States[string(state)])
		}
		if state.Compare(last) < 0 {
			t.Errorf("%s comes before %s", state, last)
		}
		last, total = state, total+len(list)
	}
	f.States = nil
	all, _, err := s.StandingPage(ctx, f)
	must(t, err)
	if len(all) != total || total != 480 {
		t.Errorf("%d databases have a state, of %d", total, len(all))
	}
	for i := 1; i < len(all); i++ {
		a, _ := ui.StateOf(all[i-1], now)
		b, _ := ui.StateOf(all[i], now)
		if a.Compare(b) > 0 {
			t.Fatalf("%s comes before %s", a, b)
		}
	}
}
