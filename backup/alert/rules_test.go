package alert

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// history runs a database's sizes and rows through the rule night by night and
// gives the events with the night of each.
func history(sizes, rows []int64, change ...func(night int, r *backup.Result)) []string {
	var earlier []backup.Result
	var out []string
	for i := range sizes {
		r := backup.Result{ID: fmt.Sprint(i), DatabaseName: "groveauth", Size: sizes[i], Rows: rows[i], Key: "daily/x.sql"}
		for _, c := range change {
			c(i, &r)
		}
		for _, e := range Anomalies(r, earlier, Defaults) {
			out = append(out, fmt.Sprintf("%d %s", i, e.Kind))
		}
		earlier = append([]backup.Result{r}, earlier...)
		earlier = earlier[:min(len(earlier), Lookback)]
	}
	return out
}

func repeat(n int, v int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// Thirty days of what databases do every day are no news.
func TestQuietOnNoise(t *testing.T) {
	t.Parallel()
	nights := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		for name, next := range map[string]func(i int) (size, rows int64){
			"steady":      func(int) (int64, int64) { return 364_000 + rnd.Int64N(40_000), 4000 + rnd.Int64N(500) },
			"grows":       func(i int) (int64, int64) { g := int64(i); return 200_000 + g*9000, 2000 + g*90 },
			"purged":      func(i int) (int64, int64) { w := int64(i % 7); return 600_000 + w*30_000, 9000 + w*600 },
			"tiny":        func(int) (int64, int64) { return 4000 + rnd.Int64N(20_000), 3 + rnd.Int64N(60) },
			"queue":       func(int) (int64, int64) { return 9000 + rnd.Int64N(30_000), rnd.Int64N(19) },
			"first fills": func(i int) (int64, int64) { return 3000 + int64(min(i, 2))*900_000, int64(min(i, 2)) * 8000 },
			"huge":        func(int) (int64, int64) { return 4<<30 + rnd.Int64N(1<<30), 40_000_000 + rnd.Int64N(9_000_000) },
			"bursts":      func(int) (int64, int64) { v := rnd.Int64N(100); return 500_000 + v*v*20, 5000 + v*20 },
		} {
			sizes, rows := make([]int64, 30), make([]int64, 30)
			for i := range 30 {
				sizes[i], rows[i] = next(i)
				nights++
			}
			if got := history(sizes, rows); len(got) > 0 {
				t.Errorf("%s, seed %d: %v", name, seed, got)
			}
		}
	}
	if nights < 40_000 {
		t.Errorf("only %d nights were looked at", nights)
	}
}

