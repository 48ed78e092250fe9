package history

import (
	"net/url"
	"strconv"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// model is what the page of one job shows.
type model struct {
	ID         string
	Title      string
	Mark       ui.Mark
	Open       bool
	Backup     bool // it is over databases, which have results
	Cancelling bool
	CanCancel  bool
	CanRetry   bool
	Failed     int
	Done, Of   int
	Facts      []ui.Definition
	Started    ui.Moment
	Error      string
	Archive    string // the week of the archive that it made; "" for none
	RetryOf    string
	Rows       []row
	Steps      []step
	Proof      []ui.Definition // of a job that proved one copy

	Here       string // the address of the page, with what it was asked for
	Status     string // results that were asked for; "" for all
	Statuses   []string
	Choose     bool // there are too many databases for one page
	First      bool
	Begin      string
	NextHref   string
	StreamHref string // "" where what is shown is not what a stream tells
}

// pages leads through the databases of a job that has many.
func (m *model) pages(p part) {
	m.Choose, m.First, m.Status = p.All > shownResults || p.Status != "" || !p.First, p.First, p.Status
	m.Statuses = []string{"failed", "running", "queued", "skipped", "success"}
	here := "/jobs/" + m.ID
	m.Begin, m.Here = here, here
	v := url.Values{}
	if p.Status != "" {
		v.Set("status", p.Status)
		m.Begin = here + "?" + v.Encode()
		m.Here = m.Begin
	}
	if p.Next != "" {
		if p.Limit != shownResults {
			v.Set("limit", strconv.Itoa(p.Limit))
		}
		v.Set("cursor", p.Next)
		m.NextHref = here + "?" + v.Encode()
	}
	if p.First && p.Status == "" {
		m.StreamHref = here + "/events"
	}
}

type row struct {
	Name, Href   string
	Mark         ui.Mark
	Rows, Size   string
	Tables       string
	Took         string
	Label        string // consistency, or the table being read
	Error, Next  string
	Findings     []string
	DownloadHref string
}

type step struct {
	Mark   ui.Mark
	At     ui.Moment
	By     string
	Reason string
}

func view(p part, now time.Time, who ui.Who) model {
	j, results := p.Job, p.Results
	t := j.Totals
	m := model{
		ID: j.ID, Title: title(j), Backup: j.Kind == backup.JobBackup, Mark: ui.JobMark(j.Status), Open: !j.Status.Ended(), Error: ui.Name(j.Error),
		Cancelling: j.CancelRequestedAt != nil && !j.Status.Ended(), RetryOf: j.RetryOf,
		Done: t.Succeeded + t.Failed + t.Skipped, Of: t.Databases, Failed: t.Failed,
		Started: ui.Moment{Word: "not yet"},
	}
	if j.Kind == backup.JobArchive && j.Status == backup.JobCompleted && j.Totals.Bytes > 0 {
		m.Archive = object.WeekOf(j.Date.Time()).String()
	}
	m.CanCancel = who.Operator && m.Open && j.CancelRequestedAt == nil
	m.CanRetry = who.Operator && !m.Open && t.Failed > 0 && j.Kind == backup.JobBackup
	if j.StartedAt != nil {
		m.Started = ui.Stamp(*j.StartedAt)
	}
	m.Facts = []ui.Definition{
		{Term: "Asked for by", Text: askedBy(j)},
		{Term: "Took", Text: ui.Took(ui.JobDuration(j, now))},
		{Term: "Databases", Text: strconv.Itoa(t.Succeeded) + " " + done(j.Kind) + ", " + strconv.Itoa(t.Failed) + " failed, " + strconv.Itoa(t.Skipped) + " skipped, of " + strconv.Itoa(t.Databases)},
		{Term: "Rows", Text: ui.Count(t.Rows)},
		{Term: "Bytes", Text: ui.Bytes(t.Bytes)},
		{Term: "Job", Text: j.ID, Code: true},
	}
	for _, r := range results {
		m.Rows = append(m.Rows, rowOf(r, now, who))
	}
	m.pages(p)
	for _, s := range j.Transitions {
		m.Steps = append(m.Steps, step{ui.JobMark(s.Status), ui.Stamp(s.At), ui.Name(s.By), ui.Name(s.Reason)})
	}
	return m
}

// done says what a job did with the databases that succeeded.
func done(k backup.JobKind) string {
	switch k {
	case backup.JobProve:
		return "proven"
	case backup.JobRestore:
		return "restored"
	}
	return "stored"
}

// found words what proving one copy found.
func found(r backup.DrillResult) []ui.Definition {
	source, more := ui.SourceWords(r)
	if more != "" {
		source += ", " + more
	}
	return []ui.Definition{
		{Term: "Verdict", Text: ui.ProofMark(r).Word},
		{Term: "Copy", Text: ui.Name(r.DatabaseName) + ", " + r.Date.String() + ", " + string(r.Kind)},
		{Term: "Restored in", Text: ui.Took(r.Load)},
		{Term: "Checked in", Text: ui.Took(r.Check)},
		{Term: "Dumped again in", Text: ui.Took(r.Again)},
		{Term: "Source", Text: source},
		{Term: "Object", Text: ui.Name(r.Key), Code: true},
	}
}

func title(j backup.Job) string {
	noun := string(j.Kind)
	if j.Kind == backup.JobProve {
		noun = "proof"
	}
	return map[backup.Trigger]string{
		backup.TriggerNightly: "Nightly", backup.TriggerWeekly: "Weekly", backup.TriggerMonthly: "Monthly", backup.TriggerManual: "Manual", backup.TriggerAPI: "API",
	}[j.Trigger] + " " + noun + " of " + j.Date.String()
}

func askedBy(j backup.Job) string {
	if j.RequestedBy == "" {
		return "the schedule"
	}
	return ui.Name(j.RequestedBy)
}

func rowOf(r backup.Result, now time.Time, who ui.Who) row {
	v := row{
		Name: ui.Name(r.DatabaseName), Href: "/databases/" + ui.Ref(r.DatabaseName, r.DatabaseID), Mark: ui.ResultMark(r.Status),
		Rows: "–", Size: "–", Tables: "–", Took: "–", Error: ui.Name(r.Error), Next: ui.Name(r.Next),
	}
	switch r.Status {
	case backup.ResultRunning:
		v.Rows, v.Size = ui.Count(r.Progress.Rows), ui.Bytes(r.Progress.Bytes)
		if r.Progress.Table != "" {
			v.Label = "reading " + ui.Name(r.Progress.Table)
		}
		if r.StartedAt != nil {
			v.Took = ui.Took(max(0, now.Sub(*r.StartedAt)))
		}
	case backup.ResultSuccess:
		v.Rows, v.Size, v.Tables = ui.Count(r.Rows), ui.Bytes(r.Size), strconv.Itoa(r.Tables)
		v.Took, v.Label = ui.Took(r.Duration), string(r.Consistency)
		if who.Downloader && r.CopyID != "" {
			v.DownloadHref = "/download/" + r.Date.String() + "/" + ui.Ref(r.DatabaseName, r.DatabaseID) + "?backup=" + r.CopyID
		}
	case backup.ResultFailed:
		v.Took = ui.Took(r.Duration)
	}
	if r.Attempt > 1 {
		v.Label = join(v.Label, "attempt "+strconv.Itoa(r.Attempt))
	}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, ui.Name(f.Message))
	}
	return v
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

