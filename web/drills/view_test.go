package drills

import (
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

var now = time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)

func drill(verdict backup.DrillVerdict, edit ...func(*backup.Drill)) backup.Drill {
	begun, ended := now.Add(-time.Hour), now.Add(-30*time.Minute)
	d := backup.Drill{ID: "d1", CreatedAt: begun, StartedAt: &begun, EndedAt: &ended, Verdict: verdict, Databases: 2, Passed: 2, RequestedBy: "schedule drill"}
	for i, r := range []backup.DrillRole{backup.DrillNewest, backup.DrillOldest} {
		d.Results = append(d.Results, backup.DrillResult{
			Role: r, DatabaseID: "a", DatabaseName: "groveauth", CopyID: "c", Kind: backup.Daily, Date: backup.DateOf(now), TakenAt: &begun, Size: 2048, Rows: 1204, Tables: 7,
			Passed: true, Load: time.Duration(i+1) * time.Second, Check: time.Second, Again: time.Second,
		})
	}
	for _, e := range edit {
		e(&d)
	}
	return d
}

// of is the certificate of a drill, its sums those of its results.
func of(d backup.Drill) certificate {
	c := certificate{Drill: d, Results: d.Results, First: true, Limit: shown, Sums: store.DrillSums{Databases: 1}}
	for _, r := range d.Results {
		c.Sums.Copies, c.Sums.Bytes, c.Sums.Rows = c.Sums.Copies+1, c.Sums.Bytes+r.Size, c.Sums.Rows+r.Rows
		if r.Role == backup.DrillNewest {
			c.Sums.Newest, c.Sums.Slowest, c.Sums.SlowestName = r.Load, r.Load, r.DatabaseName
		}
	}
	return c
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		d          backup.Drill
		word, says string
	}{
		{drill(backup.DrillPassed), "passed", "All 2 databases restore from their stored bytes."},
		{drill(backup.DrillPassed, func(d *backup.Drill) { d.Databases = 1 }), "passed", "The one database restores from its stored bytes."},
		{drill(backup.DrillFailed, func(d *backup.Drill) { d.Text = "1 of 2 databases did not restore: x\u202ey" }), "failed", "1 of 2 databases did not restore: x\uFFFDy."},
		{drill(backup.DrillFailed), "failed", "The drill failed."},
		{drill(backup.DrillCancelled, func(d *backup.Drill) { d.Text = "cancelled by grace" }), "cancelled", "Stopped before its end: cancelled by grace."},
		{drill(backup.DrillOpen, func(d *backup.Drill) { d.EndedAt = nil }), "running", "Copies are being restored."},
		{drill(backup.DrillOpen, func(d *backup.Drill) { d.EndedAt, d.StartedAt = nil, nil }), "queued", "Waiting for a worker."},
	} {
		m := view(of(tt.d), now, ui.Who{Operator: true})
		if m.Mark.Word != tt.word || m.Verdict != tt.says || m.CanCancel != (tt.d.Verdict == backup.DrillOpen) || m.Title != "Drill of 2026-12-01" {
			t.Errorf("%+v: %q %q", tt.d.Verdict, m.Mark.Word, m.Verdict)
		}
	}
}

func TestFiguresOfACertificate(t *testing.T) {
	t.Parallel()
	m := view(of(drill(backup.DrillPassed)), now, ui.Who{})
	var facts []string
	for _, f := range m.Facts {
		facts = append(facts, f.Term+": "+f.Text)
	}
	for _, want := range []string{"Took: 30 min 0 s", "Restored: 2 copies, 2,408 rows, 4.00\u00a0KiB", "Newest copies, in turn: 1.0 s", "The slowest of these: 1.0 s, groveauth"} {
		if !strings.Contains(strings.Join(facts, "\n"), want) {
			t.Errorf("%q lacks %q", facts, want)
		}
	}
	if len(m.Rows) != 2 || m.Rows[0].Role != "newest copy" || m.Rows[1].Role != "oldest kept" || m.Rows[1].Load != "2.0 s" || m.Rows[0].Rows != "1,204 rows in 7 tables" {
		t.Errorf("%+v", m.Rows)
	}
	none := rowOf(backup.DrillResult{DatabaseName: "new", DatabaseID: "n", Error: "it has no copy", Role: backup.DrillNewest})
	if none.Mark.Word != "no copy" || none.Date != "–" || none.Load != "–" || none.Source != "not compared" {
		t.Errorf("%+v", none)
	}
	untried := rowOf(backup.DrillResult{CopyID: "c", Untried: true, Source: backup.SourceUnknown})
	if untried.Mark.Word != "not tried" || untried.SourceSub == "" {
		t.Errorf("%+v", untried)
	}
}
