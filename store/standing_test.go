package store_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// kept reads the whole of what is kept about how databases stand.
func kept(t *testing.T, s *store.Store) []string {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), "SELECT s::text FROM database_standing s ORDER BY database_id")
	ok(t, err)
	return must(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
}

// anew makes it of what the catalogue and the results say now; those of which
// nothing is left have a row that says nothing.
func anew(t *testing.T, s *store.Store) []string {
	t.Helper()
	var list []string
	err := s.InTx(t.Context(), func(tx pgx.Tx, _ *store.Store) error {
		ids, err := tx.Query(t.Context(), "SELECT database_id FROM database_standing")
		if err != nil {
			return err
		}
		known, err := pgx.CollectRows(ids, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "SELECT rebuild_standing()"); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO database_standing (database_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING", known); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), "SELECT s::text FROM database_standing s ORDER BY database_id")
		if err == nil {
			list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	ok(t, err)
	return list
}

// Whatever is written, by whatever statement, what is kept about how databases
// stand is what the catalogue and the results say.
func TestStandingNeverDisagrees(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	rnd := rand.New(rand.NewPCG(1, 2))
	var copies []string
	for i := range 60 {
		c := copyOn(1+rnd.IntN(5), "d", rnd.IntN(40), []backup.CopyKind{backup.Daily, backup.Manual, backup.Safety}[rnd.IntN(3)])
		c.Key, c.TakenAt = c.Key+uuid.NewString(), c.TakenAt.Add(time.Duration(i)*time.Minute)
		copies = append(copies, record(t, s, c))
	}
	var jobs []backup.Job
	for i := range 12 {
		jobs = append(jobs, insertJob(t, s, backup.Job{ID: uuid.NewString(), Kind: backup.JobBackup, Trigger: backup.TriggerManual, Status: backup.JobRunning, Date: backup.DateOf(t0), CreatedAt: t0.Add(time.Duration(i) * time.Hour)}))
	}
	writes := []string{
		"UPDATE backup_inventory SET proof = 'proven', proven_at = now() WHERE id = $1",
		"UPDATE backup_inventory SET proof = 'suspect' WHERE id = $1",
		"UPDATE backup_inventory SET quarantined_at = now() WHERE id = $1",
		"UPDATE backup_inventory SET quarantined_at = NULL, proof = 'pending' WHERE id = $1",
		"UPDATE backup_inventory SET deleted_at = now() WHERE id = $1",
		"UPDATE backup_inventory SET deleted_at = NULL WHERE database_id = (SELECT database_id FROM backup_inventory WHERE id = $1)",
		"UPDATE backup_inventory SET taken_at = taken_at + interval '40 days' WHERE id = $1",
		"UPDATE backup_inventory SET database_id = md5($1::text)::uuid WHERE id = $1",
		"UPDATE backup_inventory SET expires_reason = 'x', kind = 'kept' WHERE id = $1 OR size_bytes % 3 = 0",
		"UPDATE backup_inventory SET size_bytes = size_bytes + 7 WHERE kind = 'manual' AND id <> $1",
		"DELETE FROM backup_inventory WHERE id = $1",
		`INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at) SELECT gen_random_uuid(), j.id, c.database_id, 'd', 'queued', j.date, j.created_at
			FROM backup_inventory c, (SELECT * FROM backup_jobs ORDER BY random() LIMIT 1) j WHERE c.id = $1 ON CONFLICT DO NOTHING`,
		"UPDATE backup_results SET status = 'success', completed_at = now(), requests = 3, rows_read = 40, bytes_received = 9 WHERE status = 'queued' AND $1::text <> ''",
		`INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at, completed_at, retries) SELECT gen_random_uuid(), j.id, c.database_id, 'd', 'failed', j.date, j.created_at, now(), 2
			FROM backup_inventory c, (SELECT * FROM backup_jobs ORDER BY random() LIMIT 1) j WHERE c.id = $1 ON CONFLICT DO NOTHING`,
		"UPDATE backup_results SET status = 'skipped' WHERE id = (SELECT id FROM backup_results WHERE $1::text <> '' ORDER BY random() LIMIT 1)",
		"UPDATE backup_results SET created_at = created_at + interval '1 day', requests = requests + 1 WHERE id = (SELECT last_id FROM database_standing WHERE last_id IS NOT NULL AND $1::text <> '' LIMIT 1)",
		"DELETE FROM backup_results WHERE id = (SELECT last_id FROM database_standing WHERE last_id IS NOT NULL AND $1::text <> '' ORDER BY random() LIMIT 1)",
	}
	for i := range 150 {
		sql := writes[rnd.IntN(len(writes))]
		if _, err := pool.Exec(ctx, sql, copies[rnd.IntN(len(copies))]); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if i%10 != 0 {
			continue
		}
		if got, want := kept(t, s), anew(t, s); !slices.Equal(got, want) {
			t.Fatalf("after %s\nkept %q\nmade %q", sql, got, want)
		}
	}
	_, err := pool.Exec(ctx, "DELETE FROM backup_jobs WHERE id = $1", jobs[0].ID) // its results go with it
	ok(t, err)
	got := kept(t, s)
	if want := anew(t, s); !slices.Equal(got, want) || len(got) < 5 {
		t.Fatalf("in the end\nkept %q\nmade %q", got, want)
	}
}

// Transactions that overlap and do not see each other's copies still leave the
// newer one as the newest, whichever commits last.
func TestStandingAtOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	newer, older := copyOn(1, "a", 2, backup.Daily), copyOn(1, "a", 1, backup.Daily)
	first := must(s.Pool().Begin(ctx))(t)
	id := must(s.With(first).RecordCopy(ctx, newer))(t)
	done := make(chan error, 1)
	second := must(s.Pool().Begin(ctx))(t)
	var pid int
	ok(t, second.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid))
	go func() {
		_, err := s.With(second).RecordCopy(context.WithoutCancel(ctx), older)
		done <- err
	}()
	for waiting := false; !waiting; { // until it waits for the first
		ok(t, s.Pool().QueryRow(ctx, "SELECT coalesce(wait_event_type, '') = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid).Scan(&waiting))
	}
	ok(t, first.Commit(ctx))
	ok(t, <-done)
	ok(t, second.Commit(ctx))
	var newest string
	ok(t, s.Pool().QueryRow(ctx, "SELECT newest_id::text FROM database_standing").Scan(&newest))
	if newest != id {
		t.Errorf("the newest copy is %s, not %s", newest, id)
	}
}

// Every order gives each database once, page by page, and every filter what it says.
func TestStandingPages(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	now := t0.AddDate(0, 0, 10)
	gone := now.Add(-time.Hour)
	for n, name := range []string{"Alpha", "beta", "gamma", "delta", "gone", "epsilon", "alphabet"} {
		d := entry(n+1, name)
		d.Priority = []backup.Priority{backup.Critical, backup.Normal, backup.High}[n%3]
		if name == "gone" {
			d.GoneAt = &gone
		}
		upsert(t, s, d)
		if n%3 < 2 { // the third and sixth have none
			c := copyOn(n+1, name, 10-n%2*4, backup.Daily)
			c.Size, c.TakenAt = int64(100*n), now.Add(-time.Duration(1+n%2*50)*time.Hour)
			record(t, s, c)
		}
	}
	f := store.StandingFilter{Now: now, GoneSince: now.Add(-24 * time.Hour)}
	for _, order := range []store.StandingOrder{store.ByUrgency, store.ByName, store.ByAge, store.BySize, store.ByRank} {
		f.Order, f.Limit, f.Cursor = order, 100, ""
		all, next, err := s.StandingPage(ctx, f)
		ok(t, err)
		if len(all) != 7 || next != "" {
			t.Fatalf("%s: %d, next %q", order, len(all), next)
		}
		var paged []string
		f.Limit = 2
		for range 10 {
			page, next, err := s.StandingPage(ctx, f)
			ok(t, err)
			for _, st := range page {
				paged = append(paged, st.Database.Name)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		if got := names(all); !slices.Equal(got, paged) {
			t.Errorf("%s: %v, in pages %v", order, got, paged)
		}
	}
	f.Order, f.Limit, f.Cursor = "", 100, ""
	for _, c := range []struct {
		f    func(*store.StandingFilter)
		want []string
	}{
		{func(f *store.StandingFilter) { f.Order = store.ByName }, []string{"Alpha", "alphabet", "beta", "delta", "epsilon", "gamma", "gone"}},
		{func(f *store.StandingFilter) { f.Order, f.Name = store.ByName, "LPHA" }, []string{"Alpha", "alphabet"}},
		{func(f *store.StandingFilter) { f.Name = "%" }, nil},
		{func(f *store.StandingFilter) { f.GoneSince = time.Time{}; f.Name = "gone" }, nil},
		{func(f *store.StandingFilter) { f.States = []string{"unknown"} }, []string{"epsilon", "gamma"}},
		{func(f *store.StandingFilter) { f.IDs = []string{uid(4)} }, []string{"delta"}},
		{func(f *store.StandingFilter) { f.IDs = []string{} }, nil},
		{func(f *store.StandingFilter) { f.States = []string{"nonsense"} }, nil},
	} {
		f := f
		c.f(&f)
		list, _, err := s.StandingPage(ctx, f)
		ok(t, err)
		if got := names(list); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", f, got, c.want)
		}
	}
	sums, err := s.StandingSums(ctx, f)
	ok(t, err)
	if sums.Present != 6 || sums.States["unknown"] != 2 || sums.Of["attention"] != 2 || sums.States["attention"] != 3 || sums.Fresh != 2 || !sums.Oldest.Equal(now.Add(-51*time.Hour)) {
		t.Errorf("%+v", sums)
	}
	f.Order, f.Cursor = "nonsense", ""
	if _, _, err := s.StandingPage(ctx, f); backup.Kind(err) != backup.ErrInvalid {
		t.Errorf("an order that is none: %v", err)
	}
	f.Order, f.Cursor = store.ByName, "bm9uc2Vuc2U"
	if _, _, err := s.StandingPage(ctx, f); backup.Kind(err) != backup.ErrInvalid {
		t.Errorf("a cursor that is none: %v", err)
	}
}

func names(list []backup.Standing) []string {
	var out []string
	for _, st := range list {
		out = append(out, st.Database.Name)
	}
	return out
}
