// Package overview answers the first question at 3 a.m.: is everything safe?
// It serves / and /status: the verdict in words with its evidence, what needs
// attention, the schedule, and a row a database.
//
// It reads the store and starts nothing; all it changes is that retention may go
// on after a rebuild.
package overview

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// maxRows is how many databases the overview lists; the rest are a click away.
const maxRows = 200

// facts is what the overview is made of.
type facts struct {
	Standings []backup.Standing
	Active    *backup.Job
	Results   []backup.Result // of the active job
	Completed *backup.Job     // the last that completed in full
	Ended     *backup.Job     // the last that ended in any way
	Drill     *backup.Drill   // the last that passed or failed; nil for none
	Nightly   time.Time       // the next; zero when there is none
	Weekly    time.Time
	Workers   int    // processes alive that run jobs
	Frozen    string // why retention deletes nothing, for admins; "" where it goes on
	Now       time.Time
}

// next is the next scheduled run, zero when there is none.
func (f facts) next() time.Time {
	switch {
	case f.Nightly.IsZero():
		return f.Weekly
	case f.Weekly.IsZero() || f.Nightly.Before(f.Weekly):
		return f.Nightly
	}
	return f.Weekly
}

// model is what the page shows.
type model struct {
	Frozen    string
	Verdict   []phrase
	State     ui.StateWord
	Attention []item
	Strip     []panel
	Rows      []row
	Hidden    int // databases that are not listed
	Operator  bool
	Loader    bool
	Admin     bool
	Live      bool // a job is open: look again soon
}

// phrase is a piece of the verdict, with the evidence for it.
type phrase struct{ Text, Href string }

type item struct {
	Mark       ui.Mark
	Name, Href string
	Text       string
}

type panel struct {
	Title  string
	Moment ui.Moment
	Text   string
	Href   string
	Mark   *ui.Mark
}

type row struct {
	Name, Href   string
	Handle       string // what the form sends
	Description  string
	Mark         ui.Mark
	Note         string // "paused", "running: 1,204 rows"
	Copy         ui.Moment
	Objective    string
	Size, Rows   string
	Download     string // "" where there is nothing to download
	Restore      string // "" where there is nothing to restore
	RunningJob   string // the job that has it; "" for none
	CanBeStarted bool
}

func view(f facts, who ui.Who) model {
	m := model{Frozen: f.Frozen, Operator: who.Operator, Loader: who.Downloader, Admin: who.Admin, Live: f.Active != nil}
	m.Verdict, m.State = verdict(f)
	standings := slices.Clone(f.Standings)
	slices.SortStableFunc(standings, func(a, b backup.Standing) int {
		as, _ := ui.StateOf(a, f.Now)
		bs, _ := ui.StateOf(b, f.Now)
		return cmp.Or(as.Compare(bs), cmp.Compare(a.Database.Priority.Rank(), b.Database.Priority.Rank()), strings.Compare(a.Database.Name, b.Database.Name))
	})
	for i, s := range standings {
		state, why := ui.StateOf(s, f.Now)
		name, href := ui.Name(s.Database.Name), "/databases/"+ui.Ref(s.Database.Name, s.Database.ID)
		if why != "" && (state == ui.Failed || state == ui.Attention) && len(m.Attention) < 20 {
			m.Attention = append(m.Attention, item{ui.DatabaseMark(state), name, href, why})
		}
		if i >= maxRows {
			m.Hidden++
			continue
		}
		m.Rows = append(m.Rows, rowOf(s, state, name, href, f.Now))
	}
	m.Strip = strip(f)
	return m
}

func rowOf(s backup.Standing, state ui.StateWord, name, href string, now time.Time) row {
	r := row{
		Name: name, Href: href, Handle: ui.Handle(s.Database.Name, s.Database.ID), Description: ui.Name(s.Database.Description), Mark: ui.DatabaseMark(state),
		Copy: ui.Moment{Word: "none yet"}, Size: "–", Rows: "–",
		CanBeStarted: s.Open == nil && s.Database.GoneAt == nil,
	}
	if s.Newest != nil {
		r.Copy = ui.Ago(s.Newest.TakenAt, now)
		r.Size, r.Rows = ui.Bytes(s.Newest.Size), ui.Count(s.Newest.Rows)
		r.Download = "/download/" + s.Newest.Date.String() + "/" + ui.Ref(s.Newest.DatabaseName, s.Newest.DatabaseID) + "?backup=" + s.Newest.ID
		r.Restore = "/backups/" + s.Newest.ID + "/restore"
	}
	if s.Database.Objective > 0 {
		r.Objective = "at most " + ui.Span(s.Database.Objective)
	}
	switch {
	case s.Open != nil && s.Open.Status == backup.ResultRunning:
		r.RunningJob, r.Note = s.Open.JobID, "running, "+ui.Plural(s.Open.Progress.Rows, "row", "rows")
	case s.Open != nil:
		r.RunningJob, r.Note = s.Open.JobID, "queued"
	case s.Database.Paused:
		r.Note = "paused"
	case s.Database.GoneAt != nil:
		r.Note = "gone from the account"
	}
	return r
}

// counts gives how many databases there are in each state.
func counts(f facts) map[ui.StateWord]int {
	n := map[ui.StateWord]int{}
	for _, s := range f.Standings {
		state, _ := ui.StateOf(s, f.Now)
		n[state]++
	}
	return n
}

