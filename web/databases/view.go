package databases

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// facts is what the page of one database is made of.
type facts struct {
	Standing   backup.Standing
	Best       *backup.Copy         // with its manifest: the newest proven, else the newest; nil for none
	Before     *backup.Copy         // the one before it, with its manifest; nil for none
	Copies     []backup.Copy        // newest first
	Results    []backup.Result      // newest first
	Proofs     []backup.DrillResult // newest first
	Costs      []store.MonthCost
	Days       []backup.Day // of the last 30 days
	Range      int          // days that the charts look back
	Thresholds alert.Thresholds
	Scheduled  bool   // a backup is due every day
	Base       string // what the address of this server begins with
}

// detail is one database as programs get it.
type detail struct {
	entry
	Copies []copyRef   `json:"backups"`
	Tables []tableJSON `json:"tables"`
	Runs   []runJSON   `json:"history"`
	Costs  []costJSON  `json:"cost_by_month"`
}

type copyRef struct {
	ID          string            `json:"id"`
	Date        backup.Date       `json:"date"`
	Kind        backup.CopyKind   `json:"kind"`
	SizeBytes   int64             `json:"size_bytes"`
	Rows        int64             `json:"rows"`
	SHA256      string            `json:"sha256"`
	Proof       backup.ProofState `json:"proof"`
	TakenAt     time.Time         `json:"taken_at"`
	DownloadURL string            `json:"download_url"`
}

type tableJSON struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Rows      int64  `json:"rows"`
	SizeBytes int64  `json:"size_bytes"`
}

type runJSON struct {
	JobID       string              `json:"job_id"`
	Status      backup.ResultStatus `json:"status"`
	CreatedAt   time.Time           `json:"created_at"`
	CompletedAt *time.Time          `json:"completed_at"`
	DurationMS  int64               `json:"duration_ms"`
	SizeBytes   int64               `json:"size_bytes"`
	Rows        int64               `json:"rows"`
	Error       string              `json:"error"`
	Cost        backup.Cost         `json:"cost"`
}

func detailOf(f facts, now time.Time) detail {
	d := detail{entry: entryOf(f.Standing, now), Copies: []copyRef{}, Tables: []tableJSON{}, Runs: []runJSON{}, Costs: costsOf(f.Costs)}
	for _, c := range f.Copies[:min(len(f.Copies), shown)] {
		d.Copies = append(d.Copies, copyRef{c.ID, c.Date, c.Kind, c.Size, c.Rows, c.SHA256, c.Proof, c.TakenAt, downloadPath(c)})
	}
	for _, s := range sections(f.Standing.Newest) {
		d.Tables = append(d.Tables, tableJSON{s.Name, s.Kind, s.Rows, s.Length})
	}
	for _, r := range f.Results[:min(len(f.Results), shown)] {
		d.Runs = append(d.Runs, runJSON{r.JobID, r.Status, r.CreatedAt, r.CompletedAt, r.Duration.Milliseconds(), r.Size, r.Rows, r.Error, r.Cost})
	}
	return d
}

func downloadPath(c backup.Copy) string {
	return "/download/" + c.Date.String() + "/" + ui.Ref(c.DatabaseName, c.DatabaseID) + "?backup=" + c.ID
}

// model is what the page of one database shows.
type model struct {
	Name        string
	Handle      string
	Guide       string
	Mark        ui.Mark
	Why         string
	Description string
	Paused      bool
	CanStart    bool
	RunningJob  string
	Loader      bool
	Admin       bool
	Operator    bool
	Proofs      []proofRow
	Newest      *newest
	About       []ui.Definition
	Tables      []table
	MoreTables  int
	GoneTables  []string // since the copy before
	History     history
	Points      []ui.RestorePoint
	Now         time.Time
	Findings    []string
	Copies      []copyRow
	Runs        []runRow
	Costs       []costRow
	AllCopies   string
	AllJobs     string
	Erase       string // where its copies can be deleted; "" where they cannot
}

type newest struct {
	Title      string // "Newest proven copy", or what it is instead
	Get        string // the words of the one large action
	Mark       ui.Mark
	Depth      int // of its patina
	Taken      ui.Moment
	Stamp      ui.Moment
	SHA        string
	Download   string
	Restore    string
	Curl       string
	Href       string // its page
	Diff       string // what changed since the copy before; "" for none
	Newer      string // the page of a newer copy, which is not proven; "" for none
	NewerTaken ui.Moment
	Facts      []ui.Definition
}

type copyRow struct {
	ID                                            string
	Date, Kind, Size, Rows, Consistency, Download string
	Taken                                         ui.Moment
	Mark                                          ui.Mark
	Depth                                         int // of its patina
	Pinned                                        bool
	Changed                                       string
	Href, Diff                                    string // its page, and what changed since the one before; "" for none
}

