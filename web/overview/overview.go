package overview

import (
	"context"
	"errors"
	"slices"
	"time"

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
}

// Home is GET /.
func (h *Handler) Home(c echo.Context) error {
	f, err := h.load(c.Request().Context(), auth.Of(c))
	if err != nil {
		return err
	}
	return h.write(c, f, h.service(f))
}

// Status is GET /status.
func (h *Handler) Status(c echo.Context) error {
	f, err := h.load(c.Request().Context(), auth.Of(c))
	if err != nil {
		return err
	}
	return h.write(c, f, statusOf(f))
}

func (h *Handler) write(c echo.Context, f facts, json any) error {
	if ui.FaceOf(c.Request()) == ui.JSON {
		return ui.Write(c, ui.Answer{JSON: json})
	}
	urgent(f.Standings, f.Now)
	var ids []string
	for _, s := range f.Standings[:min(len(f.Standings), maxRows)] {
		ids = append(ids, s.Database.ID)
	}
	var err error
	if f.Days, err = h.Store.Days(c.Request().Context(), ids, ui.StripFrom(f.Now)); err != nil {
		return err
	}
	m := view(f, auth.Of(c).Who())
	p := auth.Chrome(c, "Overview", "overview")
	if m.Live {
		p.Refresh = 5
	}
	return ui.Write(c, ui.Answer{Page: page(p, m), Part: part(m)})
}

// load gathers the facts that whoever asks may see.
func (h *Handler) load(ctx context.Context, who *auth.Actor) (facts, error) {
	f := facts{Now: h.Clock()}
	var err error
	if f.Standings, err = h.Store.Standings(ctx, store.DatabaseFilter{Gone: true, IDs: who.Databases}); err != nil {
		return f, err
	}
	f.Standings = slices.DeleteFunc(f.Standings, func(s backup.Standing) bool {
		return s.Database.GoneAt != nil && f.Now.Sub(*s.Database.GoneAt) > goneFor
	})
	if f.Active, err = h.Store.ActiveJob(ctx); err != nil {
		return f, err
	}
	if f.Active != nil {
		if f.Results, err = h.Store.JobResults(ctx, f.Active.ID); err != nil {
			return f, err
		}
	}
	if f.Completed, err = h.Store.LastCompletedJob(ctx); err != nil {
		return f, err
	}
	ended, _, err := h.Store.Jobs(ctx, store.JobFilter{
		Kind: backup.JobBackup, Limit: 1,
		Status: []backup.JobStatus{backup.JobCompleted, backup.JobPartial, backup.JobFailed, backup.JobCancelled},
	})
	if err != nil {
		return f, err
	}
	if len(ended) == 1 {
		f.Ended = &ended[0]
	}
	if who.Databases != nil {
		f.restrict(who)
	} else if f.Drill, err = h.Store.LastDrill(ctx); err != nil {
		return f, err
	}
	if f.Workers, f.Beat, err = h.workers(ctx); err != nil {
		return f, err
	}
	if who.May(auth.Admin) {
		f.Frozen, _, err = h.Store.RetentionFrozen(ctx)
		if errors.Is(err, backup.ErrCorrupt) {
			f.Frozen = "Why retention is frozen cannot be read."
		} else if err != nil {
			return f, err
		}
	}
	if h.Nightly != nil {
		f.Nightly = h.Nightly(f.Now)
	}
	if h.Weekly != nil {
		f.Weekly = h.Weekly(f.Now)
	}
	return f, nil
}

// restrict hides from a token what the jobs say of databases that it may not
// see.
func (f *facts) restrict(who *auth.Actor) {
	var seen []backup.Result
	for _, r := range f.Results {
		if who.Sees(r.DatabaseID) {
			seen = append(seen, r)
		}
	}
	f.Results = seen
	if len(seen) == 0 {
		f.Active = nil
	}
	f.Ended = nil
}

// workers counts the processes that run jobs and have been heard of lately, and
// says when the last of all was.
func (h *Handler) workers(ctx context.Context) (n int, last time.Time, err error) {
	processes, err := h.Store.Processes(ctx)
	for _, p := range processes {
		if h.Clock().Sub(p.HeartbeatAt) < alive {
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
		Counts: map[string]int{"databases": len(f.Standings)}, Frozen: f.Frozen,
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
	n := counts(f)
	for _, state := range []ui.StateWord{ui.Proven, ui.Stored, ui.Attention, ui.Failed, ui.Unknown} {
		s.Counts[string(state)] = n[state]
	}
	return s
}

// status is GET /status as programs get it.
type status struct {
	Active        *ui.Job     `json:"active_job"`
	LastCompleted *time.Time  `json:"last_completed_at"`
	Next          *time.Time  `json:"next_scheduled_at"`
	NextNightly   *time.Time  `json:"next_nightly_at"`
	NextWeekly    *time.Time  `json:"next_weekly_at"`
	Workers       int         `json:"workers"`
	Databases     []freshness `json:"databases"`
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
		Databases: make([]freshness, 0, len(f.Standings)),
	}
	if f.Active != nil {
		job := ui.JobOf(*f.Active, f.Results, nil, f.Now)
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
