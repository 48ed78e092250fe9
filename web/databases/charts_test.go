package databases

import (
	"fmt"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	f := facts{Range: 90, Scheduled: true, Thresholds: thresholdsFor(store.Thresholds{}, store.Thresholds{}), Standing: backup.Standing{Database: backup.Database{ID: "i", Name: "a/b", Objective: backup.DefaultObjective}}}
	for i := range 120 {
		r := backup.Result{JobID: fmt.Sprint("j", i), Status: backup.ResultSuccess, CreatedAt: now.AddDate(0, 0, -i).Add(-time.Hour), Size: 1 << 20, Rows: 5000, Duration: time.Second}
		switch i {
		case 0:
			r.Status = backup.ResultRunning
		case 5:
			r.Status, r.Error = backup.ResultFailed, "it answered 503"
		case 8:
			r.Size, r.Rows = 3<<20, 15000
		case 9:
			r.Duration = time.Hour
		case 11:
			r.Status = backup.ResultSkipped
		}
		f.Results = append(f.Results, r)
	}
	h := historyOf(f, now)
	size, took := h.Series[0], h.Series[2]
	if len(size.Points) != 88 || len(h.Rows) != 88 || h.Fullness != "" {
		t.Fatalf("%d points, %d rows, %q", len(size.Points), len(h.Rows), h.Fullness)
	}
	at := func(ago int) int { return len(size.Points) - ago } // the newest of all still runs
	if p := size.Points[at(5)]; !p.Failed || p.Note != "it answered 503" || p.Href != "/jobs/j5" {
		t.Errorf("the failure is %+v", p)
	}
	if p := size.Points[at(8)]; !p.Unusual || p.Note != "200% more than the one before" || p.Value != 3<<20 {
		t.Errorf("the unusual one is %+v", p)
	}
	if p := size.Points[at(7)]; p.Unusual {
		t.Errorf("the one after is %+v", p)
	}
	if p := took.Points[at(9)]; !p.Unusual || p.Note != "longer than 45 min" || p.Value != 3600e3 {
		t.Errorf("the long one is %+v", p)
	}
	if r := h.Rows[7]; r.Note != "size: 200% more than the one before; rows: 200% more than the one before" || r.Size != "3.00 MiB" || r.Href != "/jobs/j8" {
		t.Errorf("its row is %+v", r)
	}
	if l := h.Ranges[1]; !l.Chosen || l.Href != "/databases/i?days=90#history" || h.Ranges[0].Chosen {
		t.Errorf("%+v", h.Ranges)
	}
	for asked, want := range map[string]int{"": 90, "30": 30, "365": 365, "7": 90, "x": 90, "-30": 90} {
		if got := rangeOf(asked); got != want {
			t.Errorf("%q days are %d", asked, got)
		}
	}
}

func TestThresholdsFor(t *testing.T) {
	t.Parallel()
	twenty, none, minute := 20, 0, int64(60)
	got := thresholdsFor(store.Thresholds{SizePercent: &twenty, RowsPercent: &twenty}, store.Thresholds{RowsPercent: &none, LongSeconds: &minute})
	if want := (alert.Thresholds{Long: time.Minute, Size: 20}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