type proofRow struct {
	Href                           string
	At                             ui.Moment
	Mark                           ui.Mark
	Why, Date, Took, Source, Error string
}

type runRow struct {
	Href              string
	Mark              ui.Mark
	At                ui.Moment
	Took, Rows, Error string
	Cost              string
}

func view(f facts, now time.Time, who ui.Who) model {
	d := f.Standing.Database
	state, why := ui.StateOf(f.Standing, now)
	m := model{
		Name: ui.Name(d.Name), Handle: ui.Handle(d.Name, d.ID), Guide: "/restore-guide/" + ui.Ref(d.Name, d.ID),
		Mark: ui.DatabaseMark(state), Why: ui.Name(why), Description: ui.Name(d.Description), Paused: d.Paused, Loader: who.Downloader, Admin: who.Admin, Operator: who.Operator,
		CanStart:  who.Operator && f.Standing.Open == nil && d.GoneAt == nil,
		AllCopies: "/list?database=" + url.QueryEscape(d.Name), AllJobs: "/jobs?database=" + url.QueryEscape(d.Name),
	}
	if d.GoneAt != nil && who.Admin && len(f.Copies) > 0 {
		m.Erase = "/databases/" + ui.Ref(d.Name, d.ID) + "/erase"
	}
	if f.Standing.Open != nil {
		m.RunningJob = f.Standing.Open.JobID
	}
	m.About = []ui.Definition{
		{Term: "Priority", Text: string(d.Priority)},
		{Term: "Newest copy at most", Text: ui.Span(d.Objective) + " old"},
		{Term: "First seen", Text: ui.Clock(d.FirstSeenAt).Word},
		{Term: "Last seen in the account", Text: ui.Clock(d.LastSeenAt).Word},
		{Term: "Cloudflare's UUID", Text: d.ID, Code: true},
	}
	if d.Binding != "" {
		m.About = append(m.About, ui.Definition{Term: "Binding", Text: ui.Name(d.Binding), Code: true})
	}
	if c := f.Best; c != nil {
		m.Newest = newestOf(*c, f.Base, now)
		if f.Before != nil {
			m.Newest.Diff = "/backups/" + f.Before.ID + "/diff/" + c.ID
		}
		if n := f.Standing.Newest; n != nil && n.ID != c.ID {
			m.Newest.Newer, m.Newest.NewerTaken = "/backups/"+n.ID, ui.Ago(n.TakenAt, now)
		}
		if c.Manifest != nil {
			for _, x := range c.Manifest.Findings {
				m.Findings = append(m.Findings, ui.Name(x.Message))
			}
		}
	}
	m.Tables, m.MoreTables, m.GoneTables = tablesOf(f.Best, f.Before)
	m.History, m.Points, m.Now = historyOf(f, now), restorePoints(f.Copies), now
	for i, c := range f.Copies[:min(len(f.Copies), shownCopies)] {
		m.Copies = append(m.Copies, copyRowOf(c, f.Copies[i+1:], now))
	}
	for _, r := range f.Proofs {
		m.Proofs = append(m.Proofs, proofRowOf(r, now))
	}
	for _, r := range f.Results[:min(len(f.Results), shownRuns)] {
		m.Runs = append(m.Runs, runRowOf(r, now))
	}
	m.Costs = costRows(f.Costs)
	return m
}

func newestOf(c backup.Copy, base string, now time.Time) *newest {
	ext := ".sql"
	if c.Compression == backup.Gzip {
		ext = ".sql.gz"
	}
	path, title := downloadPath(c), "newest proven copy"
	if c.Proof != backup.ProofProven {
		title = "newest copy, which is not proven"
	}
	return &newest{
		Title: strings.ToUpper(title[:1]) + title[1:], Get: "Get the " + title + ", " + ui.Bytes(c.Size), Mark: ui.CopyMark(c), Depth: ui.Patina(c, now), Taken: ui.Ago(c.TakenAt, now), Stamp: ui.Stamp(c.TakenAt), SHA: c.SHA256, Download: path, Restore: "/backups/" + c.ID + "/restore", Href: "/backups/" + c.ID,
		Curl: "curl -fH \"Authorization: Bearer $PATINA_TOKEN\" -o " + ui.Shell(ui.FileName(c.DatabaseName+"-"+c.Date.String()+ext)) + " " + ui.Shell(base+path),
		Facts: []ui.Definition{
			{Term: "Size", Text: ui.Bytes(c.Size)},
			{Term: "Rows", Text: ui.Count(c.Rows)},
			{Term: "Tables", Text: strconv.Itoa(c.Tables)},
			{Term: "Consistency", Text: string(c.Consistency)},
			{Term: "Kind", Text: string(c.Kind)},
			{Term: "Object", Text: c.Key, Code: true},
		},
	}
}

