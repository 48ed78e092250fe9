// Package settings shows what an admin can set and lets them: how long copies
// stay, what a cleanup would do now, what it did last, and what copies leave out.
//
// It keeps settings and asks for work. It deletes nothing itself, and what the
// environment fixes it only shows.
package settings

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Requester asks for work.
type Requester interface {
	Request(ctx context.Context, req backup.Request) (backup.Started, error)
}

// Handler serves the section.
type Handler struct {
	Store    *store.Store
	Requests Requester
	Auth     *auth.Service
	Keep     retention.Fixed                 // what the environment says
	Cleanup  func(after time.Time) time.Time // the first cleanup after; nil or zero for none
	Clock    func() time.Time
}

// policyJSON is the policy as programs get it. Fields may be added, never
// renamed.
type policyJSON struct {
	retention.Policy
	Fixed []string `json:"fixed"` // what the environment decides
}

type retentionJSON struct {
	Policy      policyJSON         `json:"policy"`
	InForce     *retention.Policy  `json:"in_force"` // what was carried out last; null before the first run
	Frozen      string             `json:"frozen"`   // why nothing may go until an admin says so; "" otherwise
	Held        string             `json:"held"`     // why nothing would go now; "" otherwise
	Pending     *retention.Pending `json:"pending"`  // a plan that waits since it would delete much
	NextCleanup *time.Time         `json:"next_cleanup_at"`
	Copies      int                `json:"copies_to_delete"`
	Archives    int                `json:"archives_to_delete"`
	Planned     bool               `json:"planned"` // false where so many copies are stored that a plan is made with ?plan=true alone
	Plan        []retention.Entry  `json:"plan"`
	LastRun     *retention.Report  `json:"last_run"`
}

// facts is what the page is made of.
type facts struct {
	h       retention.Holdings
	want    retention.Policy
	state   retention.State
	plan    retention.Plan
	next    retention.State // what a run now would leave
	report  *retention.Report
	cleanup *time.Time
	running string // the cleanup that is under way; "" for none

	unplanned bool // there are so many copies that a plan is made when asked for
}

// mostPlanned is from how many stored copies on a plan is made only when somebody
// asks for it: it looks at each of them.
const mostPlanned = 20_000

// load makes the plan, and gathers what stands beside it.
func (h *Handler) load(ctx context.Context) (facts, error) {
	var f facts
	var err error
	if f.h, f.want, f.state, err = retention.Load(ctx, h.Store, h.Keep); err != nil {
		return f, err
	}
	f.plan, f.next = retention.Cautious(f.h, f.want, f.state, h.Clock())
	return h.beside(ctx, f)
}

// unplanned gathers what there is without a plan.
func (h *Handler) unplanned(ctx context.Context) (facts, error) {
	f := facts{unplanned: true}
	var err error
	if f.want, err = retention.Wanted(ctx, h.Store, h.Keep); err != nil {
		return f, err
	}
	if _, err = h.Store.Setting(ctx, retention.StateSetting, &f.state); err != nil {
		return f, err
	}
	f.next.Pending = f.state.Pending
	reason, frozen, err := h.Store.RetentionFrozen(ctx)
	if err != nil {
		return f, err
	}
	if frozen {
		f.h.Frozen = "retention is frozen: " + strings.TrimSuffix(reason, ".")
	}
	return h.beside(ctx, f)
}

// beside adds the last run, the next, and the one under way.
func (h *Handler) beside(ctx context.Context, f facts) (facts, error) {
	var rep retention.Report
	found, err := h.Store.Setting(ctx, retention.ReportSetting, &rep)
	if err != nil {
		return f, err
	}
	if found {
		f.report = &rep
	}
	if h.Cleanup != nil {
		if at := h.Cleanup(h.Clock()); !at.IsZero() {
			f.cleanup = &at
		}
	}
	open, err := h.Store.OpenJobs(ctx, backup.JobCleanup)
	if len(open) > 0 {
		f.running = open[0]
	}
	return f, err
}

// everything refuses a token that is confined to some databases: the policy is
// everybody's.
func everything(c echo.Context) error {
	if auth.Of(c).Databases != nil {
		return backup.Errorf(backup.ErrDenied, "This is about databases that this token may not touch.")
	}
	return nil
}

// Retention is GET /settings/retention.
func (h *Handler) Retention(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	ctx, all := c.Request().Context(), c.QueryParam("all") == "true"
	load := h.load
	if c.QueryParam("plan") != "true" && !all {
		if many, err := h.Store.MoreCopiesThan(ctx, mostPlanned); err != nil {
			return err
		} else if many {
			load = h.unplanned
		}
	}
	f, err := load(ctx)
	if err != nil {
		return err
	}
	p := auth.Chrome(c, "Retention", "settings")
	if f.running != "" {
		p.Refresh = 3
	}
	return ui.Write(c, ui.Answer{JSON: h.answer(f, all), Page: page(p, h.view(f, all))})
}

func (h *Handler) answer(f facts, all bool) retentionJSON {
	out := retentionJSON{
		Policy: policyJSON{f.want, h.fixed()}, InForce: f.state.InForce, Frozen: f.h.Frozen, Held: f.plan.Held,
		Pending: f.next.Pending, NextCleanup: f.cleanup, Planned: !f.unplanned, Plan: f.plan.Entries(f.h, all), LastRun: f.report,
	}
	if f.plan.Held != "" {
		out.Pending = f.state.Pending
	}
	out.Copies, out.Archives = f.plan.Drops()
	if out.Plan == nil {
		out.Plan = []retention.Entry{}
	}
	return out
}

