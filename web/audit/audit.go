// Package audit shows the audit log: who did and who downloaded what, when,
// and from where, as a page, as JSON and as CSV.
//
// It reads the log and never writes it.
package audit

import (
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Handler serves the section.
type Handler struct {
	Store *store.Store
}

// entry is a line of the log as programs get it.
type entry struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"`
	Actor     string    `json:"actor"`
	Action    string    `json:"action"`
	Target    string    `json:"target"`
	Outcome   string    `json:"outcome"`
	Reason    string    `json:"reason"`
	IP        string    `json:"ip"`
	UserAgent string    `json:"user_agent"`
	RequestID string    `json:"request_id"`
}

func entryOf(e store.AuditEntry) entry {
	return entry{e.ID, e.At, e.Actor, e.Action, e.Target, e.Outcome, e.Reason, e.IP, e.UserAgent, e.RequestID}
}

// List is GET /audit.
func (h *Handler) List(c echo.Context) error {
	q := c.QueryParams()
	f, err := filterOf(q)
	if err != nil {
		return err
	}
	if q.Get("format") == "csv" {
		return h.csv(c, f)
	}
	ctx := c.Request().Context()
	list, next, err := h.Store.Audit(ctx, f)
	if err != nil {
		return err
	}
	actions, err := h.Store.AuditActions(ctx)
	if err != nil {
		return err
	}
	entries := make([]entry, 0, len(list))
	for _, e := range list {
		entries = append(entries, entryOf(e))
	}
	m := view(list, actions, q, next)
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"entries": entries, "next_cursor": next},
		Page: page(auth.Chrome(c, "Audit", "audit"), m), Part: part(m),
	})
}

// kept are the parameters that a link to another page of the same list keeps.
var kept = []string{"actor", "action", "database", "outcome", "from", "to", "limit"}

func filterOf(q url.Values) (store.AuditFilter, error) {
	f := store.AuditFilter{
		Actor: q.Get("actor"), Action: q.Get("action"), About: q.Get("database"), Outcome: q.Get("outcome"), Cursor: q.Get("cursor"), Limit: 100,
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 500 {
			return f, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
		f.Limit = n
	}
	if format := q.Get("format"); format != "" && format != "csv" {
		return f, backup.Errorf(backup.ErrInvalid, "the log is to be had as csv, or without a format")
	}
	from, err := day(q, "from")
	if err != nil {
		return f, err
	}
	to, err := day(q, "to")
	if err != nil {
		return f, err
	}
	f.From = from
	if !to.IsZero() {
		f.To = to.AddDate(0, 0, 1) // that day too
	}
	return f, ui.CheckText(f.Actor, f.Action, f.About, f.Outcome)
}

// day reads a date, UTC; the zero time where there is none.
func day(q url.Values, name string) (time.Time, error) {
	s := q.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	d, err := backup.ParseDate(s)
	if err != nil {
		return time.Time{}, backup.Errorf(backup.ErrInvalid, "%s is a date such as 2026-11-23", name)
	}
	return d.Time(), nil
}

// model is what the page shows.
type model struct {
	Rows                             []row
	Actor, Action, Database, Outcome string
	From, To                         string
	Actions, Outcomes                []string
	First                            bool
	NextHref, Begin                  string
	CSV                              string
	Filtered                         bool
}

type row struct {
	At                                     ui.Moment
	Actor, Action, Target, Outcome, Reason string
	Failed                                 bool
	From, Agent                            string
}

func view(list []store.AuditEntry, actions []string, q url.Values, next string) model {
	m := model{
		Actor: ui.Name(q.Get("actor")), Action: q.Get("action"), Database: ui.Name(q.Get("database")), Outcome: q.Get("outcome"),
		From: q.Get("from"), To: q.Get("to"), First: q.Get("cursor") == "", Outcomes: []string{"refused", "done"},
	}
	for _, a := range actions {
		m.Actions = append(m.Actions, ui.Name(a))
	}
	keep := url.Values{}
	for _, k := range kept {
		if q.Get(k) != "" {
			keep.Set(k, q.Get(k))
			m.Filtered = m.Filtered || k != "limit"
		}
	}
	m.Begin = "/audit?" + keep.Encode()
	if next != "" {
		keep.Set("cursor", next)
		m.NextHref = "/audit?" + keep.Encode()
	}
	keep.Del("cursor")
	keep.Del("limit")
	keep.Set("format", "csv")
	m.CSV = "/audit?" + keep.Encode()
	for _, e := range list {
		m.Rows = append(m.Rows, row{
			At: ui.Stamp(e.At), Actor: ui.Name(e.Actor), Action: ui.Name(e.Action), Target: ui.Name(e.Target), Outcome: ui.Name(e.Outcome), Reason: ui.Name(e.Reason),
			Failed: e.Outcome == "refused", From: ui.Name(e.IP), Agent: ui.Name(e.UserAgent),
		})
	}
	return m
}