// proofRowOf words what a drill, or a proof that somebody asked for, found.
func proofRowOf(r backup.DrillResult, now time.Time) proofRow {
	v := proofRow{
		Href: "/drills/" + r.JobID, At: ui.Ago(r.At, now), Mark: ui.ProofMark(r), Why: "drill, newest copy", Date: "–", Took: "–", Error: ui.Name(r.Error),
	}
	switch r.Role {
	case backup.DrillOldest:
		v.Why = "drill, oldest copy"
	case backup.DrillAsked:
		v.Href, v.Why = "/jobs/"+r.JobID, "on demand"
	}
	if !r.Date.IsZero() {
		v.Date = r.Date.String()
	}
	if r.Load > 0 {
		v.Took = ui.Took(r.Load)
	}
	v.Source, _ = ui.SourceWords(r)
	return v
}

// copyRowOf words a copy; older are those taken before it.
func copyRowOf(c backup.Copy, older []backup.Copy, now time.Time) copyRow {
	r := copyRow{
		Date: c.Date.String(), Kind: string(c.Kind), Size: ui.Bytes(c.Size), Rows: ui.Count(c.Rows), Consistency: string(c.Consistency),
		Taken: ui.Ago(c.TakenAt, now), Mark: ui.CopyMark(c), Depth: ui.Patina(c, now), Pinned: c.Pinned, Download: downloadPath(c), Href: "/backups/" + c.ID,
	}
	if len(older) > 0 {
		r.Diff = "/backups/" + older[0].ID + "/diff/" + c.ID
	}
	switch {
	case len(older) == 0:
	case older[0].BodySHA256 == c.BodySHA256:
		r.Changed = "same content as the one before"
	case older[0].Rows != c.Rows:
		r.Changed = signed(c.Rows-older[0].Rows, "row", "rows")
	default:
		r.Changed = "changed"
	}
	return r
}

func runRowOf(r backup.Result, now time.Time) runRow {
	v := runRow{
		Href: "/jobs/" + r.JobID, Mark: ui.ResultMark(r.Status), At: ui.Ago(r.CreatedAt, now), Took: "–", Rows: "–", Error: ui.Name(r.Error),
	}
	if r.Status == backup.ResultSuccess {
		v.Rows = ui.Count(r.Rows)
	}
	v.Cost = costWords(r.Cost)
	if r.Duration > 0 {
		v.Took = ui.Took(r.Duration)
	}
	return v
}

// listModel is what the list of databases shows.
type listModel struct {
	Name, State, Order string
	States, Orders     []string
	Rows               []listRow
	Filtered           bool
	First              bool
	Begin, NextHref    string
}

type listRow struct {
	Name, Href, Description, Why string
	Mark                         ui.Mark
	Priority, Note               string
	Proven                       string // what is known of the newest proven one, where it is another
	Copy                         ui.Moment
	Size                         string
}

func viewList(list []backup.Standing, q url.Values, next string, now time.Time) listModel {
	m := listModel{
		Name: ui.Name(q.Get("name")), State: q.Get("state"), Order: cmp.Or(q.Get("sort"), string(store.ByName)), First: q.Get("cursor") == "",
		States: []string{"failed", "attention", "unknown", "stored", "proven"},
		Orders: []string{string(store.ByName), string(store.ByUrgency), string(store.ByAge), string(store.BySize), string(store.ByRank)},
	}
	m.Filtered = m.Name != "" || m.State != ""
	v := url.Values{}
	for _, k := range []string{"name", "state", "sort", "limit"} {
		if q.Get(k) != "" {
			v.Set(k, q.Get(k))
		}
	}
	m.Begin = "/databases?" + v.Encode()
	if next != "" {
		v.Set("cursor", next)
		m.NextHref = "/databases?" + v.Encode()
	}
	for _, s := range list {
		st, why := ui.StateOf(s, now)
		r := listRow{
			Name: ui.Name(s.Database.Name), Href: "/databases/" + ui.Ref(s.Database.Name, s.Database.ID), Description: ui.Name(s.Database.Description),
			Mark: ui.DatabaseMark(st), Why: ui.Name(why), Priority: string(s.Database.Priority), Copy: ui.Moment{Word: "none yet"}, Size: "–",
		}
		if s.Newest != nil {
			r.Copy, r.Size = ui.Ago(s.Newest.TakenAt, now), ui.Bytes(s.Newest.Size)
			switch {
			case s.Proven == nil:
				r.Proven = "none is proven"
			case s.Proven.ID != s.Newest.ID:
				r.Proven = "newest proven: " + ui.Ago(s.Proven.TakenAt, now).Word
			}
		}
		if s.Database.Paused {
			r.Note = "paused"
		}
		m.Rows = append(m.Rows, r)
	}
	return m
}
