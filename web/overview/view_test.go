package overview

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

var now = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

func standing(name string, hours int, edit ...func(*backup.Standing)) backup.Standing {
	s := backup.Standing{Database: backup.Database{ID: "id-" + name, Name: name, Objective: backup.DefaultObjective, Priority: backup.Normal}}
	if hours >= 0 {
		s.Newest = &backup.Copy{ID: "c-" + name, DatabaseName: name, TakenAt: now.Add(-time.Duration(hours) * time.Hour), Size: 2048, Rows: 1204, Date: backup.DateOf(now)}
	}
	for _, e := range edit {
		e(&s)
	}
	return s
}

func proven(s *backup.Standing) { s.Proven = s.Newest }

func TestVerdict(t *testing.T) {
	t.Parallel()
	next, drilled := now.Add(14*time.Hour), now.Add(-49*time.Hour)
	for _, tt := range []struct {
		name string
		f    facts
		want string
		word ui.StateWord
	}{
		{"nothing registered", facts{Workers: 1}, "Unknown: no database is registered yet.", ui.Unknown},
		{
			"all stored",
			facts{Workers: 1, Nightly: next, Standings: []backup.Standing{standing("a", 3), standing("b", 2)}},
			"All 2 databases have a stored copy from the last 26 h. None is proven to restore yet. Oldest newest copy: 3 h. Next run in 14 h.", ui.Stored,
		},
		{
			"all proven",
			facts{Workers: 1, Nightly: next, Standings: []backup.Standing{standing("a", 3, proven), standing("b", 2, proven)}},
			"All 2 databases have a stored copy from the last 26 h. All of them are proven to restore. Oldest newest copy: 3 h. Next run in 14 h.", ui.Proven,
		},
		{
			"one stale",
			facts{Workers: 1, Standings: []backup.Standing{standing("a", 50), standing("b", 2, proven)}},
			"1 of 2 databases has a stored copy from the last 26 h. 1 of them is proven to restore. Oldest newest copy: 2 days.", ui.Attention,
		},
		{
			"one never backed up",
			facts{Workers: 1, Standings: []backup.Standing{standing("a", -1), standing("b", 2)}},
			"1 of 2 databases has a stored copy from the last 26 h. None is proven to restore yet. Oldest newest copy: 2 h.", ui.Unknown,
		},
		{
			"no copy at all",
			facts{Workers: 1, Standings: []backup.Standing{standing("a", -1)}},
			"The one database has no stored copy from the last 26 h.", ui.Unknown,
		},
		{
			"nothing runs the schedule",
			facts{Nightly: next, Standings: []backup.Standing{standing("a", 3, proven)}},
			"Unknown: nothing is running that would make the next backup, and what follows may be old. The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h.", ui.Unknown,
		},
		{
			"nothing runs, and something is wrong besides",
			facts{Beat: now.Add(-3 * time.Hour), Standings: []backup.Standing{standing("a", 50, proven)}},
			"Unknown: nothing that would make the next backup has been heard of for 3 h; what follows is as it was then. The one database has no stored copy from the last 26 h. It is not proven to restore yet. Oldest newest copy: 2 days.", ui.Attention,
		},
		{
			"the account was not looked through",
			facts{Workers: 1, Standings: []backup.Standing{standing("a", 3, proven, func(s *backup.Standing) { s.Database.LastSeenAt = now.AddDate(0, 0, -4) })}},
			"Unknown: the account was last looked through 4 days ago; there may be databases that nobody backs up. The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h.", ui.Unknown,
		},
		{
			"an old copy is suspect, and the newest is proven",
			facts{Workers: 1, Standings: []backup.Standing{standing("a", 3, proven, func(s *backup.Standing) { s.Suspect = 1 })}},
			"The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h.", ui.Attention,
		},
		{
			"a drill passed",
			facts{Workers: 1, Nightly: next, Drill: &backup.Drill{ID: "d1", Verdict: backup.DrillPassed, EndedAt: &drilled}, Standings: []backup.Standing{standing("a", 3, proven)}},
			"The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h. Last drill passed 2 days ago. Next run in 14 h.", ui.Proven,
		},
		{
			"a drill failed",
			facts{Workers: 1, Drill: &backup.Drill{ID: "d1", Verdict: backup.DrillFailed, EndedAt: &drilled}, Standings: []backup.Standing{standing("a", 3, proven)}},
			"The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h. Last drill failed 2 days ago.", ui.Attention,
		},
		{
			"a gone database does not count",
			facts{Workers: 1, Standings: []backup.Standing{standing("a", 3), standing("b", 900, func(s *backup.Standing) { s.Database.GoneAt = &now })}},
			"The one database has a stored copy from the last 26 h. It is not proven to restore yet. Oldest newest copy: 3 h.", ui.Stored,
		},
	} {
		tt.f.Now = now
		phrases, word := verdict(tt.f)
		var words []string
		for _, p := range phrases {
			words = append(words, p.Text)
			if !strings.HasPrefix(p.Href, "/") {
				t.Errorf("%s: %q has no evidence", tt.name, p.Text)
			}
		}
		if got := strings.Join(words, " "); got != tt.want || word != tt.word {
			t.Errorf("%s:\n got %s %q\nwant %s %q", tt.name, word, got, tt.word, tt.want)
		}
	}
}

