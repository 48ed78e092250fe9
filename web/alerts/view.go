package alerts

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// model is what the page shows.
type model struct {
	Live        bool // something is on its way
	CanSeal     bool
	Rows        []row
	Undelivered []lost
	Untold      string
	Thresholds  []threshold
	LongMinutes string
	SizePercent string
	RowsPercent string
	Mutes       []mute
	Choices     []string
}

type row struct {
	ID, Href, Name, Kind, Address, Hears string
	State                                ui.Mark
	Last                                 []delivery
}

type lost struct {
	Href, Channel, Title, Error string
	At                          ui.Moment
	Mark                        ui.Mark
}

type threshold struct{ Database, Long, Size, Rows string }

type mute struct {
	ID, Database, Reason, By string
	Until                    ui.Moment
}

type delivery struct {
	ID, Title, Error, Tries string
	At                      ui.Moment
	Next                    string
	Mark                    ui.Mark
	Log                     []try
}

type try struct {
	At                          ui.Moment
	Result, Took                string
	Request, Answer, ErrorWords string
}

func view(f facts, canSeal bool, now time.Time) model {
	m := model{
		CanSeal: canSeal, Choices: f.Choices,
		LongMinutes: minutes(f.All.LongSeconds, strconv.Itoa(int(alert.Defaults.Long.Minutes()))),
		SizePercent: percent(f.All.SizePercent, strconv.Itoa(alert.Defaults.Size)), RowsPercent: percent(f.All.RowsPercent, strconv.Itoa(alert.Defaults.Rows)),
	}
	names := map[string]string{}
	for _, c := range f.Channels {
		names[c.ID] = c.Name
		r := row{ID: c.ID, Href: "/alerts/" + c.ID, Name: ui.Name(c.Name), Kind: kindWord(c.Kind), Address: ui.Name(c.Address), Hears: hears(c), State: stateOf(c)}
		for _, d := range f.Last[c.ID] {
			r.Last = append(r.Last, deliveryView(d, nil, now))
			m.Live = m.Live || fresh(d, now)
		}
		m.Rows = append(m.Rows, r)
	}
	for _, d := range f.Undelivered {
		m.Undelivered = append(m.Undelivered, lost{
			Href: "/alerts/" + d.ChannelID, Channel: ui.Name(names[d.ChannelID]), Title: ui.Name(d.Title), Error: ui.Name(d.Error), At: ui.Ago(d.CreatedAt, now), Mark: deliveryMark(d),
		})
	}
	if f.Untold > 0 {
		m.Untold = ui.Plural(int64(f.Untold), "problem was", "problems were") + " told to nobody: no channel was there for it."
	}
	for id, t := range f.Single {
		m.Thresholds = append(m.Thresholds, threshold{ui.Name(nameOr(f.Names[id], id)), unit(minutes(t.LongSeconds, ""), " min"), unit(percent(t.SizePercent, ""), "%"), unit(percent(t.RowsPercent, ""), "%")})
	}
	slices.SortFunc(m.Thresholds, func(a, b threshold) int { return cmp.Compare(a.Database, b.Database) })
	for _, x := range f.Mutes {
		name := "everything"
		if x.DatabaseID != "" {
			name = ui.Name(nameOr(f.Names[x.DatabaseID], x.DatabaseID))
		}
		m.Mutes = append(m.Mutes, mute{x.ID, name, ui.Name(x.Reason), ui.Name(x.CreatedBy), ui.Clock(x.Until)})
	}
	return m
}

// fresh tells whether a delivery is likely to change while a person looks.
func fresh(d store.Delivery, now time.Time) bool {
	return d.Status == store.DeliveryPending && now.Sub(d.CreatedAt) < time.Minute
}

func kindWord(kind string) string {
	if kind == alert.Discord {
		return "Discord"
	}
	return "Webhook"
}

