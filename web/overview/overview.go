package overview

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// alive is how long after its last heartbeat, which comes every 15 s by
// Postgres's clock, a worker counts as running.
const alive = 2 * time.Minute

// goneFor is how long a database that is gone from the account is still spoken
// of here; its copies are listed as long as they stay.
const goneFor = 14 * 24 * time.Hour

// Handler serves the section. Nightly and Weekly give the first due time after
// another; nil where nothing is scheduled.
type Handler struct {
	Store           *store.Store
	Auth            *auth.Service
	Version         string
	Nightly, Weekly func(after time.Time) time.Time
	Clock           func() time.Time

	fresh store.Fresh[choice, facts]
}

// rendered is the content of the page as those see it who have the same rights,
// for as long as the facts are kept that it is made of.
type rendered struct {
	mu    sync.Mutex
	parts map[ui.Who]string
	live  bool
}

// of gives the content for somebody.
func (r *rendered) of(ctx context.Context, f facts, who ui.Who) (html string, live bool, err error) {
	who.Name = "" // it says nothing of whoever looks
	r.mu.Lock()
	defer r.mu.Unlock()
	if html, ok := r.parts[who]; ok {
		return html, r.live, nil
	}
	m := view(f, who)
	var b strings.Builder
	if err := part(m).Render(ctx, &b); err != nil {
		return "", false, err
	}
	if r.parts == nil {
		r.parts = map[ui.Who]string{}
	}
	r.parts[who], r.live = b.String(), m.Live
	return b.String(), m.Live, nil
}

// choice is what of the databases is asked for; all of it is in the address.
type choice struct {
	Name   string              // part of the name
	State  ui.StateWord        // "" for any
	Order  store.StandingOrder // of the rows
	Data   bool                // for a program, which gets no drawings
	Limit  int
	Cursor string
}

// shown is how many databases a page lists, sent how many a program gets.
const (
	shown = 50
	sent  = 500
)

func choiceOf(q url.Values, order store.StandingOrder, limit int) (choice, error) {
	ch := choice{Name: q.Get("name"), State: ui.StateWord(q.Get("state")), Order: order, Limit: limit, Cursor: q.Get("cursor")}
	if s := q.Get("sort"); s != "" {
		ch.Order = store.StandingOrder(s)
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > sent {
			return ch, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to %d", sent)
		}
		ch.Limit = n
	}
	return ch, ui.CheckText(ch.Name, string(ch.State))
}

// Home is GET /.
func (h *Handler) Home(c echo.Context) error {
	ch, err := choiceOf(c.QueryParams(), store.ByUrgency, shown)
	if err != nil {
		return err
	}
	ch.Data = ui.FaceOf(c.Request()) == ui.JSON
	f, err := h.load(c.Request().Context(), auth.Of(c), ch)
	if err != nil {
		return err
	}
	return h.write(c, f, h.service(f))
}

// Status is GET /status: as a page the overview, which is told to programs by
// name.
func (h *Handler) Status(c echo.Context) error {
	order, limit := store.ByName, sent
	if ui.FaceOf(c.Request()) != ui.JSON {
		order, limit = store.ByUrgency, shown
	}
	ch, err := choiceOf(c.QueryParams(), order, limit)
	if err != nil {
		return err
	}
	ch.Data = ui.FaceOf(c.Request()) == ui.JSON
	f, err := h.load(c.Request().Context(), auth.Of(c), ch)
	if err != nil {
		return err
	}
	return h.write(c, f, statusOf(f))
}

func (h *Handler) write(c echo.Context, f facts, json any) error {
	if ui.FaceOf(c.Request()) == ui.JSON {
		return ui.Write(c, ui.Answer{JSON: json})
	}
	html, live, err := f.rendered.of(c.Request().Context(), f, auth.Of(c).Who())
	if err != nil {
		return err
	}
	p := auth.Chrome(c, "Overview", "overview")
	if live {
		p.Refresh = 5
	}
	return ui.Write(c, ui.Answer{Page: page(p, templ.Raw(html)), Part: templ.Raw(html)})
}

