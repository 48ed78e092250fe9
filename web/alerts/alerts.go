// Package alerts shows who is told when something is wrong, and lets an admin
// change it: channels and what became of their messages, thresholds, mutes.
//
// It seals what it is given and shows no address again. It sends nothing: a
// test is asked for like any other work.
package alerts

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shown is how many deliveries the page of a channel lists.
const shown = 25

// mostChoices is from how many databases on a name is typed instead of chosen.
const mostChoices = 100

// FailingAfter is how many tries without success make a delivery one that is
// shown on every page.
const FailingAfter = 3

// Requester asks for work.
type Requester interface {
	Request(ctx context.Context, req backup.Request) (backup.Started, error)
}

// Channels seals addresses, and tells which a channel may have.
type Channels struct {
	Sealer *alert.Sealer
	Sender *alert.Sender
}

// Handler serves the section.
type Handler struct {
	Store    *store.Store
	Requests Requester
	Auth     *auth.Service
	Channels Channels
	Clock    func() time.Time
}

// channelJSON is a channel as programs get it. Fields may be added, never renamed.
type channelJSON struct {
	ID             string         `json:"id"`
	Kind           string         `json:"kind"`
	Name           string         `json:"name"`
	Address        string         `json:"address"` // scheme and host; the rest stays sealed
	Enabled        bool           `json:"enabled"`
	DisabledReason string         `json:"disabled_reason"`
	Success        bool           `json:"success"`
	Failure        bool           `json:"failure"`
	Summary        bool           `json:"summary"`
	Origin         string         `json:"origin"`
	Rotating       bool           `json:"rotating"` // two secrets sign
	CreatedAt      time.Time      `json:"created_at"`
	UpdatedAt      time.Time      `json:"updated_at"`
	Deliveries     []deliveryJSON `json:"deliveries"`
}

type deliveryJSON struct {
	ID        string               `json:"id"`
	ChannelID string               `json:"channel_id"`
	Event     backup.EventKind     `json:"event"`
	Title     string               `json:"title"`
	Status    store.DeliveryStatus `json:"status"`
	CreatedAt time.Time            `json:"created_at"`
	EndedAt   *time.Time           `json:"ended_at"`
	NextAt    *time.Time           `json:"next_at"`
	Error     string               `json:"error"`
	Count     int                  `json:"tries"`
	Log       []tryJSON            `json:"log,omitempty"`
}

type tryJSON struct {
	At         time.Time `json:"at"`
	DurationMS int64     `json:"duration_ms"`
	Status     int       `json:"http_status"`
	Request    string    `json:"request"`
	Answer     string    `json:"answer"`
	Error      string    `json:"error"`
}

type thresholdsJSON struct {
	Database    string `json:"database"` // "" for all
	LongMinutes *int64 `json:"long_minutes"`
	SizePercent *int   `json:"size_percent"`
	RowsPercent *int   `json:"rows_percent"`
}

type muteJSON struct {
	ID        string    `json:"id"`
	Database  string    `json:"database"` // "" for all
	Until     time.Time `json:"until"`
	Reason    string    `json:"reason"`
	CreatedBy string    `json:"created_by"`
}

type alertsJSON struct {
	Channels    []channelJSON    `json:"channels"`
	Thresholds  []thresholdsJSON `json:"thresholds"`
	Mutes       []muteJSON       `json:"mutes"`
	Undelivered []deliveryJSON   `json:"undelivered"`
	Untold      int              `json:"untold"` // events that nobody was there to be told of
}

// facts is what the page is made of.
type facts struct {
	Channels    []store.AlertConfig
	Last        map[string][]store.Delivery // of each channel, newest first
	All         store.Thresholds
	Single      map[string]store.Thresholds
	Mutes       []store.Mute
	Undelivered []store.Delivery
	Untold      int
	Names       map[string]string // of databases, by UUID
	Choices     []string          // names of databases in the account; none where there are too many to choose from
}

// List is GET /alerts.
func (h *Handler) List(c echo.Context) error {
	f, err := h.load(c.Request().Context())
	if err != nil {
		return err
	}
	m := view(f, h.Channels.Sealer.CanSeal(), h.Clock())
	p := auth.Chrome(c, "Alerts", "alerts")
	if m.Live {
		p.Refresh = 3
	}
	return ui.Write(c, ui.Answer{JSON: jsonOf(f), Page: page(p, m), Part: channels(m)})
}

