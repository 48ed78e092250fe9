package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestDrills(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	if last, err := s.LastDrill(ctx); err != nil || last != nil {
		t.Errorf("a drill before the first: %+v, %v", last, err)
	}
	end := func(id string, verdict backup.DrillVerdict, text string) {
		t.Helper()
		at := t0.Add(time.Hour)
		if err := s.EndDrill(ctx, backup.Drill{ID: id, Verdict: verdict, Databases: 6, Passed: 5, Failed: 1, Text: text, EndedAt: &at}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 { // two of them at the same moment
		j := insertJob(t, s, backup.Job{ID: jobUUID(i), CreatedAt: t0.Add(time.Duration(i/2) * time.Hour), RequestedBy: "ada"})
		if err := s.InsertDrill(ctx, j.ID, j.CreatedAt); err != nil {
			t.Fatal(err)
		}
	}
	if open, err := s.OpenDrill(ctx); err != nil || open == "" {
		t.Errorf("open is %q, %v", open, err)
	}
	end(jobUUID(0), backup.DrillPassed, "all 6")
	end(jobUUID(0), backup.DrillFailed, "too late") // it has ended
	end(jobUUID(1), backup.DrillFailed, "a \x00 name")
	for i, status := range []backup.JobStatus{backup.JobCompleted, backup.JobPartial, backup.JobCancelled, backup.JobFailed} {
		tr := backup.Transition{Status: status, At: t0.Add(2 * time.Hour)}
		if err := s.FinishJob(ctx, jobUUID(i), backup.Totals{}, tr, "given up"); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	cursor := ""
	for {
		page, next, err := s.Drills(ctx, 2, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			got = append(got, d.ID[7:8]+" "+string(d.Verdict)+" "+d.Text)
		}
		if cursor = next; next == "" {
			break
		}
	}
	if want := []string{"4  ", "3 failed given up", "2 cancelled given up", "1 failed a \uFFFD name", "0 passed all 6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if last, err := s.LastDrill(ctx); err != nil || last == nil || last.ID != jobUUID(3) {
		t.Errorf("the last is %+v, %v", last, err)
	}
	if open, err := s.OpenDrill(ctx); err != nil || open != jobUUID(4) {
		t.Errorf("open is %q, %v", open, err)
	}
	for _, id := range []string{"x", jobUUID(9)} {
		if _, err := s.Drill(ctx, id); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, _, err := s.Drills(ctx, 2, "nonsense"); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("a cursor of nobody's: %v", err)
	}
}

func TestDrillResults(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	j := insertJob(t, s, backup.Job{CreatedAt: t0})
	if err := s.InsertDrill(ctx, j.ID, t0); err != nil {
		t.Fatal(err)
	}
	taken := t0.Add(-time.Hour)
	full := backup.DrillResult{
		JobID: j.ID, Role: backup.DrillNewest, DatabaseID: jobUUID(2), DatabaseName: "b", At: t0, CopyID: jobUUID(7), Key: "daily/x.sql", Kind: backup.Daily,
		Date: backup.DateOf(t0), TakenAt: &taken, Size: 1 << 40, Tables: 3, Rows: 1 << 35, Consistency: backup.Quiet, Error: "why", Next: "what", Untried: true,
		Load: 1500 * time.Microsecond, Check: 2 * time.Hour, Again: time.Second, Findings: 2, Source: backup.SourceMoved, SourceText: "moved on",
	}
	bare := backup.DrillResult{JobID: j.ID, Role: backup.DrillOldest, DatabaseID: jobUUID(1), DatabaseName: "a", At: t0, Passed: true}
	for _, r := range []backup.DrillResult{full, bare} {
		if err := s.AddDrillResult(ctx, r); err != nil {
			t.Fatal(err)
		}
		if err := s.AddDrillResult(ctx, r); err == nil {
			t.Error("a copy is on record twice")
		}
	}
	d, err := s.Drill(ctx, j.ID)
	if err != nil || len(d.Results) != 2 {
		t.Fatal(d, err)
	}
	for i, want := range []backup.DrillResult{bare, full} {
		got := d.Results[i]
		got.At = got.At.UTC()
		if got.TakenAt != nil {
			at := got.TakenAt.UTC()
			got.TakenAt = &at
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	if list, err := s.DatabaseProofs(ctx, jobUUID(2), 5); err != nil || len(list) != 1 || list[0].Key != full.Key {
		t.Errorf("%+v, %v", list, err)
	}
}