// load gathers the facts that whoever asks may see. Those of whoever sees every
// database are kept while nothing is written in Postgres, a second at most.
func (h *Handler) load(ctx context.Context, who *auth.Actor, ch choice) (facts, error) {
	now := h.Clock()
	var f facts
	var err error
	if who.Databases != nil {
		f, err = h.read(ctx, h.Store, who.Databases, ch, now)
	} else {
		f, err = h.fresh.Get(ctx, h.Store, ch, now, func(s *store.Store) (facts, error) { return h.read(ctx, s, nil, ch, now) })
	}
	if !who.May(auth.Admin) {
		f.Frozen = ""
	}
	return f, err
}

// read reads the facts about these databases, by UUID; about all when nil.
func (h *Handler) read(ctx context.Context, s *store.Store, ids []string, ch choice, now time.Time) (facts, error) {
	f := facts{Now: now, Choice: ch, rendered: &rendered{}}
	all := store.StandingFilter{Now: now, IDs: ids, GoneSince: now.Add(-goneFor)}
	var err error
	if f.Sums, err = s.StandingSums(ctx, all); err != nil {
		return f, err
	}
	some := all
	if some.Name, some.Order, some.Limit, some.Cursor = ch.Name, ch.Order, ch.Limit, ch.Cursor; ch.State != "" {
		some.States = []string{string(ch.State)}
	}
	if f.Standings, f.Next, err = s.StandingPage(ctx, some); err != nil {
		return f, err
	}
	if f, err = readJobs(ctx, s, ids, f); err != nil {
		return f, err
	}
	if f, err = h.readRest(ctx, s, f); err != nil || ch.Data {
		return f, err
	}
	worst := all
	worst.States, worst.Limit = []string{string(ui.Failed), string(ui.Attention), string(ui.Unknown)}, mostAttention
	if f.Worst, _, err = s.StandingPage(ctx, worst); err != nil {
		return f, err
	}
	listed := make([]string, len(f.Standings))
	for i, st := range f.Standings {
		listed[i] = st.Database.ID
	}
	f.Days, err = s.Days(ctx, listed, ui.StripFrom(now))
	return f, err
}

// readRest adds who works, what is held, and what comes next.
func (h *Handler) readRest(ctx context.Context, s *store.Store, f facts) (facts, error) {
	var err error
	if f.Workers, f.Beat, err = workers(ctx, s, f.Now); err != nil {
		return f, err
	}
	f.Frozen, _, err = s.RetentionFrozen(ctx)
	if errors.Is(err, backup.ErrCorrupt) {
		f.Frozen = "Why retention is frozen cannot be read."
	} else if err != nil {
		return f, err
	}
	if h.Nightly != nil {
		f.Nightly = h.Nightly(f.Now)
	}
	if h.Weekly != nil {
		f.Weekly = h.Weekly(f.Now)
	}
	return f, nil
}

// readJobs adds what runs and what ran. Of databases that are not among ids it
// tells nothing.
func readJobs(ctx context.Context, s *store.Store, ids []string, f facts) (facts, error) {
	var err error
	if f.Active, err = s.ActiveJob(ctx); err != nil {
		return f, err
	}
	if f.Active != nil {
		of := store.ResultFilter{JobID: f.Active.ID, DatabaseIDs: ids}
		if f.Active.Totals, err = s.ResultSums(ctx, of); err != nil {
			return f, err
		}
		of.Limit, of.Urgent = sent, f.Active.Totals.Databases > sent
		if f.Results, f.ResultsNext, err = s.ResultPage(ctx, of); err != nil {
			return f, err
		}
		if ids != nil && f.Active.Totals.Databases == 0 {
			f.Active = nil
		}
	}
	if f.Completed, err = s.LastCompletedJob(ctx); err != nil || ids != nil {
		return f, err
	}
	ended, _, err := s.Jobs(ctx, store.JobFilter{
		Kind: backup.JobBackup, Limit: 1,
		Status: []backup.JobStatus{backup.JobCompleted, backup.JobPartial, backup.JobFailed, backup.JobCancelled},
	})
	if err != nil {
		return f, err
	}
	if len(ended) == 1 {
		f.Ended = &ended[0]
	}
	f.Drill, err = s.LastDrill(ctx)
	return f, err
}