func (h *Handler) load(ctx context.Context) (facts, error) {
	f := facts{Last: map[string][]store.Delivery{}, Names: map[string]string{}}
	var err error
	if f.Channels, err = h.Store.AlertConfigs(ctx); err != nil {
		return f, err
	}
	for _, c := range f.Channels {
		if f.Last[c.ID], err = h.Store.Deliveries(ctx, c.ID, 3); err != nil {
			return f, err
		}
	}
	if f.All, f.Single, err = h.Store.Thresholds(ctx); err != nil {
		return f, err
	}
	if f.Mutes, err = h.Store.Mutes(ctx, h.Clock()); err != nil {
		return f, err
	}
	if f.Undelivered, err = h.Store.Undelivered(ctx, FailingAfter, shown); err != nil {
		return f, err
	}
	if f.Untold, err = h.Store.Untold(ctx); err != nil {
		return f, err
	}
	var named []string // what thresholds and mutes are about
	for id := range f.Single {
		named = append(named, id)
	}
	for _, m := range f.Mutes {
		if m.DatabaseID != "" {
			named = append(named, m.DatabaseID)
		}
	}
	if len(named) > 0 {
		list, err := h.Store.Databases(ctx, store.DatabaseFilter{Gone: true, IDs: named})
		if err != nil {
			return f, err
		}
		for _, d := range list {
			f.Names[d.ID] = d.Name
		}
	}
	f.Choices, err = h.Store.DatabaseNames(ctx, mostChoices+1)
	if len(f.Choices) > mostChoices {
		f.Choices = nil
	}
	return f, err
}

// Show is GET /alerts/:id.
func (h *Handler) Show(c echo.Context) error {
	ch, err := h.Store.AlertConfig(c.Request().Context(), c.Param("id"))
	if err != nil {
		return noChannel(err)
	}
	return h.show(c, ch, "")
}

// show answers with one channel; secret is one that was made just now, which
// is shown this once.
func (h *Handler) show(c echo.Context, ch store.AlertConfig, secret string) error {
	ctx := c.Request().Context()
	list, err := h.Store.Deliveries(ctx, ch.ID, shown)
	if err != nil {
		return err
	}
	ids := make([]string, len(list))
	for i, d := range list {
		ids[i] = d.ID
	}
	tries, err := h.Store.Tries(ctx, ids)
	if err != nil {
		return err
	}
	j := channelOf(ch, list, tries)
	var answer any = j
	if secret != "" {
		c.Response().Header().Set("Cache-Control", "no-store")
		answer = struct {
			channelJSON
			Secret string `json:"secret"`
		}{j, secret}
	}
	m := viewChannel(ch, list, tries, secret, h.Clock())
	p := auth.Chrome(c, ch.Name, "alerts")
	if m.Live && secret == "" {
		p.Refresh = 3
	}
	return ui.Write(c, ui.Answer{JSON: answer, Page: channelPage(p, m), Part: deliveries(m)})
}

func noChannel(err error) error {
	if backup.Kind(err) == backup.ErrNotFound {
		return backup.Errorf(backup.ErrNotFound, "There is no such channel.")
	}
	return err
}

func jsonOf(f facts) alertsJSON {
	out := alertsJSON{Channels: []channelJSON{}, Thresholds: []thresholdsJSON{}, Mutes: []muteJSON{}, Undelivered: []deliveryJSON{}, Untold: f.Untold}
	for _, c := range f.Channels {
		out.Channels = append(out.Channels, channelOf(c, f.Last[c.ID], nil))
	}
	out.Thresholds = append(out.Thresholds, thresholdsOf("", f.All))
	for id, t := range f.Single {
		out.Thresholds = append(out.Thresholds, thresholdsOf(nameOr(f.Names[id], id), t))
	}
	for _, m := range f.Mutes {
		name := ""
		if m.DatabaseID != "" {
			name = nameOr(f.Names[m.DatabaseID], m.DatabaseID)
		}
		out.Mutes = append(out.Mutes, muteJSON{m.ID, name, m.Until, m.Reason, m.CreatedBy})
	}
	for _, d := range f.Undelivered {
		out.Undelivered = append(out.Undelivered, deliveryOf(d, nil))
	}
	return out
}

func nameOr(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

func thresholdsOf(database string, t store.Thresholds) thresholdsJSON {
	out := thresholdsJSON{Database: database, SizePercent: t.SizePercent, RowsPercent: t.RowsPercent}
	if t.LongSeconds != nil {
		minutes := *t.LongSeconds / 60
		out.LongMinutes = &minutes
	}
	return out
}

func channelOf(c store.AlertConfig, list []store.Delivery, tries map[string][]store.Try) channelJSON {
	out := channelJSON{
		ID: c.ID, Kind: c.Kind, Name: c.Name, Address: c.Address, Enabled: c.Enabled, DisabledReason: c.DisabledReason, Success: c.NotifySuccess,
		Failure: c.NotifyFailure, Summary: c.NotifySummary, Origin: c.Origin, Rotating: c.PreviousSealed != nil, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
		Deliveries: []deliveryJSON{},
	}
	for _, d := range list {
		out.Deliveries = append(out.Deliveries, deliveryOf(d, tries[d.ID]))
	}
	return out
}

func deliveryOf(d store.Delivery, tries []store.Try) deliveryJSON {
	out := deliveryJSON{
		ID: d.ID, ChannelID: d.ChannelID, Event: d.Event, Title: d.Title, Status: d.Status, CreatedAt: d.CreatedAt, EndedAt: d.EndedAt, NextAt: d.NextAt,
		Error: d.Error, Count: d.Tries,
	}
	for _, t := range tries {
		out.Log = append(out.Log, tryJSON{t.At, t.Took.Milliseconds(), t.Status, t.Request, t.Answer, t.Error})
	}
	return out
}
