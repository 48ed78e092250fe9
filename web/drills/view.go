package drills

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// model is what a certificate shows.
type model struct {
	ID         string
	Title      string
	Mark       ui.Mark
	State      string // of the certificate's edge
	Verdict    string
	Open       bool
	CanCancel  bool
	Done, Of   int
	Facts      []ui.Definition
	Rows       []row
	Signed     ui.Moment // when it ended
	SignedNote string
	First      bool   // the page of the copies is the first
	NextHref   string // of the page after; "" for none
}

// row is one copy that was proven.
type row struct {
	Name, Href  string
	Role        string
	Date, Kind  string
	Taken       ui.Moment
	Mark        ui.Mark
	Size        string
	Rows        string
	Load        string
	Check       string
	Again       string
	Source      string
	SourceSub   string
	Error, Next string
}

func view(c certificate, now time.Time, who ui.Who) model {
	d, t := c.Drill, c.Sums
	m := model{
		ID: d.ID, Title: "Drill of " + backup.DateOf(d.CreatedAt).String(), Mark: mark(d), Open: d.Verdict == backup.DrillOpen,
		Verdict: sentence(d), Of: d.Databases, Done: t.Databases, SignedNote: "Still under way.", First: c.First,
	}
	m.State = m.Mark.State
	m.CanCancel = m.Open && who.Operator
	for _, r := range c.Results {
		m.Rows = append(m.Rows, rowOf(r))
	}
	if c.Next != "" {
		v := url.Values{"cursor": {c.Next}}
		if c.Limit != shown {
			v.Set("limit", strconv.Itoa(c.Limit))
		}
		m.NextHref = "/drills/" + d.ID + "?" + v.Encode()
	}
	if d.EndedAt != nil {
		m.Signed, m.SignedNote = ui.Stamp(*d.EndedAt), ""
	}
	m.Facts = []ui.Definition{
		{Term: "Begun", Text: begun(d)},
		{Term: "Took", Text: ui.Took(took(d, now))},
		{Term: "Restored", Text: ui.Plural(int64(t.Copies-t.Failed), "copy", "copies") + ", " + ui.Count(t.Rows) + " rows, " + strings.ReplaceAll(ui.Bytes(t.Bytes), " ", "\u00a0")},
		{Term: "Newest copies, in turn", Text: ui.Took(t.Newest)},
		{Term: "The slowest of these", Text: slow(t)},
		{Term: "Asked for by", Text: asked(d)},
		{Term: "Certificate", Text: d.ID, Code: true},
	}
	return m
}

func begun(d backup.Drill) string {
	if d.StartedAt == nil {
		return "not yet"
	}
	return ui.Clock(*d.StartedAt).Word
}

func slow(t store.DrillSums) string {
	if t.SlowestName == "" {
		return "–"
	}
	return ui.Took(t.Slowest) + ", " + ui.Name(t.SlowestName)
}

func asked(d backup.Drill) string {
	if d.RequestedBy == "" {
		return "the schedule"
	}
	return ui.Name(d.RequestedBy)
}

// sentence is the verdict as a sentence.
func sentence(d backup.Drill) string {
	switch word(d) {
	case "queued":
		return "Waiting for a worker."
	case "running":
		return "Copies are being restored."
	case "cancelled":
		return "Stopped before its end" + after(d.Text) + "."
	case "passed":
		if d.Databases == 1 {
			return "The one database restores from its stored bytes."
		}
		return "All " + ui.Count(int64(d.Databases)) + " databases restore from their stored bytes."
	}
	if d.Text == "" {
		return "The drill failed."
	}
	return strings.ToUpper(d.Text[:1]) + ui.Name(d.Text[1:]) + "."
}

func after(text string) string {
	if text == "" {
		return ""
	}
	return ": " + ui.Name(text)
}

func mark(d backup.Drill) ui.Mark {
	switch d.Verdict {
	case backup.DrillPassed:
		return ui.Mark{State: "proven", Icon: "circle-check", Word: "passed"}
	case backup.DrillFailed:
		return ui.Mark{State: "failed", Icon: "circle-x", Word: "failed"}
	case backup.DrillCancelled:
		return ui.JobMark(backup.JobCancelled)
	}
	return ui.JobMark(backup.JobStatus(word(d)))
}

func rowOf(r backup.DrillResult) row {
	v := row{
		Name: ui.Name(r.DatabaseName), Href: "/databases/" + ui.Ref(r.DatabaseName, r.DatabaseID), Role: "newest copy", Date: "–",
		Size: "–", Rows: "–", Load: "–", Check: "–", Error: ui.Name(r.Error), Next: ui.Name(r.Next),
	}
	if r.Role == backup.DrillOldest {
		v.Role = "oldest kept"
	}
	if r.CopyID != "" {
		v.Date, v.Kind, v.Size = r.Date.String(), string(r.Kind), ui.Bytes(r.Size)
		v.Rows = ui.Plural(r.Rows, "row", "rows") + " in " + ui.Plural(int64(r.Tables), "table", "tables")
	}
	if r.TakenAt != nil {
		v.Taken = ui.Clock(*r.TakenAt)
		if backup.DateOf(*r.TakenAt) == r.Date {
			v.Taken.Word = strings.TrimPrefix(v.Taken.Word, v.Date+" ")
		}
	}
	if r.Load > 0 {
		v.Load, v.Check = ui.Took(r.Load), ui.Took(r.Check+r.Again)
		v.Again = "checks " + ui.Took(r.Check) + ", second dump " + ui.Took(r.Again)
	}
	v.Mark = ui.ProofMark(r)
	v.Source, v.SourceSub = ui.SourceWords(r)
	return v
}

// listModel is what the list of drills shows.
type listModel struct {
	Rows     []listRow
	CanStart bool
	Due      ui.Moment // zero where none is scheduled
	First    bool
	NextHref string
}

type listRow struct {
	Href, Title string
	Mark        ui.Mark
	Ended       ui.Moment
	Result      string
	Took        string
	By          string
}

func viewList(list []backup.Drill, q url.Values, next string, due, now time.Time, who ui.Who) listModel {
	m := listModel{CanStart: who.Operator, First: q.Get("cursor") == ""}
	if !due.IsZero() {
		m.Due = ui.In(due, now)
		m.Due.Word = ui.Unbroken(m.Due.Word) + "."
	}
	for _, d := range list {
		if d.Verdict == backup.DrillOpen {
			m.CanStart = false
		}
		r := listRow{
			Href: "/drills/" + d.ID, Title: backup.DateOf(d.CreatedAt).String(), Mark: mark(d), Ended: ui.AgoPtr(d.EndedAt, now), Took: ui.Took(took(d, now)), By: asked(d),
			Result: strconv.Itoa(d.Passed) + " of " + strconv.Itoa(d.Databases) + " restored",
		}
		if d.EndedAt == nil {
			r.Ended, r.Result = ui.Moment{Word: "not yet"}, "–"
		}
		m.Rows = append(m.Rows, r)
	}
	if next != "" {
		v := url.Values{"cursor": {next}}
		if q.Get("limit") != "" {
			v.Set("limit", q.Get("limit"))
		}
		m.NextHref = "/drills?" + v.Encode()
	}
	return m
}
