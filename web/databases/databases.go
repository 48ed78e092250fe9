// Package databases is the registry as people and programs see it, and the
// page of one database: its newest copy, its tables, its copies and history.
//
// It reads the store and changes nothing.
package databases

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shown is how many copies and results of one database programs get.
const shown = 20

// What the page lists of them; the timeline and the charts have the others.
const (
	shownCopies = 10
	shownRuns   = 5
)

// shownProofs is how many proofs it lists.
const shownProofs = 6

// Handler serves the section.
type Handler struct {
	Store     *store.Store
	PublicURL string                          // what a command on the page begins with; "" for the address asked
	Nightly   func(after time.Time) time.Time // nil where nothing is scheduled
	Clock     func() time.Time
}

// entry is a database as programs get it. Fields may be added, never renamed.
type entry struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	Binding          string          `json:"binding"`
	Description      string          `json:"description"`
	Priority         backup.Priority `json:"priority"`
	EstimatedSize    int64           `json:"estimated_size"`
	Source           backup.Origin   `json:"source"`
	Paused           bool            `json:"paused"`
	ObjectiveSeconds int64           `json:"objective_seconds"`
	FirstSeenAt      time.Time       `json:"first_seen_at"`
	LastSeenAt       time.Time       `json:"last_seen_at"`
	GoneAt           *time.Time      `json:"gone_at"`
	State            ui.StateWord    `json:"state"`
	Reason           string          `json:"reason,omitempty"`
	LastSuccessAt    *time.Time      `json:"last_success_at"`
	LastProvenAt     *time.Time      `json:"last_proven_at"`
	URL              string          `json:"url"`
}

func entryOf(s backup.Standing, now time.Time) entry {
	d := s.Database
	state, why := ui.StateOf(s, now)
	e := entry{
		ID: d.ID, Name: d.Name, Binding: d.Binding, Description: d.Description, Priority: d.Priority, EstimatedSize: d.EstimatedSize,
		Source: d.Origin, Paused: d.Paused, ObjectiveSeconds: int64(d.Objective / time.Second), FirstSeenAt: d.FirstSeenAt,
		LastSeenAt: d.LastSeenAt, GoneAt: d.GoneAt, State: state, Reason: why, URL: "/databases/" + ui.Ref(d.Name, d.ID),
	}
	if s.Newest != nil {
		e.LastSuccessAt = &s.Newest.TakenAt
	}
	if s.Proven != nil {
		e.LastProvenAt = &s.Proven.TakenAt
	}
	return e
}

// goneFor is how long a database that is gone from the account is listed.
const goneFor = 100 * 365 * 24 * time.Hour

// How many databases an answer lists: a page, and a program, where it does not say.
const (
	maxList = 100
	maxSent = 500
)

// List is GET /databases.
func (h *Handler) List(c echo.Context) error {
	who, now, q := auth.Of(c), h.Clock(), c.QueryParams()
	f := store.StandingFilter{
		Now: now, IDs: who.Databases, GoneSince: now.Add(-goneFor), Name: q.Get("name"), Order: store.StandingOrder(cmp.Or(q.Get("sort"), string(store.ByName))),
		Limit: maxList, Cursor: q.Get("cursor"),
	}
	if ui.FaceOf(c.Request()) == ui.JSON {
		f.Limit = maxSent
	}
	if s := q.Get("state"); s != "" {
		f.States = []string{s}
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > maxSent {
			return backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to %d", maxSent)
		}
		f.Limit = n
	}
	if err := ui.CheckText(f.Name, q.Get("state")); err != nil {
		return err
	}
	standings, next, err := h.Store.StandingPage(c.Request().Context(), f)
	if err != nil {
		return err
	}
	entries := make([]entry, 0, len(standings))
	for _, s := range standings {
		entries = append(entries, entryOf(s, now))
	}
	m := viewList(standings, q, next, now)
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"databases": entries, "next_cursor": next},
		Page: listPage(auth.Chrome(c, "Databases", "databases"), m), Part: listPart(m),
	})
}

// Show is GET /databases/:db.
func (h *Handler) Show(c echo.Context) error {
	ctx, who, now := c.Request().Context(), auth.Of(c), h.Clock()
	db, err := auth.Database(ctx, h.Store, who, c.Param("db"))
	if err != nil {
		return err
	}
	f, err := h.load(ctx, db)
	if err != nil {
		return err
	}
	if ui.FaceOf(c.Request()) == ui.JSON {
		return ui.Write(c, ui.Answer{JSON: detailOf(f, now)})
	}
	if err := h.more(ctx, &f, now); err != nil {
		return err
	}
	f.Base, f.Range = h.base(c), rangeOf(c.QueryParam("days"))
	m := view(f, now, who.Who())
	p := auth.Chrome(c, m.Name, "databases")
	return ui.Write(c, ui.Answer{Page: page(p, m)})
}

// base is what the address of this server begins with.
func (h *Handler) base(c echo.Context) string {
	if h.PublicURL != "" {
		return strings.TrimSuffix(h.PublicURL, "/")
	}
	return "http://" + ui.Name(c.Request().Host)
}

func (h *Handler) load(ctx context.Context, db backup.Database) (facts, error) {
	f := facts{Standing: backup.Standing{Database: db}}
	standings, err := h.Store.Standings(ctx, store.DatabaseFilter{Gone: true, IDs: []string{db.ID}})
	if err != nil {
		return f, err
	}
	if len(standings) == 1 { // otherwise it went just now
		f.Standing = standings[0]
	}
	if f.Standing.Newest != nil { // with its manifest
		full, err := h.Store.Copy(ctx, f.Standing.Newest.ID)
		if err != nil {
			return f, err
		}
		f.Standing.Newest = &full
	}
	if f.Copies, err = h.Store.NewestCopies(ctx, db.ID, drawn); err != nil {
		return f, err
	}
	if f.Results, err = h.Store.DatabaseResults(ctx, db.ID, time.Time{}, drawn); err != nil {
		return f, err
	}
	if f.Proofs, err = h.Store.DatabaseProofs(ctx, db.ID, shownProofs); err != nil {
		return f, err
	}
	f.Costs, err = h.Store.CostByMonth(ctx, db.ID, costMonths)
	return f, err
}

// more gathers what the page alone shows.
func (h *Handler) more(ctx context.Context, f *facts, now time.Time) error {
	id := f.Standing.Database.ID
	f.Best = f.Standing.Newest
	if p := f.Standing.Proven; p != nil && (f.Best == nil || p.ID != f.Best.ID) {
		full, err := h.Store.Copy(ctx, p.ID)
		if err != nil {
			return err
		}
		f.Best = &full
	}
	for i, c := range f.Copies {
		if f.Best != nil && c.ID == f.Best.ID && i+1 < len(f.Copies) {
			full, err := h.Store.Copy(ctx, f.Copies[i+1].ID)
			if err != nil {
				return err
			}
			f.Before = &full
		}
	}
	days, err := h.Store.Days(ctx, []string{id}, ui.StripFrom(now))
	if err != nil {
		return err
	}
	all, own, err := h.Store.Thresholds(ctx)
	if err != nil {
		return err
	}
	f.Days, f.Thresholds, f.Scheduled = days[id], thresholdsFor(all, own[id]), h.Nightly != nil && !h.Nightly(now).IsZero()
	return nil
}