// hears words what a channel is told.
func hears(c store.AlertConfig) string {
	var parts []string
	if c.NotifyFailure {
		parts = append(parts, "problems")
	}
	if c.NotifySuccess {
		parts = append(parts, "successes")
	}
	if c.NotifySummary {
		parts = append(parts, "the daily summary")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func stateOf(c store.AlertConfig) ui.Mark {
	switch {
	case c.Enabled:
		return ui.Mark{State: "proven", Icon: "circle-check", Word: "on"}
	case c.DisabledReason != "":
		return ui.Mark{State: "failed", Icon: "circle-x", Word: "disabled"}
	}
	return ui.Mark{State: "unknown", Icon: "circle-minus", Word: "off"}
}

func deliveryMark(d store.Delivery) ui.Mark {
	switch {
	case d.Status == store.DeliveryDone:
		return ui.Mark{State: "proven", Icon: "circle-check", Word: "delivered"}
	case d.Status == store.DeliveryDead:
		return ui.Mark{State: "failed", Icon: "circle-x", Word: "undelivered"}
	case d.Tries == 0:
		return ui.Mark{State: "running", Icon: "hourglass", Word: "on its way"}
	}
	return ui.Mark{State: "attention", Icon: "triangle-alert", Word: "trying"}
}

func deliveryView(d store.Delivery, tries []store.Try, now time.Time) delivery {
	v := delivery{
		ID: d.ID, Title: ui.Name(d.Title), Error: ui.Name(d.Error), Tries: ui.Plural(int64(d.Tries), "try", "tries"), At: ui.Ago(d.CreatedAt, now), Mark: deliveryMark(d),
	}
	if d.Status == store.DeliveryPending && d.NextAt != nil && d.Tries > 0 {
		v.Next = "next try " + ui.In(*d.NextAt, now).Word
	}
	for _, t := range tries {
		x := try{At: ui.Stamp(t.At), Took: ui.Took(t.Took), Request: lines(t.Request), Answer: lines(t.Answer), ErrorWords: ui.Name(t.Error), Result: "no answer"}
		if t.Status > 0 {
			x.Result = "HTTP " + strconv.Itoa(t.Status)
		}
		v.Log = append(v.Log, x)
	}
	return v
}

// lines makes a text of several lines harmless.
func lines(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		out = append(out, ui.Name(strings.TrimRight(line, "\r\n")))
	}
	return strings.Join(out, "\n")
}

func minutes(seconds *int64, otherwise string) string {
	if seconds == nil {
		return otherwise
	}
	return strconv.FormatInt(*seconds/60, 10)
}

func percent(n *int, otherwise string) string {
	if n == nil {
		return otherwise
	}
	return strconv.Itoa(*n)
}

// unit words a threshold: 0 is never, none is as for all.
func unit(n, unit string) string {
	switch n {
	case "":
		return "as for all"
	case "0":
		return "never"
	}
	return n + unit
}

// channelModel is what the page of one channel shows.
type channelModel struct {
	ID, Name, Kind, Address, Origin, Reason string
	State                                   ui.Mark
	Enabled, Success, Failure, Summary      bool
	Signs, Rotating, Fixed, Live            bool
	Secret                                  string
	Deliveries                              []delivery
}

func viewChannel(c store.AlertConfig, list []store.Delivery, tries map[string][]store.Try, secret string, now time.Time) channelModel {
	m := channelModel{
		ID: c.ID, Name: ui.Name(c.Name), Kind: kindWord(c.Kind), Address: ui.Name(c.Address), Origin: c.Origin, Reason: ui.Name(c.DisabledReason), State: stateOf(c),
		Enabled: c.Enabled, Success: c.NotifySuccess, Failure: c.NotifyFailure, Summary: c.NotifySummary,
		Signs: c.Kind == alert.Webhook, Rotating: c.PreviousSealed != nil, Fixed: c.Origin != "dashboard", Secret: secret,
	}
	for _, d := range list {
		m.Deliveries = append(m.Deliveries, deliveryView(d, tries[d.ID], now))
		m.Live = m.Live || fresh(d, now)
	}
	return m
}

// poll lets htmx ask for a part again while something is on its way.
func poll(live bool, path string) templ.Attributes {
	if !live {
		return templ.Attributes{}
	}
	return templ.Attributes{"hx-get": path, "hx-trigger": "every 2s", "hx-swap": "outerHTML"}
}
