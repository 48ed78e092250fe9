package databases

import (
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

func TestView(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	taken := now.Add(-3 * time.Hour)
	copyWith := func(id, body string, rows int64) backup.Copy {
		return backup.Copy{ID: id, DatabaseName: "it's", DatabaseID: "i1", Date: backup.DateOf(taken), TakenAt: taken, Size: 2048, Rows: rows, BodySHA256: body, SHA256: "abc"}
	}
	newest := copyWith("c3", "z", 12)
	newest.Manifest = &backup.Manifest{
		Sections: []backup.Section{
			{Name: "small", Kind: "table", Rows: 1, Length: 10}, {Name: "indexes", Kind: "schema", Length: 999}, {Name: "large", Kind: "virtual", Rows: 1204, Length: 2000},
		},
		Findings: []backup.Finding{{Message: "posts_fts has no content of its own"}},
	}
	before := copyWith("c2", "y", 10)
	before.Manifest = &backup.Manifest{Sections: []backup.Section{{Name: "large", Kind: "virtual", Rows: 1203, Length: 1990}, {Name: "dropped", Kind: "table", Rows: 3, Length: 30}}}
	f := facts{
		Standing: backup.Standing{Database: backup.Database{ID: "i1", Name: "it's", Objective: backup.DefaultObjective}, Newest: &newest},
		Best:     &newest, Before: &before,
		Copies: []backup.Copy{newest, copyWith("c2", "y", 10), copyWith("c1", "y", 10), copyWith("c0", "x", 11)},
		Base:   "https://patina.example",
	}
	m := view(f, now, ui.Who{Operator: true, Downloader: true})
	if m.Mark.Word != "stored" || !m.CanStart || m.AllCopies != "/list?database=it%27s" || len(m.Findings) != 1 {
		t.Errorf("%+v", m)
	}
	if len(m.Tables) != 2 || m.Tables[0].Name != "large" || m.Tables[0].Rows != "1,204" {
		t.Errorf("tables: %+v", m.Tables)
	}
	if m.Tables[0].Change != "+1 row" || m.Tables[1].Change != "new" || len(m.GoneTables) != 1 || m.GoneTables[0] != "dropped" {
		t.Errorf("tables: %+v, gone: %v", m.Tables, m.GoneTables)
	}
	if m.Newest.Title != "Newest copy, which is not proven" || m.Newest.Get != "Get the newest copy, which is not proven, 2.00 KiB" || m.Newest.Diff != "/backups/c2/diff/c3" || m.Newest.Newer != "" {
		t.Errorf("the newest is %+v", m.Newest)
	}
	best := copyWith("c2", "y", 10)
	best.Proof = backup.ProofProven
	proven := f
	proven.Best, proven.Before = &best, nil
	if n := view(proven, now, ui.Who{}).Newest; n.Title != "Newest proven copy" || n.Newer != "/backups/c3" || n.Diff != "" {
		t.Errorf("with a proven one the newest is %+v", n)
	}
	for i, want := range []string{"+2 rows", "same content as the one before", "−1 row", ""} {
		if m.Copies[i].Changed != want {
			t.Errorf("copy %d changed %q, want %q", i, m.Copies[i].Changed, want)
		}
	}
	want := `curl -fH "Authorization: Bearer $PATINA_TOKEN" -o 'it'\''s-2026-11-24.sql' 'https://patina.example/download/2026-11-24/it%27s?backup=c3'`
	if m.Newest.Curl != want {
		t.Errorf("curl:\n got %s\nwant %s", m.Newest.Curl, want)
	}
	f.Standing.Open = &backup.Result{JobID: "j9"}
	if m := view(f, now, ui.Who{Operator: true}); m.CanStart || m.RunningJob != "j9" {
		t.Error("a database that is being backed up can be started again")
	}
	d := detailOf(f, now)
	if len(d.Tables) != 2 || len(d.Copies) != 4 || d.State != "stored" || d.LastSuccessAt == nil {
		t.Errorf("%+v", d)
	}
	empty := view(facts{Standing: backup.Standing{Database: backup.Database{Name: "x"}}}, now, ui.Who{})
	if empty.Newest != nil || !strings.Contains(empty.Why, "No copy yet") {
		t.Errorf("without a copy: %+v", empty)
	}
}
