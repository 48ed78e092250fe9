package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestDays(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	one, other := uuid.NewString(), uuid.NewString()
	today := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	insert := func(db, status, proof string, ago int, hour time.Duration, size int64) string {
		job, id := uuid.NewString(), uuid.NewString()
		at := today.AddDate(0, 0, -ago).Add(hour)
		_, err := pool.Exec(ctx, "INSERT INTO backup_jobs (id, kind, trigger, status, date, created_at) VALUES ($1, 'backup', 'manual', 'completed', $2, $3)", job, at, at)
		ok(t, err)
		_, err = pool.Exec(ctx, `INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at, copy_id, size_bytes, row_count)
			VALUES ($1, $2, $3, 'd', $4, $5, $6, $7, $8, $8)`, uuid.NewString(), job, db, status, at, at, id, size)
		ok(t, err)
		if proof != "" {
			_, err = pool.Exec(ctx, `INSERT INTO backup_inventory (id, database_id, database_name, kind, date, taken_at, key, size_bytes, sha256, body_sha256, table_count, row_count, consistency, proof, created_at, deleted_at, manifest)
				VALUES ($1, $2, 'd', 'daily', $3, $4, $5, 1, '', '', 1, 1, 'snapshot', $6, $4, $4, '{}')`, id, db, at, at, id, proof)
			ok(t, err)
		}
		return job
	}
	insert(one, "success", "proven", 31, 0, 1)
	insert(one, "success", "proven", 2, 0, 20)
	late := insert(one, "success", "", 2, time.Hour, 21)
	insert(one, "failed", "", 1, 0, 0)
	insert(one, "success", "suspect", 0, 0, 5)
	insert(one, "queued", "", 0, time.Hour, 0)
	insert(other, "success", "", 0, 0, 7)
	from := backup.DateOf(today).AddDays(-29)
	got, err := s.Days(ctx, []string{one}, from)
	ok(t, err)
	want := []backup.Day{
		{DatabaseID: one, Date: backup.DateOf(today).AddDays(-2), Stored: true, Proven: true, Size: 21, Rows: 21, JobID: late},
		{DatabaseID: one, Date: backup.DateOf(today).AddDays(-1), Failed: true},
		{DatabaseID: one, Date: backup.DateOf(today), Stored: true, Suspect: true, Size: 5, Rows: 5},
	}
	if len(got) != 1 || len(got[one]) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, d := range got[one] {
		if want[i].JobID == "" {
			want[i].JobID = d.JobID
		}
		if d != want[i] {
			t.Errorf("day %d is %+v, want %+v", i, d, want[i])
		}
	}
	if none, err := s.Days(ctx, nil, from); err != nil || len(none) != 0 {
		t.Errorf("of no database: %v %v", none, err)
	}
}