// fixed names what the environment decides.
func (h *Handler) fixed() []string {
	out := []string{}
	if h.Keep.Daily > 0 {
		out = append(out, "daily_days")
	}
	if h.Keep.Weekly > 0 {
		out = append(out, "weekly_weeks")
	}
	return out
}

// bounds of what can be set.
const (
	mostDays  = 3650
	mostWeeks = 520
)

// SetRetention is POST /settings/retention: what is left out stays as it is. A
// policy that would delete much waits for a day, which begins now.
func (h *Handler) SetRetention(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	p, err := retention.Wanted(ctx, h.Store, retention.Fixed{})
	if err != nil {
		return err
	}
	was := p
	for _, x := range []struct {
		name, what, variable string
		to                   *int
		most                 int
		fixed                bool
	}{
		{"daily_days", "Days of dailies", "PATINA_KEEP_DAILY", &p.Daily, mostDays, h.Keep.Daily > 0},
		{"weekly_weeks", "Weeks of archives", "PATINA_KEEP_WEEKLY", &p.Weekly, mostWeeks, h.Keep.Weekly > 0},
		{"other_days", "Days of other copies", "", &p.Other, mostDays, false},
	} {
		s := strings.TrimSpace(v.Get(x.name))
		if s == "" {
			continue
		}
		if x.fixed {
			return backup.Errorf(backup.ErrConflict, "%s is set by %s, and is changed there.", x.what, x.variable)
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > x.most {
			return backup.Errorf(backup.ErrInvalid, "%s: a whole number from 1 to %d.", x.what, x.most)
		}
		*x.to = n
	}
	if p != was {
		if err := h.Store.SetSetting(ctx, retention.PolicySetting, p); err != nil {
			return err
		}
		if err := h.Auth.Record(c, "set retention", "retention", "done", words(was)+" → "+words(p)); err != nil {
			return err
		}
	}
	if err := retention.Note(ctx, h.Store, h.Keep, h.Clock(), h.change); err != nil {
		return err
	}
	return h.done(c)
}

// change changes the state, one process at a time.
func (h *Handler) change(ctx context.Context, edit func(*retention.State) error) error {
	var st retention.State
	return h.Store.ChangeSetting(ctx, retention.StateSetting, &st, func() error { return edit(&st) })
}

// done answers a form with the page, and a program with what is so now.
func (h *Handler) done(c echo.Context) error {
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, "/settings/retention")
	}
	f, err := h.load(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, h.answer(f, false))
}

// ConfirmChange is POST /settings/retention/change: what waits since it would
// delete much need not wait any longer. With since, only if that one still waits.
func (h *Handler) ConfirmChange(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	who, why := auth.Of(c).Name, ""
	err = h.change(c.Request().Context(), func(st *retention.State) error {
		p := st.Pending
		if p == nil || p.ConfirmedBy != "" {
			return nil
		}
		if s := v.Get("since"); s != "" && s != p.Since.UTC().Format(time.RFC3339) {
			return backup.Errorf(backup.ErrConflict, "Another change waits by now. Look at it, and confirm that one.")
		}
		p.ConfirmedBy, why = who, p.Why
		return nil
	})
	if err != nil {
		return err
	}
	outcome := "done"
	if why == "" {
		outcome = "nothing waited"
	}
	if err := h.Auth.Record(c, "confirm deletion", "retention", outcome, why); err != nil {
		return err
	}
	return h.done(c)
}

// ConfirmClock is POST /settings/retention/clock: the clock is right, although
// there are records of later times.
func (h *Handler) ConfirmClock(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	ctx := c.Request().Context()
	f, err := h.load(ctx)
	if err != nil {
		return err
	}
	newest := retention.Newest(f.h, f.state)
	if !newest.After(h.Clock()) || !newest.After(f.h.ClockRight) {
		if err := h.Auth.Record(c, "confirm the clock", "retention", "nothing waited", ""); err != nil {
			return err
		}
		return h.done(c)
	}
	if err := h.Store.SetSetting(ctx, retention.ClockSetting, retention.ClockRight{UpTo: newest, By: auth.Of(c).Name}); err != nil {
		return err
	}
	if err := h.Auth.Record(c, "confirm the clock", "retention", "done", "records up to "+newest.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	return h.done(c)
}

// Run is POST /settings/retention/run: a cleanup now.
func (h *Handler) Run(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	started, err := h.Requests.Request(c.Request().Context(), backup.Request{Action: backup.ActionCleanup, Trigger: trigger(c), Actor: auth.Of(c).Name})
	if err != nil {
		return err
	}
	if err := h.Auth.Record(c, "cleanup", "job "+started.JobID, "started", ""); err != nil {
		return err
	}
	return started202(c, started)
}

func trigger(c echo.Context) backup.Trigger {
	if ui.FaceOf(c.Request()) == ui.JSON {
		return backup.TriggerAPI
	}
	return backup.TriggerManual
}

func started202(c echo.Context, started backup.Started) error {
	path := "/jobs/" + started.JobID
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, path)
	}
	c.Response().Header().Set(echo.HeaderLocation, path)
	return c.JSON(http.StatusAccepted, map[string]any{"job_id": started.JobID, "status": started.Status, "url": path})
}
