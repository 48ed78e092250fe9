package settings

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shownEntries bounds the lines of a plan on the page; programs get them all.
const shownEntries = 300

// model is what the page shows.
type model struct {
	Frozen  string
	Clock   string // why the clock holds everything; "" where it does not
	Pending *pending
	Running string // where the cleanup under way is to be seen

	Daily, Weekly, Other string
	DailyFixed           bool
	WeeklyFixed          bool

	Summary string
	Next    *ui.Moment
	Rows    []row
	More    string
	All     bool
	Last    *last

	Unplanned bool // the plan is made when asked for
}

type pending struct{ Why, Since, Until, ConfirmedBy string }

type row struct {
	What, Sub, Key, Size string
	Mark                 ui.Mark
	Reason               string
}

type last struct {
	At    ui.Moment
	Href  string
	Held  string
	Facts []ui.Definition
	Lines []line
	More  string
}

type line struct{ What, Text string }

func (h *Handler) view(f facts, all bool) model {
	now := h.Clock()
	m := model{
		Frozen: sentence(f.h.Frozen), Daily: strconv.Itoa(f.want.Daily), Weekly: strconv.Itoa(f.want.Weekly), Other: strconv.Itoa(f.want.Other),
		DailyFixed: h.Keep.Daily > 0, WeeklyFixed: h.Keep.Weekly > 0, All: all,
	}
	if f.plan.Held != "" && f.h.Frozen == "" {
		m.Clock = sentence(f.plan.Held)
	}
	p := f.next.Pending
	if f.plan.Held != "" || p == nil && f.state.Pending != nil && f.state.Pending.ConfirmedBy != "" {
		p = f.state.Pending
	}
	if p != nil {
		m.Pending = &pending{Why: ui.Name(p.Why), Until: ui.Clock(p.Until).Word, ConfirmedBy: ui.Name(p.ConfirmedBy)}
		if f.state.Pending != nil { // it is on record, so that it can be confirmed
			m.Pending.Since = p.Since.UTC().Format("2006-01-02T15:04:05Z07:00")
		}
	}
	if f.running != "" {
		m.Running = "/jobs/" + f.running
	}
	if f.cleanup != nil {
		next := ui.Clock(*f.cleanup)
		m.Next = &next
	}
	if m.Unplanned = f.unplanned; m.Unplanned {
		m.Summary = "More than " + ui.Count(mostPlanned) + " copies are stored. What a cleanup would do with each is worked out when you ask; it takes some seconds."
	} else {
		m.Summary = summary(f.plan, f.h)
	}
	entries := f.plan.Entries(f.h, all)
	for _, e := range entries[:min(len(entries), shownEntries)] {
		m.Rows = append(m.Rows, rowOf(e))
	}
	if n := len(entries) - shownEntries; n > 0 {
		m.More = ui.Plural(int64(n), "line more is", "lines more are") + " not shown here; patina prune --dry-run lists all of them."
	}
	if f.report != nil {
		m.Last = lastOf(*f.report)
		m.Last.At = ui.Ago(f.report.At, now)
	}
	return m
}

// summary says in a sentence what a cleanup would do now.
func summary(p retention.Plan, h retention.Holdings) string {
	copies, archives := p.Drops()
	var bytes int64
	for i, d := range p.Copies {
		if d.Drop {
			bytes += h.Copies[i].Size
		}
	}
	for i, d := range p.Archives {
		if d.Drop {
			bytes += h.Archives[i].Size
		}
	}
	if copies+archives+len(p.Rescue) == 0 {
		return "A cleanup now would delete nothing."
	}
	s := "A cleanup now would delete "
	switch {
	case archives == 0:
		s += ui.Plural(int64(copies), "copy’s object", "copies’ objects")
	case copies == 0:
		s += ui.Plural(int64(archives), "archive", "archives")
	default:
		s += ui.Plural(int64(copies), "copy’s object", "copies’ objects") + " and " + ui.Plural(int64(archives), "archive", "archives")
	}
	s += ", " + ui.Bytes(bytes) + "."
	if n := len(p.Rescue); n > 0 {
		s += " Before that it would take " + ui.Plural(int64(n), "copy out of an archive that goes", "copies out of archives that go") + "."
	}
	return s
}

