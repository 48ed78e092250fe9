package overview

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
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

// of adds databases to facts, as the store would.
func of(f facts, list ...backup.Standing) facts {
	f.Standings, f.Sums.Of, f.Sums.States = list, map[string]int{}, map[string]int{}
	for _, s := range list {
		state, _ := ui.StateOf(s, now)
		f.Sums.States[string(state)]++
		if state == ui.Failed || state == ui.Attention || state == ui.Unknown {
			f.Worst = append(f.Worst, s)
		}
		if s.Database.GoneAt != nil {
			continue
		}
		f.Sums.Of[string(state)]++
		f.Sums.Present++
		f.Sums.MinObjective, f.Sums.MaxObjective = s.Database.Objective, s.Database.Objective
		if s.Database.LastSeenAt.After(f.Sums.LastSeen) {
			f.Sums.LastSeen = s.Database.LastSeenAt
		}
		if s.Proven != nil && now.Sub(s.Proven.TakenAt) <= s.Database.Objective {
			f.Sums.Proven++
		}
		if s.Newest == nil {
			continue
		}
		if f.Sums.Oldest.IsZero() || s.Newest.TakenAt.Before(f.Sums.Oldest) {
			f.Sums.Oldest = s.Newest.TakenAt
		}
		if now.Sub(s.Newest.TakenAt) <= s.Database.Objective {
			f.Sums.Fresh++
		}
	}
	return f
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
			of(facts{Workers: 1, Nightly: next}, standing("a", 3), standing("b", 2)),
			"All 2 databases have a stored copy from the last 26 h. None is proven to restore yet. Oldest newest copy: 3 h. Next run in 14 h.", ui.Stored,
		},
		{
			"all proven",
			of(facts{Workers: 1, Nightly: next}, standing("a", 3, proven), standing("b", 2, proven)),
			"All 2 databases have a stored copy from the last 26 h. All of them are proven to restore. Oldest newest copy: 3 h. Next run in 14 h.", ui.Proven,
		},
		{
			"one stale",
			of(facts{Workers: 1}, standing("a", 50), standing("b", 2, proven)),
			"1 of 2 databases has a stored copy from the last 26 h. 1 of them is proven to restore. Oldest newest copy: 2 days.", ui.Attention,
		},
		{
			"one never backed up",
			of(facts{Workers: 1}, standing("a", -1), standing("b", 2)),
			"1 of 2 databases has a stored copy from the last 26 h. None is proven to restore yet. Oldest newest copy: 2 h.", ui.Unknown,
		},
		{
			"no copy at all",
			of(facts{Workers: 1}, standing("a", -1)),
			"The one database has no stored copy from the last 26 h.", ui.Unknown,
		},
		{
			"nothing runs the schedule",
			of(facts{Nightly: next}, standing("a", 3, proven)),
			"Unknown: nothing is running that would make the next backup, and what follows may be old. The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h.", ui.Unknown,
		},
		{
			"nothing runs, and something is wrong besides",
			of(facts{Beat: now.Add(-3 * time.Hour)}, standing("a", 50, proven)),
			"Unknown: nothing that would make the next backup has been heard of for 3 h; what follows is as it was then. The one database has no stored copy from the last 26 h. It is not proven to restore yet. Oldest newest copy: 2 days.", ui.Attention,
		},
		{
			"the account was not looked through",
			of(facts{Workers: 1}, standing("a", 3, proven, func(s *backup.Standing) { s.Database.LastSeenAt = now.AddDate(0, 0, -4) })),
			"Unknown: the account was last looked through 4 days ago; there may be databases that nobody backs up. The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h.", ui.Unknown,
		},
		{
			"an old copy is suspect, and the newest is proven",
			of(facts{Workers: 1}, standing("a", 3, proven, func(s *backup.Standing) { s.Suspect = 1 })),
			"The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h.", ui.Attention,
		},
		{
			"a drill passed",
			of(facts{Workers: 1, Nightly: next, Drill: &backup.Drill{ID: "d1", Verdict: backup.DrillPassed, EndedAt: &drilled}}, standing("a", 3, proven)),
			"The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h. Last drill passed 2 days ago. Next run in 14 h.", ui.Proven,
		},
		{
			"a drill failed",
			of(facts{Workers: 1, Drill: &backup.Drill{ID: "d1", Verdict: backup.DrillFailed, EndedAt: &drilled}}, standing("a", 3, proven)),
			"The one database has a stored copy from the last 26 h. It is proven to restore. Oldest newest copy: 3 h. Last drill failed 2 days ago.", ui.Attention,
		},
		{
			"a gone database does not count",
			of(facts{Workers: 1}, standing("a", 3), standing("b", 900, func(s *backup.Standing) { s.Database.GoneAt = &now })),
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

func TestRows(t *testing.T) {
	t.Parallel()
	running := func(s *backup.Standing) {
		s.Open = &backup.Result{JobID: "j1", Status: backup.ResultRunning, Progress: backup.Progress{Rows: 1204}}
	}
	older := func(s *backup.Standing) {
		s.Proven = &backup.Copy{ID: "old", DatabaseName: "d", TakenAt: now.Add(-13 * time.Hour), Size: 1024, Date: backup.DateOf(now)}
	}
	m := view(of(facts{Now: now, Workers: 1}, standing("a", 40), standing("x<script>", -1), standing("d", 1, running, older)), ui.Who{Operator: true, Downloader: true})
	if len(m.Rows) != 3 || m.Rows[0].Name != "a" {
		t.Fatalf("rows are %+v", m.Rows)
	}
	if len(m.Attention) != 2 || m.Attention[0].Name != "a" || m.Attention[1].Text != "No copy yet." {
		t.Errorf("attention is %+v", m.Attention)
	}
	// What is handed out is the newest that is proven, and the newer one is told of.
	d := m.Rows[2]
	if d.CanBeStarted || d.RunningJob != "j1" || d.Note != "running, 1,204 rows" || d.Size != "1.00 KiB" || d.Copy.Word != "13 h ago" || d.Share != 0.5 ||
		d.Newer != "a newer one, 1 h ago, is not proven" || d.Restore != "/backups/old/restore" || d.Download != "/download/2026-11-24/d?backup=old" {
		t.Errorf("the running row is %+v", d)
	}
	if x := m.Rows[1]; x.Download != "" || x.Copy.Word != "none yet" {
		t.Errorf("a database without a copy is %+v", x)
	}
	if m.Many || m.Filtered || !m.First || m.NextHref != "" || m.Here != "/" || m.Begin != "/" {
		t.Errorf("three databases need no choices: %+v", m)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	f := of(facts{Now: now, Next: "c2"}, standing("a", 40))
	f.Choice = choice{Name: "a&b", State: ui.Failed, Order: store.ByAge, Limit: 10, Cursor: "c1"}
	m := view(f, ui.Who{})
	const same = "/?limit=10&name=a%26b&sort=age&state=failed"
	if want := strings.Replace(same, "/?", "/?cursor=c2&", 1); m.NextHref != want {
		t.Errorf("the page after is %s", m.NextHref)
	}
	if want := strings.Replace(same, "/?", "/?cursor=c1&", 1); m.Here != want {
		t.Errorf("this page is %s", m.Here)
	}
	if m.Begin != same || m.First || !m.Many || !m.Filtered {
		t.Errorf("%+v", m)
	}
	for _, bad := range []string{"limit=0", "limit=x", "limit=501", "name=%00", "state=%FF"} {
		q, _ := url.ParseQuery(bad)
		if _, err := choiceOf(q, store.ByName, shown); backup.Kind(err) != backup.ErrInvalid {
			t.Errorf("%s is taken: %v", bad, err)
		}
	}
}