// verdict says in words whether everything is safe, and never more than is
// known.
func verdict(f facts) ([]phrase, ui.StateWord) {
	var present, fresh, proven int
	var oldest time.Duration
	var objectives []time.Duration
	worst := ui.Proven
	for _, s := range f.Standings {
		if s.Database.GoneAt != nil {
			continue
		}
		present++
		objectives = append(objectives, s.Database.Objective)
		state, _ := ui.StateOf(s, f.Now)
		if state.Compare(worst) < 0 {
			worst = state
		}
		if s.Newest == nil {
			continue
		}
		age := f.Now.Sub(s.Newest.TakenAt)
		oldest = max(oldest, age)
		if s.Database.Objective <= 0 || age <= s.Database.Objective {
			fresh++
		}
		if state == ui.Proven {
			proven++
		}
	}
	if present == 0 {
		return []phrase{{"Unknown: no database is registered yet.", "/databases"}}, ui.Unknown
	}
	v := []phrase{{coverage(present, fresh, objectives), "/list"}}
	switch {
	case fresh == 0 && oldest == 0:
	case proven == 0 && present == 1:
		v = append(v, phrase{"It is not proven to restore yet.", "/databases"})
	case proven == 0:
		v = append(v, phrase{"None is proven to restore yet.", "/databases"})
	case proven == 1 && present == 1:
		v = append(v, phrase{"It is proven to restore.", "/databases"})
	case proven == present:
		v = append(v, phrase{"All of them are proven to restore.", "/databases"})
	default:
		v = append(v, phrase{strconv.Itoa(proven) + " of them " + plural(proven, "is", "are") + " proven to restore.", "/databases"})
	}
	if oldest > 0 {
		v = append(v, phrase{"Oldest newest copy: " + ui.Span(oldest) + ".", "/databases"})
	}
	if d := f.Drill; d != nil && d.EndedAt != nil {
		v = append(v, phrase{"Last drill " + string(d.Verdict) + " " + ui.Ago(*d.EndedAt, f.Now).Word + ".", "/drills/" + d.ID})
		if d.Verdict == backup.DrillFailed && worst.Compare(ui.Attention) > 0 {
			worst = ui.Attention
		}
	}
	switch next := f.next(); {
	case f.Workers == 0:
		v = append(v, phrase{"Nothing is running that would make the next backup.", "/jobs"})
		if worst.Compare(ui.Attention) > 0 {
			worst = ui.Attention
		}
	case f.Active != nil:
		v = append(v, phrase{"A backup is " + string(f.Active.Status) + ".", "/jobs/" + f.Active.ID})
	case !next.IsZero():
		v = append(v, phrase{"Next run " + ui.In(next, f.Now).Word + ".", "/jobs"})
	}
	return v, worst
}

// coverage says how many databases have a copy as recent as it should be.
func coverage(present, fresh int, objectives []time.Duration) string {
	within := "as recent as it should be"
	if slices.Min(objectives) == slices.Max(objectives) {
		within = "from the last " + ui.Span(objectives[0])
	}
	switch {
	case fresh == 0 && present == 1:
		return "The one database has no stored copy " + within + "."
	case fresh == 0:
		return "None of the " + ui.Plural(int64(present), "database", "databases") + " has a stored copy " + within + "."
	case present == 1:
		return "The one database has a stored copy " + within + "."
	case fresh == present:
		return "All " + strconv.Itoa(present) + " databases have a stored copy " + within + "."
	}
	return strconv.Itoa(fresh) + " of " + strconv.Itoa(present) + " databases " + plural(fresh, "has", "have") + " a stored copy " + within + "."
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// strip is the schedule: last, running, next.
func strip(f facts) []panel {
	last := panel{Title: "Last", Moment: ui.Moment{Word: "nothing has run yet"}}
	if f.Ended != nil && f.Ended.CompletedAt != nil {
		mark := ui.JobMark(f.Ended.Status)
		last.Moment, last.Href, last.Mark = ui.Ago(*f.Ended.CompletedAt, f.Now), "/jobs/"+f.Ended.ID, &mark
		last.Text = string(f.Ended.Trigger) + ", " + strconv.Itoa(f.Ended.Totals.Succeeded) + " of " + strconv.Itoa(f.Ended.Totals.Databases) + " stored"
	}
	running := panel{Title: "Running", Moment: ui.Moment{Word: "nothing"}}
	if f.Active != nil {
		mark := ui.JobMark(f.Active.Status)
		t := ui.TotalsOf(*f.Active, f.Results)
		running.Moment, running.Href, running.Mark = ui.Moment{Word: string(f.Active.Trigger) + " backup"}, "/jobs/"+f.Active.ID, &mark
		running.Text = strconv.Itoa(t.Succeeded+t.Failed+t.Skipped) + " of " + strconv.Itoa(t.Databases) + " done, " + ui.Plural(t.Rows, "row", "rows")
	}
	next := panel{Title: "Next", Moment: ui.Moment{Word: "nothing is scheduled"}}
	if at := f.next(); !at.IsZero() {
		next.Moment, next.Text = ui.In(at, f.Now), "nightly, "+ui.Clock(at).Word
		if at.Equal(f.Weekly) && !at.Equal(f.Nightly) {
			next.Text = "weekly, " + ui.Clock(at).Word
		}
	}
	return []panel{last, running, next}
}