func TestRowsPutTroubleFirst(t *testing.T) {
	t.Parallel()
	critical := func(s *backup.Standing) { s.Database.Priority = backup.Critical }
	running := func(s *backup.Standing) {
		s.Open = &backup.Result{JobID: "j1", Status: backup.ResultRunning, Progress: backup.Progress{Rows: 1204}}
	}
	older := func(s *backup.Standing) {
		s.Proven = &backup.Copy{ID: "old", DatabaseName: "d", TakenAt: now.Add(-13 * time.Hour), Size: 1024, Date: backup.DateOf(now)}
	}
	list := []backup.Standing{standing("b", 1), standing("c", 1, critical), standing("a", 40), standing("d", 1, running, older), standing("x<script>", -1)}
	urgent(list, now)
	m := view(facts{Now: now, Workers: 1, Standings: list}, ui.Who{Operator: true, Downloader: true})
	var names []string
	for _, r := range m.Rows {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "a x<script> c b d" {
		t.Errorf("rows are %s", got)
	}
	if len(m.Attention) != 1 || m.Attention[0].Name != "a" {
		t.Errorf("attention is %+v", m.Attention)
	}
	// What is handed out is the newest that is proven, and the newer one is told of.
	d := m.Rows[slices.IndexFunc(m.Rows, func(r row) bool { return r.Name == "d" })]
	if d.CanBeStarted || d.RunningJob != "j1" || d.Note != "running, 1,204 rows" || d.Size != "1.00 KiB" || d.Copy.Word != "13 h ago" || d.Share != 0.5 ||
		d.Newer != "a newer one, 1 h ago, is not proven" || d.Restore != "/backups/old/restore" || d.Download != "/download/2026-11-24/d?backup=old" {
		t.Errorf("the running row is %+v", d)
	}
	if x := m.Rows[1]; x.Download != "" || x.Copy.Word != "none yet" {
		t.Errorf("a database without a copy is %+v", x)
	}
}

func TestManyDatabases(t *testing.T) {
	t.Parallel()
	f := facts{Now: now, Workers: 1}
	for i := range 2000 {
		f.Standings = append(f.Standings, standing(strings.Repeat("x", 1+i%30), 30))
	}
	m := view(f, ui.Who{})
	if len(m.Rows) != maxRows || m.Hidden != 2000-maxRows || len(m.Attention) > 20 {
		t.Errorf("%d rows, %d hidden, %d want attention", len(m.Rows), m.Hidden, len(m.Attention))
	}
}