// workers counts the processes that run jobs and have been heard of lately, and
// says when the last of all was.
func workers(ctx context.Context, s *store.Store, now time.Time) (n int, last time.Time, err error) {
	processes, err := s.Processes(ctx)
	for _, p := range processes {
		if now.Sub(p.HeartbeatAt) < alive {
			n++
		}
		if p.HeartbeatAt.After(last) {
			last = p.HeartbeatAt
		}
	}
	return n, last, err
}

// service is GET / as programs get it.
type service struct {
	Service string            `json:"service"`
	Version string            `json:"version"`
	Health  ui.StateWord      `json:"health"`
	Verdict string            `json:"verdict"`
	Next    *time.Time        `json:"next_scheduled_at"`
	Workers int               `json:"workers"`
	Counts  map[string]int    `json:"counts"`
	Links   map[string]string `json:"links"`
	Frozen  string            `json:"retention_frozen,omitempty"` // for admins: why
}

func (h *Handler) service(f facts) service {
	s := service{
		Service: "patina", Version: h.Version, Next: timeOf(f.next()), Workers: f.Workers,
		Counts: map[string]int{}, Frozen: f.Frozen,
		Links: map[string]string{"status": "/status", "list": "/list", "databases": "/databases", "jobs": "/jobs", "drills": "/drills", "openapi": "/openapi.json"},
	}
	var phrases []phrase
	phrases, s.Health = verdict(f)
	for i, p := range phrases {
		if i > 0 {
			s.Verdict += " "
		}
		s.Verdict += p.Text
	}
	for state, n := range f.Sums.States {
		s.Counts[state] = n
		s.Counts["databases"] += n
	}
	return s
}

// status is GET /status as programs get it.
type status struct {
	Active        *ui.Job        `json:"active_job"`
	LastCompleted *time.Time     `json:"last_completed_at"`
	Next          *time.Time     `json:"next_scheduled_at"`
	NextNightly   *time.Time     `json:"next_nightly_at"`
	NextWeekly    *time.Time     `json:"next_weekly_at"`
	Workers       int            `json:"workers"`
	Counts        map[string]int `json:"counts"` // of all databases, by state
	Databases     []freshness    `json:"databases"`
	NextCursor    string         `json:"next_cursor"` // of the databases
}

type freshness struct {
	Name        string          `json:"name"`
	ID          string          `json:"id"`
	Priority    backup.Priority `json:"priority"`
	Paused      bool            `json:"paused"`
	LastSuccess *time.Time      `json:"last_success_at"`
	LastProven  *time.Time      `json:"last_proven_at"`
	AgeSeconds  *int64          `json:"age_seconds"` // of the newest copy; null while there is none
	State       ui.StateWord    `json:"state"`
	Reason      string          `json:"reason,omitempty"`
}

func statusOf(f facts) status {
	s := status{
		Next: timeOf(f.next()), NextNightly: timeOf(f.Nightly), NextWeekly: timeOf(f.Weekly), Workers: f.Workers,
		Counts: f.Sums.States, Databases: make([]freshness, 0, len(f.Standings)), NextCursor: f.Next,
	}
	if f.Active != nil {
		job := ui.JobOf(*f.Active, f.Results, nil, f.Now)
		job.NextCursor = f.ResultsNext
		s.Active = &job
	}
	if f.Completed != nil {
		s.LastCompleted = f.Completed.CompletedAt
	}
	for _, st := range f.Standings {
		d := freshness{Name: st.Database.Name, ID: st.Database.ID, Priority: st.Database.Priority, Paused: st.Database.Paused}
		d.State, d.Reason = ui.StateOf(st, f.Now)
		if st.Newest != nil {
			age := int64(f.Now.Sub(st.Newest.TakenAt) / time.Second)
			d.LastSuccess, d.AgeSeconds = &st.Newest.TakenAt, &age
		}
		if st.Proven != nil {
			d.LastProven = &st.Proven.TakenAt
		}
		s.Databases = append(s.Databases, d)
	}
	return s
}

// timeOf gives nil for no time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
