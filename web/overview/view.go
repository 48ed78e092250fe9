// Package overview answers the first question at 3 a.m.: is everything safe?
// It serves / and /status: the verdict in words with its evidence, what needs
// attention, the schedule, and a row a database.
//
// It reads the store and starts nothing; all it changes is that retention may go
// on after a rebuild.
package overview

import (
	"net/url"
	"strconv"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// mostAttention is how many databases are told to need attention; the rows below
// begin with them and go on.
const mostAttention = 20

// facts is what the overview is made of.
type facts struct {
	Choice    choice
	Sums      store.StandingSums      // of all databases
	Standings []backup.Standing       // one page of those that were asked for, in their order
	Next      string                  // cursor of the page after; "" for none
	Days      map[string][]backup.Day // of the databases that are listed, by UUID
	Worst     []backup.Standing       // those that need attention, the most urgent first
	Active    *backup.Job             // with the totals of its results so far
	Results   []backup.Result         // of the active job; not all where there are many

	ResultsNext string

	rendered  *rendered
	Completed *backup.Job   // the last that completed in full
	Ended     *backup.Job   // the last that ended in any way
	Drill     *backup.Drill // the last that passed or failed; nil for none
	Nightly   time.Time     // the next; zero when there is none
	Weekly    time.Time
	Workers   int       // processes alive that run jobs
	Beat      time.Time // when the last of all was heard of; zero for never
	Frozen    string    // why retention deletes nothing, for admins; "" where it goes on
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
	Legend    []ui.Mark // of the strips
	Choice    choice
	States    []string
	Orders    []string
	Many      bool   // there are more databases than a look takes in
	Filtered  bool   // only some were asked for
	First     bool   // the page is the first
	Here      string // the address of the page, with what was asked for
	Begin     string // of the first page of it
	NextHref  string // of the page after; "" for none
	Operator  bool
	Loader    bool
	Admin     bool
	Live      bool // a job is open: look again soon
}

// every says how often the page asks for itself.
func (m model) every() string {
	if m.Live {
		return "every 3s"
	}
	return "every 60s"
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
	Of           string  // what its age is held against
	Share        float64 // of the objective that its age has used up; 0 where there is none
	Newer        string  // what is known of a copy that is newer and not proven; "" for none
	Size         string
	Sizes        []float64
	SizeWords    string
	Days         []ui.Day
	Trouble      string // of those days
	Download     string // "" where there is nothing to download
	Restore      string // "" where there is nothing to restore
	RunningJob   string // the job that has it; "" for none
	CanBeStarted bool
}

func view(f facts, who ui.Who) model {
	m := model{Frozen: f.Frozen, Operator: who.Operator, Loader: who.Downloader, Admin: who.Admin, Live: f.Active != nil}
	m.Verdict, m.State = verdict(f)
	for _, s := range f.Worst {
		state, why := ui.StateOf(s, f.Now)
		if why != "" {
			m.Attention = append(m.Attention, item{ui.DatabaseMark(state), ui.Name(s.Database.Name), "/databases/" + ui.Ref(s.Database.Name, s.Database.ID), why})
		}
	}
	for _, s := range f.Standings {
		state, _ := ui.StateOf(s, f.Now)
		m.Rows = append(m.Rows, rowOf(s, f.Days[s.Database.ID], state, ui.Name(s.Database.Name), "/databases/"+ui.Ref(s.Database.Name, s.Database.ID), f))
	}
	m.choose(f)
	var days []ui.Day
	for _, r := range m.Rows {
		days = append(days, r.Days...)
	}
	m.Legend = ui.Legend(days)
	m.Strip = strip(f)
	return m
}

// choose words what was asked for, and where the rest is.
func (m *model) choose(f facts) {
	ch := f.Choice
	m.Choice, m.First = ch, ch.Cursor == ""
	m.States = []string{"failed", "attention", "unknown", "stored", "proven"}
	m.Orders = []string{string(store.ByUrgency), string(store.ByName), string(store.ByAge), string(store.BySize), string(store.ByRank)}
	m.Filtered = ch.Name != "" || ch.State != ""
	m.Many = f.Next != "" || m.Filtered || !m.First || len(m.Rows) > 10
	v := url.Values{}
	for key, value := range map[string]string{"name": ch.Name, "state": string(ch.State)} {
		if value != "" {
			v.Set(key, value)
		}
	}
	if ch.Order != store.ByUrgency && ch.Order != "" {
		v.Set("sort", string(ch.Order))
	}
	if ch.Limit != shown && ch.Limit != 0 {
		v.Set("limit", strconv.Itoa(ch.Limit))
	}
	address := func() string {
		if len(v) == 0 {
			return "/"
		}
		return "/?" + v.Encode()
	}
	m.Begin = address()
	if f.Next != "" {
		v.Set("cursor", f.Next)
		m.NextHref = address()
	}
	if v.Del("cursor"); ch.Cursor != "" {
		v.Set("cursor", ch.Cursor)
	}
	m.Here = address()
}

func rowOf(s backup.Standing, days []backup.Day, state ui.StateWord, name, href string, f facts) row {
	r := row{
		Name: name, Href: href, Handle: ui.Handle(s.Database.Name, s.Database.ID), Description: ui.Name(s.Database.Description), Mark: ui.DatabaseMark(state),
		Copy: ui.Moment{Word: "none yet"}, Size: "–", Sizes: ui.SizesOf(days, f.Now), Days: ui.DaysOf(s, days, !f.Nightly.IsZero(), f.Now),
		CanBeStarted: s.Open == nil && s.Database.GoneAt == nil,
	}
	r.SizeWords, r.Trouble = ui.SparkWords("Size over 30 days", r.Sizes, ui.InBytes), ui.Trouble(r.Days)
	// What is handed out is what is known to restore; only where nothing is, what is stored.
	best := s.Proven
	switch {
	case best != nil && s.Newest != nil && s.Newest.TakenAt.After(best.TakenAt):
		r.Newer = "a newer one, " + ui.Ago(s.Newest.TakenAt, f.Now).Word + ", is not proven"
	case best == nil && s.Newest != nil:
		best, r.Newer = s.Newest, "stored, not proven"
	}
	if best != nil {
		age := f.Now.Sub(best.TakenAt)
		r.Copy = ui.Ago(best.TakenAt, f.Now)
		r.Size = ui.Bytes(best.Size)
		r.Download = "/download/" + best.Date.String() + "/" + ui.Ref(best.DatabaseName, best.DatabaseID) + "?backup=" + best.ID
		r.Restore = "/backups/" + best.ID + "/restore"
		if s.Database.Objective > 0 && s.Database.GoneAt == nil {
			r.Share = float64(age) / float64(s.Database.Objective)
			r.Of = "of at most " + ui.Span(s.Database.Objective)
		}
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

// verdict says in words whether everything is safe, and never more than is
// known.
func verdict(f facts) ([]phrase, ui.StateWord) {
	present, fresh, proven := f.Sums.Present, f.Sums.Fresh, f.Sums.Proven
	var oldest time.Duration
	if !f.Sums.Oldest.IsZero() {
		oldest = f.Now.Sub(f.Sums.Oldest)
	}
	worst := ui.Proven
	for state, n := range f.Sums.Of {
		if n > 0 && ui.StateWord(state).Compare(worst) < 0 {
			worst = ui.StateWord(state)
		}
	}
	if present == 0 {
		return []phrase{{"Unknown: no database is registered yet.", "/databases"}}, ui.Unknown
	}
	v := []phrase{{coverage(f.Sums), "/list"}}
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
	case f.Workers == 0: // it was said
	case f.Active != nil:
		v = append(v, phrase{"A backup is " + string(f.Active.Status) + ".", "/jobs/" + f.Active.ID})
	case !next.IsZero():
		v = append(v, phrase{"Next run " + ui.In(next, f.Now).Word + ".", "/jobs"})
	}
	if stale := staleness(f); stale != "" {
		// What was good then may be so no longer; what was bad then still is.
		v = append([]phrase{{"Unknown: " + stale, "/jobs"}}, v...)
		if worst.Compare(ui.Unknown) > 0 {
			worst = ui.Unknown
		}
	}
	return v, worst
}

// lookedFor is how old the last look at the account, which comes daily, may be.
const lookedFor = 50 * time.Hour

// staleness says why what is known may be so no longer; "" where it is fresh.
func staleness(f facts) string {
	if f.Workers == 0 {
		if f.Beat.IsZero() {
			return "nothing is running that would make the next backup, and what follows may be old."
		}
		return "nothing that would make the next backup has been heard of for " + ui.Span(f.Now.Sub(f.Beat)) + "; what follows is as it was then."
	}
	looked := f.Sums.LastSeen
	if !looked.IsZero() && f.Now.Sub(looked) > lookedFor {
		return "the account was last looked through " + ui.Ago(looked, f.Now).Word + "; there may be databases that nobody backs up."
	}
	return ""
}

// coverage says how many databases have a copy as recent as it should be.
func coverage(sums store.StandingSums) string {
	present, fresh := sums.Present, sums.Fresh
	within := "as recent as it should be"
	if sums.MinObjective == sums.MaxObjective {
		within = "from the last " + ui.Span(sums.MinObjective)
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
		t := f.Active.Totals
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
