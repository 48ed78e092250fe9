package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// jobUUID gives the nth UUID.
func jobUUID(n int) string { return fmt.Sprintf("%08x-0000-7000-8000-000000000000", n) }

func insertJob(t *testing.T, s *store.Store, j backup.Job, databases ...string) backup.Job {
	t.Helper()
	j.Kind, j.Status = backup.JobBackup, backup.JobQueued
	if j.ID == "" {
		j.ID = uuid.NewString()
	}
	if j.Trigger == "" {
		j.Trigger = backup.TriggerManual
	}
	if j.Date.IsZero() {
		j.Date = backup.DateOf(j.CreatedAt)
	}
	if err := s.InsertJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	var results []backup.Result
	for i, name := range databases {
		results = append(results, backup.Result{
			ID: uuid.NewString(), JobID: j.ID, DatabaseID: jobUUID(i + 1), DatabaseName: name, Status: backup.ResultQueued,
			Date: j.Date, RiverJobID: int64(i + 1), CreatedAt: j.CreatedAt,
		})
	}
	if err := s.InsertResults(t.Context(), results); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJobsListed(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for i, name := range []string{"groveauth", "scout-db"} {
		upsert(t, s, backup.Database{ID: jobUUID(i + 1), Name: name, FirstSeenAt: t0, LastSeenAt: t0})
	}
	// Two of them in the same microsecond: the cursor must tell them apart.
	var want []string
	for i := range 7 {
		j := backup.Job{ID: jobUUID(i), CreatedAt: t0.Add(time.Duration(i/2) * 24 * time.Hour), RequestedBy: "ada"}
		if i == 3 {
			j.Trigger = backup.TriggerNightly
		}
		insertJob(t, s, j, []string{"groveauth", "scout-db"}[:1+i%2]...)
		want = append(want, j.ID)
	}
	slices.Reverse(want)
	var got []string
	cursor, pages := "", 0
	for {
		jobs, next, err := s.Jobs(t.Context(), store.JobFilter{Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			got = append(got, j.ID)
		}
		pages++
		if cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) || pages != 4 {
		t.Errorf("in %d pages %v, want %v", pages, got, want)
	}
	day := backup.DateOf(t0).AddDays(1)
	for name, c := range map[string]struct {
		f    store.JobFilter
		want int
	}{
		"trigger":         {store.JobFilter{Trigger: backup.TriggerNightly}, 1},
		"database":        {store.JobFilter{Database: "scout-db"}, 3},
		"one day":         {store.JobFilter{From: day, To: day}, 2},
		"from a day":      {store.JobFilter{From: day}, 5},
		"status":          {store.JobFilter{Status: []backup.JobStatus{backup.JobRunning, backup.JobQueued}}, 7},
		"another status":  {store.JobFilter{Status: []backup.JobStatus{backup.JobFailed}}, 0},
		"kind":            {store.JobFilter{Kind: backup.JobRestore}, 0},
		"all of these":    {store.JobFilter{Database: "scout-db", To: day, Kind: backup.JobBackup, Trigger: backup.TriggerManual}, 1},
		"unknown name":    {store.JobFilter{Database: "x' OR true --"}, 0},
		"limit too large": {store.JobFilter{Limit: 1 << 30}, 7},
	} {
		jobs, _, err := s.Jobs(t.Context(), c.f)
		if err != nil || len(jobs) != c.want {
			t.Errorf("%s: %d jobs, want %d; %v", name, len(jobs), c.want, err)
		}
	}
	for _, cursor := range []string{"x", "!!", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OS4wMDAwMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDA"} {
		if _, _, err := s.Jobs(t.Context(), store.JobFilter{Cursor: cursor}); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	for _, id := range []string{"", "x", jobUUID(99), "' OR true --"} {
		if _, err := s.Job(t.Context(), id); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("job %q: %v", id, err)
		}
		if _, err := s.Result(t.Context(), id); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("result %q: %v", id, err)
		}
	}
}

func TestJobMoves(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	if j, err := s.ActiveJob(ctx); err != nil || j != nil {
		t.Fatal(j, err)
	}
	if j, err := s.LastCompletedJob(ctx); err != nil || j != nil {
		t.Fatal(j, err)
	}
	older := insertJob(t, s, backup.Job{CreatedAt: t0}, "groveauth")
	job := insertJob(t, s, backup.Job{CreatedAt: t0.Add(time.Minute), RequestedBy: "ada"}, "scout-db")
	if j, err := s.ActiveJob(ctx); err != nil || j == nil || j.ID != older.ID {
		t.Fatal("the one queued longest is active", j, err)
	}
	if err := s.MoveJob(ctx, job.ID, backup.Transition{Status: backup.JobRunning, At: t0.Add(2 * time.Minute), By: "p"}); err != nil {
		t.Fatal(err)
	}
	if j, err := s.ActiveJob(ctx); err != nil || j == nil || j.ID != job.ID {
		t.Fatal("the running one is active", j, err)
	}
	if err := s.CancelJob(ctx, job.ID, "grace", t0.Add(3*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.CancelJob(ctx, job.ID, "eve", t0.Add(4*time.Minute)); err != nil {
		t.Fatal(err)
	}
	totals := backup.Totals{Databases: 5, Succeeded: 2, Failed: 2, Skipped: 1, Bytes: 7, Rows: 9}
	end := backup.Transition{Status: backup.JobCompleted, At: t0.Add(5 * time.Minute), By: "p"}
	if err := s.FinishJob(ctx, job.ID, totals, end, "why"); err != nil {
		t.Fatal(err)
	}
	if err := s.FinishJob(ctx, job.ID, backup.Totals{}, end, ""); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("a job ends once: %v", err)
	}
	got, err := s.LastCompletedJob(ctx)
	if err != nil || got == nil {
		t.Fatal(got, err)
	}
	var steps []string
	for _, tr := range got.Transitions {
		steps = append(steps, fmt.Sprintf("%s %s %s %s", tr.At.Format("15:04"), tr.Status, tr.By, tr.Reason))
	}
	wantSteps := []string{"03:01 queued ada ", "03:02 running p ", "03:03 running grace asked to stop", "03:05 completed p "}
	if !slices.Equal(steps, wantSteps) {
		t.Errorf("transitions %q, want %q", steps, wantSteps)
	}
	if got.Totals != totals || got.Error != "why" || got.CancelRequestedBy != "grace" || !got.StartedAt.Equal(t0.Add(2*time.Minute)) || !got.CompletedAt.Equal(end.At) {
		t.Errorf("the job is %+v", got)
	}
}

func TestResultFence(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	job := insertJob(t, s, backup.Job{CreatedAt: t0}, "groveauth")
	other := insertJob(t, s, backup.Job{CreatedAt: t0}, "groveauth")
	first := func(jobID string) backup.Result {
		t.Helper()
		res, err := s.JobResults(ctx, jobID)
		if err != nil || len(res) != 1 {
			t.Fatal(res, err)
		}
		return res[0]
	}
	a := store.Attempt{ResultID: first(job.ID).ID, RiverJobID: 1, ProcessID: jobUUID(1), Number: 1, At: t0}
	stranger := a
	stranger.RiverJobID = 2
	if _, err := s.StartResult(ctx, stranger); !errors.Is(err, store.ErrFenced) {
		t.Errorf("another River job may not start it: %v", err)
	}
	old, err := s.StartResult(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	b := a
	b.ResultID = first(other.ID).ID
	if _, err := s.StartResult(ctx, b); !errors.Is(err, store.ErrRunning) {
		t.Errorf("one export of a database at a time: %v", err)
	}
	fence, err := s.StartResult(ctx, a)
	if err != nil || fence <= old {
		t.Fatal(old, fence, err)
	}
	at := t0.Add(1500 * time.Millisecond)
	res := first(job.ID)
	res.CopyID, res.Key, res.Size, res.Consistency, res.CompletedAt, res.Duration = jobUUID(9), "k", 5, backup.Quiet, &at, 1500*time.Millisecond
	res.Fence = old
	for name, err := range map[string]error{
		"success":  s.SucceedResult(ctx, res),
		"failure":  s.EndResult(ctx, res.ID, old, backup.ResultFailed, at, "m", "n"),
		"progress": s.SetProgress(ctx, res.ID, old, backup.Progress{At: at}),
		"give up":  s.RequeueResult(ctx, res.ID, old, "m", "n"),
	} {
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s under an old token: %v", name, err)
		}
	}
	res.Fence = fence
	res.Findings = []backup.Finding{{Code: "c", Message: "m", Serious: true}}
	res.Cost = backup.Cost{Requests: 1, Retries: 2, RowsRead: 3, Bytes: 4}
	if err := s.SucceedResult(ctx, res); err != nil {
		t.Fatal(err)
	}
	if err := s.EndResult(ctx, res.ID, fence, backup.ResultFailed, at, "m", "n"); !errors.Is(err, store.ErrFenced) {
		t.Errorf("what succeeded cannot fail: %v", err)
	}
	got := first(job.ID)
	if got.Status != backup.ResultSuccess || got.Duration != res.Duration || got.Cost != res.Cost || len(got.Findings) != 1 || got.Findings[0] != res.Findings[0] || got.Consistency != backup.Quiet || got.CopyID != jobUUID(9) {
		t.Errorf("stored %+v", got)
	}
	if list, err := s.DatabaseResults(ctx, jobUUID(1), time.Time{}, 0); err != nil || len(list) != 2 {
		t.Errorf("%d results of the database, %v", len(list), err)
	}
	if open, err := s.OpenResults(ctx, []string{jobUUID(1)}); err != nil || len(open) != 1 || open[0].JobID != other.ID {
		t.Errorf("open are %v, %v", open, err)
	}
}

// Each transaction that looks for a slot gets one of its own, or none.
func TestExportSlots(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	if err := s.EnsureExportSlots(ctx, 3); err != nil {
		t.Fatal(err)
	}
	var got []int
	var open []pgx.Tx
	for range 4 {
		tx, err := s.Pool().Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.Background()) }()
		n, err := s.With(tx).LockExportSlot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, open = append(got, n), append(open, tx)
	}
	if !slices.Equal(got, []int{1, 2, 3, 0}) {
		t.Errorf("got the slots %v", got)
	}
	for i, tx := range open[:2] {
		if err := s.With(tx).TakeExportSlot(ctx, got[i], int64(11+i), store.Attempt{ResultID: jobUUID(i), ProcessID: jobUUID(9), At: t0}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := open[2].Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := s.LockExportSlot(ctx); err != nil || n != 3 {
		t.Errorf("the third is free again: %d, %v", n, err)
	}
	count := func(wantTaken, wantTotal int) {
		t.Helper()
		if taken, total, err := s.ExportSlots(ctx); err != nil || taken != wantTaken || total != wantTotal {
			t.Errorf("%d of %d taken, want %d of %d; %v", taken, total, wantTaken, wantTotal, err)
		}
	}
	for _, fence := range []int64{0, 99} { // nobody's
		if err := s.FreeExportSlot(ctx, fence); err != nil {
			t.Fatal(err)
		}
	}
	count(2, 3)
	if err := s.EnsureExportSlots(ctx, 1); err != nil { // fewer: what is taken goes when it is free
		t.Fatal(err)
	}
	count(2, 2)
	if err := s.FreeExportSlot(ctx, 12); err != nil {
		t.Fatal(err)
	}
	count(1, 2)
	if err := s.EnsureExportSlots(ctx, 1); err != nil {
		t.Fatal(err)
	}
	count(1, 1)
}