// listModel is what the list of jobs shows.
type listModel struct {
	Rows              []listRow
	Status, Trigger   string
	Database, Date    string
	Statuses          []string
	Triggers          []string
	NextHref          string
	First, Unfiltered bool
}

type listRow struct {
	Href, Title string
	Mark        ui.Mark
	At          ui.Moment
	Took        string
	Summary     string
	Bytes       string
	By          string
}

func viewList(jobs []backup.Job, q url.Values, next string, now time.Time) listModel {
	m := listModel{
		Status: q.Get("status"), Trigger: q.Get("trigger"), Database: ui.Name(q.Get("database")), Date: q.Get("date"),
		Statuses: []string{"queued", "running", "completed", "partial", "failed", "cancelled"},
		Triggers: []string{"nightly", "manual", "weekly", "monthly", "api"}, First: q.Get("cursor") == "",
	}
	m.Unfiltered = m.Status == "" && m.Trigger == "" && m.Database == "" && m.Date == ""
	for _, j := range jobs {
		m.Rows = append(m.Rows, listRow{
			Href: "/jobs/" + j.ID, Title: title(j), Mark: ui.JobMark(j.Status), At: ui.Ago(j.CreatedAt, now),
			Took: ui.Took(ui.JobDuration(j, now)), Bytes: ui.Bytes(j.Totals.Bytes), By: askedBy(j),
			Summary: strconv.Itoa(j.Totals.Succeeded) + " of " + strconv.Itoa(j.Totals.Databases) + " " + done(j.Kind),
		})
	}
	if next != "" {
		v := url.Values{}
		for _, k := range []string{"status", "trigger", "database", "date", "limit"} {
			if q.Get(k) != "" {
				v.Set(k, q.Get(k))
			}
		}
		v.Set("cursor", next)
		m.NextHref = "/jobs?" + v.Encode()
	}
	return m
}