func rowOf(e retention.Entry) row {
	r := row{What: ui.Name(e.Database), Sub: e.Date.String() + ", " + string(e.Kind), Key: ui.Name(e.Key), Size: ui.Bytes(e.Size)}
	if e.Kind == backup.Weekly && e.Database == "" {
		r.What, r.Sub = e.ID, "weekly archive"
	}
	until := ""
	if e.Until != nil {
		until = "kept until " + backup.DateOf(*e.Until).String() + ": "
	}
	r.Reason = until + ui.Name(e.Reason)
	switch e.Action {
	case retention.Delete:
		r.Mark = ui.Mark{State: "attention", Icon: "x", Word: "goes"}
	case retention.Hold:
		r.Mark = ui.Mark{State: "unknown", Icon: "hourglass", Word: "held back"}
		r.Reason += ". It stays for now: " + ui.Name(e.Held)
	case retention.TakeUp:
		r.Mark = ui.Mark{State: "proven", Icon: "pin", Word: "taken out"}
	default:
		r.Mark = ui.Mark{State: "stored", Icon: "circle", Word: "stays"}
	}
	return r
}

func lastOf(rep retention.Report) *last {
	l := &last{Held: sentence(rep.Held)}
	if rep.JobID != "" {
		l.Href = "/jobs/" + rep.JobID
	}
	fact := func(term string, n int64, one, many string) {
		if n > 0 {
			l.Facts = append(l.Facts, ui.Definition{Term: term, Text: ui.Plural(n, one, many)})
		}
	}
	l.Facts = append(l.Facts, ui.Definition{Term: "Deleted", Text: fmt.Sprintf("%s, %s, %s", ui.Plural(int64(rep.Copies), "copy’s object", "copies’ objects"),
		ui.Plural(int64(rep.Archives), "archive", "archives"), ui.Bytes(rep.Bytes))})
	fact("Taken out of archives", int64(rep.Kept), "copy", "copies")
	fact("Held back", int64(rep.Stayed), "copy", "copies")
	l.Facts = append(l.Facts, ui.Definition{Term: "In the bucket", Text: ui.Plural(int64(rep.Objects), "object", "objects") + ", " + ui.Bytes(rep.Stored)})
	fact("Gone from the bucket", int64(rep.Missing), "object", "objects")
	fact("Of another size", int64(rep.Resized), "object", "objects")
	fact("Left out of the listing", int64(rep.Omitted), "object", "objects")
	fact("Manifests written anew", int64(rep.Manifests), "manifest", "manifests")
	fact("Unfinished uploads given up", int64(rep.Uploads), "upload", "uploads")
	fact("Unknown, left alone", int64(rep.Unknown), "object", "objects")
	fact("Results without a job, removed", rep.Orphaned, "result", "results")
	const most = 50
	for _, x := range rep.Lines[:min(len(rep.Lines), most)] {
		l.Lines = append(l.Lines, line{ui.Name(x.What), ui.Name(x.Text)})
	}
	if n := len(rep.Lines) - most; n > 0 {
		l.More = ui.Plural(int64(n), "line more is", "lines more are") + " in the JSON of this page."
	}
	return l
}

// words is a policy in the audit log.
func words(p retention.Policy) string {
	return fmt.Sprintf("%d days, %d weeks, %d days of others", p.Daily, p.Weekly, p.Other)
}

// sentence makes words from elsewhere begin and end like a sentence; "" stays.
func sentence(s string) string {
	if s = ui.Name(s); s == "" {
		return s
	}
	if s = strings.ToUpper(s[:1]) + s[1:]; !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
