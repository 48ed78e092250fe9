// Package audit shows the audit log: who did and who downloaded what, when,
// and from where, as a page, as JSON and as CSV.
//
// It reads the log and never writes it.
package audit

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
	list, next, err := h.Store.Audit(c.Request().Context(), f)
	if err != nil {
		return err
	}
	if q.Get("format") == "csv" {
		return writeCSV(c, list)
	}
	entries := make([]entry, 0, len(list))
	for _, e := range list {
		entries = append(entries, entryOf(e))
	}
	m := view(list, q, next)
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"entries": entries, "next_cursor": next},
		Page: page(auth.Chrome(c, "Audit", "audit"), m), Part: part(m),
	})
}

func filterOf(q url.Values) (store.AuditFilter, error) {
	f := store.AuditFilter{Actor: q.Get("actor"), Action: q.Get("action"), Cursor: q.Get("cursor"), Limit: 100}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 500 {
			return f, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
		f.Limit = n
	}
	if format := q.Get("format"); format != "" && format != "csv" {
		return f, backup.Errorf(backup.ErrInvalid, "the log is to be had as csv, or without a format")
	} else if format == "csv" && q.Get("limit") == "" {
		f.Limit = 500
	}
	return f, ui.CheckText(f.Actor, f.Action)
}

// writeCSV sends the lines for a spreadsheet, in which no cell may be taken
// for a formula.
func writeCSV(c echo.Context, list []store.AuditEntry) error {
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename=patina-audit.csv`)
	c.Response().WriteHeader(http.StatusOK)
	w := csv.NewWriter(c.Response())
	_ = w.Write([]string{"id", "at", "actor", "action", "target", "outcome", "reason", "ip", "user_agent", "request_id"})
	for _, e := range list {
		_ = w.Write([]string{
			strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339), cell(e.Actor), cell(e.Action), cell(e.Target),
			cell(e.Outcome), cell(e.Reason), cell(e.IP), cell(e.UserAgent), cell(e.RequestID),
		})
	}
	w.Flush()
	return w.Error()
}

func cell(s string) string {
	s = ui.Name(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// model is what the page shows.
type model struct {
	Rows            []row
	Actor, Action   string
	Actions         []string
	First           bool
	NextHref, Begin string
	CSV             string
}

type row struct {
	At                                     ui.Moment
	Actor, Action, Target, Outcome, Reason string
	From                                   string
}

func view(list []store.AuditEntry, q url.Values, next string) model {
	m := model{
		Actor: ui.Name(q.Get("actor")), Action: q.Get("action"), First: q.Get("cursor") == "",
		Actions: []string{"sign-in", "sign-out", "first admin", "trigger", "cancel", "retry", "download", "alert channel", "alert test", "alert seen", "alert thresholds", "mute", "denied"},
	}
	keep := url.Values{}
	for _, k := range []string{"actor", "action", "limit"} {
		if q.Get(k) != "" {
			keep.Set(k, q.Get(k))
		}
	}
	m.Begin = "/audit?" + keep.Encode()
	if next != "" {
		keep.Set("cursor", next)
		m.NextHref = "/audit?" + keep.Encode()
	}
	keep.Del("cursor")
	keep.Set("format", "csv")
	m.CSV = "/audit?" + keep.Encode()
	for _, e := range list {
		m.Rows = append(m.Rows, row{ui.Stamp(e.At), ui.Name(e.Actor), ui.Name(e.Action), ui.Name(e.Target), ui.Name(e.Outcome), ui.Name(e.Reason), ui.Name(e.IP)})
	}
	return m
}