// What is unusual is told once, when it begins.
func TestAnomaliesFire(t *testing.T) {
	t.Parallel()
	join := func(parts ...[]int64) (out []int64) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for name, c := range map[string]struct {
		sizes, rows []int64
		want        string
	}{
		"half lost":         {join(repeat(10, 400_000), repeat(5, 150_000)), join(repeat(10, 5000), repeat(5, 2000)), "10 size.anomaly, 10 rows.anomaly"},
		"exactly half":      {join(repeat(10, 400_000), repeat(5, 200_000)), join(repeat(10, 5000), repeat(5, 2500)), ""},
		"doubled for good":  {join(repeat(8, 400_000), repeat(15, 900_000)), repeat(23, 5000), "8 size.anomaly"},
		"one bad night":     {join(repeat(8, 400_000), repeat(1, 90_000), repeat(9, 400_000)), repeat(18, 5000), "8 size.anomaly"},
		"worse and worse":   {join(repeat(8, 400_000), repeat(1, 150_000), repeat(1, 10_000)), repeat(10, 5000), "8 size.anomaly, 9 size.anomaly"},
		"emptied":           {repeat(9, 3000), join(repeat(8, 25), repeat(1, 0)), "8 rows.anomaly"},
		"the fourth night":  {join(repeat(3, 400_000), repeat(1, 100_000)), repeat(4, 1), "3 size.anomaly"},
		"the third is soon": {join(repeat(2, 400_000), repeat(1, 100_000)), repeat(3, 1), ""},
		"grew from nothing": {join(repeat(5, 1000), repeat(1, 500_000)), join(repeat(5, 0), repeat(1, 400)), "5 size.anomaly, 5 rows.anomaly"},
		"slowly lost":       {join(repeat(7, 1000_000), []int64{800_000, 640_000, 512_000, 409_000, 327_000}), repeat(12, 5000), "10 size.anomaly"},
	} {
		if got := strings.Join(history(c.sizes, c.rows), ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	// Another compression is another scale.
	if got := history(join(repeat(8, 400_000), repeat(8, 60_000)), repeat(16, 5000), func(i int, r *backup.Result) {
		if i >= 8 {
			r.Key += ".gz"
		}
	}); len(got) > 0 {
		t.Errorf("gzip: %v", got)
	}
	// A database's own thresholds, and none.
	old := []backup.Result{{Size: 400_000, Rows: 900}, {Size: 400_000, Rows: 900}, {Size: 400_000, Rows: 900}}
	now := backup.Result{ID: "r", DatabaseName: "x", Size: 500_000, Rows: 90}
	if got := Anomalies(now, old, Thresholds{Size: 20}); len(got) != 1 || got[0].Kind != backup.EventSizeAnomaly || !strings.Contains(got[0].Message, "25% more") {
		t.Errorf("%+v", got)
	}
	if got := Anomalies(now, old, Thresholds{}); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestLong(t *testing.T) {
	t.Parallel()
	at := noon
	j := backup.Job{ID: "j", Kind: backup.JobBackup, Trigger: backup.TriggerNightly, Status: backup.JobRunning, StartedAt: &at}
	if _, ok := Long(j, noon.Add(45*time.Minute), Defaults.Long); ok {
		t.Error("45 minutes are not more than 45 minutes")
	}
	e, ok := Long(j, noon.Add(46*time.Minute), Defaults.Long)
	if !ok || e.Once != "j" || !strings.Contains(e.Message, "46 min") || !strings.Contains(e.Message, "nightly backup") {
		t.Errorf("%v %+v", ok, e)
	}
	j.Status = backup.JobCompleted
	if _, ok := Long(j, noon.Add(time.Hour), Defaults.Long); ok {
		t.Error("a job that has ended is not long")
	}
	r := backup.Result{ID: "r", JobID: "j", DatabaseName: "x", Status: backup.ResultRunning, StartedAt: &at}
	if _, ok := LongResult(r, noon.Add(11*time.Minute), 10*time.Minute); !ok {
		t.Error("a long export is not told")
	}
	if _, ok := LongResult(r, noon.Add(11*time.Hour), 0); ok {
		t.Error("never is never")
	}
}

// Thirty nights, each proven within an hour and a half of 03:00, looked at
// every minute: never stale. A missed one is, once, until the next is proven.
func TestStaleAndRecovered(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	rnd := rand.New(rand.NewPCG(1, 2))
	run := func(skip func(night int) bool) (told []string) {
		s := backup.Standing{Database: backup.Database{ID: "d", Name: "groveauth", Objective: backup.DefaultObjective, FirstSeenAt: begin.Add(-time.Hour)}}
		once := map[string]backup.Event{}
		recovered := map[string]bool{}
		proof := time.Duration(0)
		for m := range 30 * 24 * 60 {
			now := begin.Add(time.Duration(m) * time.Minute)
			night, minute := m/(24*60), m%(24*60)
			if minute == 0 {
				proof = time.Duration(rnd.IntN(90)) * time.Minute
			}
			if !skip(night) && time.Duration(minute)*time.Minute == proof {
				s.Proven = &backup.Copy{ID: fmt.Sprint("copy ", night), TakenAt: now.Add(-time.Duration(rnd.IntN(5)) * time.Minute)}
			}
			if e, ok := Stale(s, now); ok && once[e.Once].Kind == "" {
				once[e.Once] = e
				told = append(told, fmt.Sprintf("%d %s", night, e.Kind))
			}
			for _, e := range once {
				if r, ok := Recovered(e, s, now); ok && !recovered[r.Once] {
					recovered[r.Once] = true
					told = append(told, fmt.Sprintf("%d %s", night, r.Kind))
				}
			}
		}
		return told
	}
	if got := run(func(int) bool { return false }); len(got) > 0 {
		t.Errorf("ordinary nights: %v", got)
	}
	if got := strings.Join(run(func(n int) bool { return n == 10 || n == 20 || n == 21 || n == 22 }), ", "); got != "10 stale, 11 recovered, 20 stale, 23 recovered" {
		t.Errorf("missed nights: %s", got)
	}
	if got := strings.Join(run(func(n int) bool { return n < 3 }), ", "); got != "1 stale, 3 recovered" {
		t.Errorf("the first nights: %s", got)
	}
	old := backup.Standing{Database: backup.Database{Objective: time.Hour, FirstSeenAt: begin}}
	gone := begin
	for what, change := range map[string]func(*backup.Database){
		"paused": func(d *backup.Database) { d.Paused = true }, "gone": func(d *backup.Database) { d.GoneAt = &gone },
	} {
		s := old
		change(&s.Database)
		if _, ok := Stale(s, noon); ok {
			t.Errorf("%s is told", what)
		}
	}
	if _, ok := Stale(old, noon); !ok {
		t.Error("a database without any copy is never stale")
	}
}

// A storm of 30 failures, however it is spread over an hour, is at most three
// messages; and nothing of it is left untold.
func TestStormIsThreeMessages(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, over := range []time.Duration{0, time.Second, time.Minute, 4 * time.Minute, 20 * time.Minute, 59 * time.Minute} {
		at := make([]time.Duration, 30)
		for i := range at {
			if over > 0 {
				at[i] = time.Duration(rnd.Int64N(int64(over)))
			}
		}
		var sent []time.Time
		told, waiting := 0, 0
		for s := time.Duration(0); s < 2*time.Hour; s += time.Second {
			now := noon.Add(s)
			for _, a := range at {
				if a.Truncate(time.Second) == s {
					waiting++
				}
			}
			if waiting > 0 && !Due(sent, now).After(now) {
				sent, told, waiting = append(sent, now), told+waiting, 0
			}
		}
		inHour := 0
		for _, a := range sent {
			if a.Sub(sent[0]) < time.Hour {
				inHour++
			}
		}
		if told != 30 || inHour > 3 || len(sent) > 4 || over < 20*time.Minute && len(sent) > 3 {
			t.Errorf("over %v: %d failures were told in %d messages, %d of them within an hour", over, told, len(sent), inHour)
		}
	}
	if got := Due([]time.Time{noon.Add(24 * time.Hour)}, noon); got.After(noon) {
		t.Errorf("a clock that had jumped ahead holds up alerts until %v", got)
	}
}

func TestWishesAndMutes(t *testing.T) {
	t.Parallel()
	for kind, want := range map[backup.EventKind]string{
		backup.EventJobFailed: "failure", backup.EventJobSucceeded: "success", backup.EventSummary: "summary", backup.EventStale: "failure",
		backup.EventRecovered: "failure", backup.EventDatabaseNew: "failure", backup.EventRestoreFinished: "failure",
	} {
		e := backup.Event{Kind: kind}
		got := map[bool]string{true: "failure"}[Wishes{Failure: true}.Wants(e)] + map[bool]string{true: "success"}[Wishes{Success: true}.Wants(e)] +
			map[bool]string{true: "summary"}[Wishes{Summary: true}.Wants(e)]
		if got != want {
			t.Errorf("%s is wanted by those who want %q", kind, got)
		}
	}
	mutes := []Mute{{DatabaseID: "a", Until: noon.Add(time.Hour)}}
	for _, c := range []struct {
		db   string
		at   time.Time
		want bool
	}{{"a", noon, true}, {"a", noon.Add(time.Hour), false}, {"b", noon, false}, {"", noon, false}} {
		if got := Muted(mutes, c.db, c.at); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if !Muted([]Mute{{Until: noon.Add(1)}}, "b", noon) || !Muted([]Mute{{Until: noon.Add(1)}}, "", noon) {
		t.Error("a mute of all covers not all")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	tries, waited := 0, time.Duration(0)
	for waited < time.Hour {
		tries++
		waited += Backoff(tries, 0)
	}
	if tries < 6 || tries > 12 {
		t.Errorf("%d tries in an hour", tries)
	}
	if got := Backoff(1, 7*time.Minute); got != 7*time.Minute {
		t.Errorf("a receiver that asks for 7 minutes gets %v", got)
	}
	if got := Backoff(1, 100*time.Hour); got != longestAsked {
		t.Errorf("a receiver that asks for 100 hours gets %v", got)
	}
	if got := Backoff(30, time.Second); got != time.Hour {
		t.Errorf("the thirtieth wait is %v", got)
	}
}

func TestWordsOfEvents(t *testing.T) {
	t.Parallel()
	j := backup.Job{ID: "j", Kind: backup.JobBackup, Trigger: backup.TriggerNightly, Totals: backup.Totals{Databases: 6, Succeeded: 5, Failed: 1, Bytes: 1 << 20, Rows: 1204}}
	for status, want := range map[backup.JobStatus][2]string{
		backup.JobCompleted: {"job.succeeded", "The nightly backup run stored 5 databases: 1.0 MiB, 1,204 rows."},
		backup.JobPartial:   {"job.failed", "The nightly backup run stored a part: why. The others were stored, and earlier copies are untouched."},
		backup.JobFailed:    {"job.failed", "The nightly backup run failed: why. Earlier copies are untouched."},
		backup.JobCancelled: {"job.failed", "The nightly backup run was cancelled: why. 5 of 6 databases stored; earlier copies are untouched."},
	} {
		j.Status = status
		if e := JobEnded(j, "why"); string(e.Kind) != want[0] || e.Message != want[1] || e.Once != "j" {
			t.Errorf("%s: %+v", status, e)
		}
	}
	e := Missed("nightly", []time.Time{noon.Add(-48 * time.Hour), noon})
	if !strings.Contains(e.Message, "2 nightly runs were missed, from 2026-11-22 12:00 to 2026-11-24 12:00 UTC") {
		t.Error(e.Message)
	}
}
