package restores

import (
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// formModel is what the form of one copy shows.
type formModel struct {
	ID, Title string
	Name      string // of the copy's database
	Back      string
	Mark      ui.Mark
	Facts     []ui.Definition
	Notice    string // what the copy lacks; "" for nothing
	Advice    *advice
	Targets   []choice
	NewName   string
	Tables    []choice
	Preview   *preview
}

type choice struct {
	Value, Label, Hint string
	Chosen             bool
}

// advice is which way back is quicker.
type advice struct {
	Text     string
	Bookmark string
	Commands []command
	Href     string // to the same by Patina
}

type command struct{ ID, Text string }

// preview is what a restore would do, and the form that starts it.
type preview struct {
	Target  backup.RestoreTarget
	Into    string // in words
	Name    string
	Confirm bool // the name must be typed
	Tables  []string
	Plan    []planRow
	Rows    string
	Notes   []string
	Stops   []string
}

type planRow struct {
	Name, Action string
	Mark         ui.Mark
	Rows, Now    string
}

func form(c backup.Copy, asked backup.Restore, plan *restore.Plan, now time.Time) formModel {
	name := ui.Name(c.DatabaseName)
	m := formModel{
		ID: c.ID, Title: "Restore " + name, Name: name, Back: "/databases/" + ui.Ref(c.DatabaseName, c.DatabaseID), Mark: ui.CopyMark(c),
		Facts: []ui.Definition{
			{Term: "Taken", Text: ui.Clock(c.TakenAt).Word + ", " + ui.Ago(c.TakenAt, now).Word},
			{Term: "Kind", Text: string(c.Kind) + ", " + string(c.Consistency)},
			{Term: "Tables", Text: strconv.Itoa(c.Tables)},
			{Term: "Rows", Text: ui.Count(c.Rows)},
			{Term: "Size", Text: ui.Bytes(c.Size)},
			{Term: "SHA-256", Text: c.SHA256, Code: true},
		},
		Notice:  redactedWords(c.Redactions),
		Advice:  advise(c, now),
		NewName: ui.Name(asked.Name),
	}
	target := asked.Target
	if target == "" {
		target = backup.RestoreNew
	}
	m.Targets = []choice{
		{string(backup.RestoreNew), "A new database", "Nothing that is there is touched. Bind the Worker to it when it is good.", target == backup.RestoreNew},
		{string(backup.RestoreInPlace), "Over " + name, "Everything that it holds now is replaced. A safety copy and a bookmark are taken first. With tables chosen, they are loaded beside the old ones and nothing is replaced.", target == backup.RestoreInPlace},
	}
	if m.NewName == "" || target != backup.RestoreNew {
		m.NewName = name + "-restored-" + strings.ReplaceAll(backup.DateOf(now).String(), "-", "")
	}
	chosen := map[string]bool{}
	for _, t := range asked.Tables {
		chosen[t] = true
	}
	if c.Manifest != nil {
		for _, s := range c.Manifest.Sections {
			if s.Kind == "table" {
				m.Tables = append(m.Tables, choice{s.Name, ui.Name(s.Name), ui.Plural(s.Rows, "row", "rows"), chosen[s.Name]})
			}
		}
	}
	if plan != nil {
		m.Preview = previewOf(asked, plan)
	}
	return m
}

// redactedWords says what a redacted copy is good for; "" for a whole one.
func redactedWords(redactions []string) string {
	if len(redactions) == 0 {
		return ""
	}
	return "This copy is redacted: it lacks " + ui.Name(strings.Join(redactions, ", ")) +
		". It can go into a new database, or single tables beside the old ones, and not over what the database holds. For everything, take a copy that is not redacted, or Time Travel."
}

func previewOf(asked backup.Restore, plan *restore.Plan) *preview {
	p := &preview{Target: asked.Target, Name: asked.Name, Tables: asked.Tables, Rows: ui.Count(plan.Rows), Confirm: asked.Target != backup.RestoreNew}
	switch {
	case asked.Target == backup.RestoreNew:
		p.Into = "Into the new database " + ui.Name(asked.Name)
	case asked.Target == backup.RestoreBookmark:
		p.Into = "Back to the bookmark, by Time Travel, in " + ui.Name(asked.Name)
	case len(asked.Tables) > 0:
		p.Into = "Beside the tables of " + ui.Name(asked.Name)
	default:
		p.Into = "Over what " + ui.Name(asked.Name) + " holds"
	}
	for _, t := range plan.Tables {
		r := planRow{Name: ui.Name(t.Name), Action: string(t.Action), Rows: ui.Count(t.Rows), Now: "–", Mark: ui.Mark{State: "stored", Icon: "circle", Word: string(t.Action)}}
		if t.Now >= 0 {
			r.Now = ui.Count(t.Now)
		}
		switch t.Action {
		case restore.TableReplaced:
			r.Mark = ui.Mark{State: "attention", Icon: "triangle-alert", Word: "replaced"}
		case restore.TableLost:
			r.Mark, r.Rows = ui.Mark{State: "failed", Icon: "circle-x", Word: "lost"}, "–"
		}
		p.Plan = append(p.Plan, r)
	}
	for _, n := range plan.Notes {
		p.Notes = append(p.Notes, ui.Name(n))
	}
	for _, n := range plan.Problems {
		p.Stops = append(p.Stops, ui.Name(n))
	}
	return p
}

// advise says whether Time Travel still reaches the moment of a copy.
func advise(c backup.Copy, now time.Time) *advice {
	age := now.Sub(c.TakenAt)
	if c.BookmarkBefore == "" {
		return nil
	}
	a := &advice{Bookmark: c.BookmarkBefore, Href: "/backups/" + c.ID + "/restore?target=" + string(backup.RestoreBookmark)}
	switch {
	case age < restore.WindowFree:
		a.Text = "Quicker: Cloudflare's Time Travel still reaches this moment, and takes the database itself back in seconds. What it holds now can be brought back."
	case age < restore.WindowPaid:
		a.Text = "On a paid plan Cloudflare's Time Travel still reaches this moment, and takes the database itself back in seconds. What it holds now can be brought back."
	default:
		return &advice{Text: "Time Travel no longer reaches this moment: it remembers 30 days on a paid plan, 7 on the free one."}
	}
	if c.Consistency == backup.Fuzzy {
		a.Text += " The bookmark is that of the moment when the copy was begun."
	}
	a.Commands = []command{
		{"wrangler", "npx wrangler d1 time-travel restore " + ui.Shell(c.DatabaseName) + " --bookmark=" + ui.Shell(c.BookmarkBefore)},
		{"patina", "patina restore --bookmark " + ui.Shell(c.BookmarkBefore) + " --in-place " + ui.Shell(c.DatabaseName)},
	}
	return a
}

// showModel is what the page of one restore shows.
type showModel struct {
	ID, Title  string
	Mark       ui.Mark
	Open       bool
	Cancelling bool
	CanCancel  bool
	Safe       bool // nothing has been changed yet
	Steps      []stepRow
	Done       int64
	Of         int64
	Outcome    string
	Bad        bool
	Next       string
	Checks     []checkRow
	Facts      []ui.Definition
	CanUndo    bool
	Name       string
	Job        string
}

type stepRow struct {
	Mark ui.Mark
	Text string
}

type checkRow struct {
	Mark ui.Mark
	Name string
	Text string
}

// order of the steps of each target, for people.
func steps(r backup.Restore) []backup.RestoreStep {
	switch {
	case r.Target == backup.RestoreNew:
		return []backup.RestoreStep{backup.StepPreflight, backup.StepCreate, backup.StepBookmark, backup.StepUpload, backup.StepImport, backup.StepCheck}
	case r.Target == backup.RestoreBookmark:
		return []backup.RestoreStep{backup.StepPreflight, backup.StepSafety, backup.StepBookmark, backup.StepImport, backup.StepCheck}
	case len(r.Tables) > 0:
		return []backup.RestoreStep{backup.StepPreflight, backup.StepBookmark, backup.StepUpload, backup.StepImport, backup.StepCheck}
	}
	return []backup.RestoreStep{backup.StepPreflight, backup.StepSafety, backup.StepBookmark, backup.StepUpload, backup.StepEmpty, backup.StepImport, backup.StepCheck}
}

func stepText(s backup.RestoreStep, r backup.Restore) string {
	switch s {
	case backup.StepPreflight:
		return "Look whether it can be done, and whether the copy is whole"
	case backup.StepSafety:
		return "Take a safety copy of what is there"
	case backup.StepCreate:
		return "Make the new database"
	case backup.StepBookmark:
		return "Note the way back"
	case backup.StepUpload:
		return "Give D1 the copy; nothing is changed by it"
	case backup.StepEmpty:
		return "Take away what is there"
	case backup.StepImport:
		if r.Target == backup.RestoreBookmark {
			return "Go back to the bookmark"
		}
		return "D1 loads the copy"
	case backup.StepCheck:
		return "Compare what is there with the copy, to the last byte"
	case backup.StepUndo:
		return "Go back to what was there before"
	}
	return string(s)
}

func show(r backup.Restore, j backup.Job, now time.Time, who ui.Who) showModel {
	m := showModel{
		ID: r.ID, Title: "Restore into " + ui.Name(r.Name), Mark: ui.JobMark(j.Status), Open: r.EndedAt == nil, Name: ui.Name(r.Name), Job: r.ID,
		Cancelling: j.CancelRequestedAt != nil && r.EndedAt == nil, Safe: !restore.Changing(r.Step) && r.Step != backup.StepDone,
		Outcome: ui.Name(r.Outcome), Next: ui.Name(r.Next), Bad: j.Status == backup.JobFailed,
	}
	m.CanCancel = who.Operator && m.Open && m.Safe && !m.Cancelling
	m.CanUndo = who.Admin && !m.Open && r.Target != backup.RestoreNew && r.BookmarkBefore != "" && (r.Step == backup.StepDone || restore.Changing(r.Step))
	if r.Step == backup.StepUpload && m.Open {
		m.Done, m.Of = r.ProgressBytes, r.ProgressTotal
	}
	m.Steps = stepRows(r)
	for _, c := range r.Checks {
		mark := ui.Mark{State: "proven", Icon: "circle-check", Word: "equal"}
		if !c.OK {
			mark = ui.Mark{State: "failed", Icon: "circle-x", Word: "differs"}
		}
		m.Checks = append(m.Checks, checkRow{mark, c.Name, ui.Name(c.Text)})
	}
	asked := j.RequestedBy
	if asked == "" {
		asked = "–"
	}
	m.Facts = []ui.Definition{{Term: "Asked for by", Text: ui.Name(asked)}, {Term: "Begun", Text: ui.Clock(r.CreatedAt).Word}}
	if r.EndedAt != nil {
		m.Facts = append(m.Facts, ui.Definition{Term: "Took", Text: ui.Took(r.EndedAt.Sub(r.CreatedAt))})
	} else {
		m.Facts = append(m.Facts, ui.Definition{Term: "Takes", Text: ui.Took(max(0, now.Sub(r.CreatedAt)))})
	}
	if len(r.Tables) > 0 {
		m.Facts = append(m.Facts, ui.Definition{Term: "Tables", Text: ui.Name(strings.Join(r.Tables, ", "))})
	}
	if r.RowsWritten > 0 {
		m.Facts = append(m.Facts, ui.Definition{Term: "Rows written", Text: ui.Count(r.RowsWritten)})
	}
	for _, d := range []ui.Definition{
		{Term: "Copy", Text: r.CopyID, Code: true},
		{Term: "Database id", Text: r.TargetID, Code: true},
		{Term: "Bookmark before", Text: r.BookmarkBefore, Code: true},
		{Term: "Safety copy", Text: r.SafetyCopyID, Code: true},
		{Term: "Gone back to", Text: r.Bookmark, Code: true},
		{Term: "Job", Text: r.ID, Code: true},
	} {
		if d.Text != "" {
			m.Facts = append(m.Facts, d)
		}
	}
	return m
}

// stepRows tells which steps are done, which is at work, and which wait.
func stepRows(r backup.Restore) []stepRow {
	list := steps(r)
	at := -1
	for i, s := range list {
		if s == r.Step {
			at = i
		}
	}
	switch r.Step {
	case backup.StepDone:
		at = len(list)
	case backup.StepUndo:
		list = append(list, backup.StepUndo)
		at = len(list) - 1
	}
	var rows []stepRow
	for i, s := range list {
		row := stepRow{Text: stepText(s, r), Mark: ui.Mark{State: "unknown", Icon: "hourglass", Word: "waits"}}
		switch {
		case i < at:
			row.Mark = ui.Mark{State: "proven", Icon: "check", Word: "done"}
		case i == at && r.EndedAt == nil:
			row.Mark = ui.Mark{State: "running", Icon: "loader", Word: "at work"}
		case i == at:
			row.Mark = ui.Mark{State: "attention", Icon: "triangle-alert", Word: "ended here"}
		case r.EndedAt != nil:
			row.Mark = ui.Mark{State: "unknown", Icon: "circle-minus", Word: "not begun"}
		}
		rows = append(rows, row)
	}
	return rows
}

// listModel is what the list of restores shows.
type listModel struct {
	Rows     []listRow
	First    bool
	NextHref string
}

type listRow struct {
	Href, Name, What string
	Mark             ui.Mark
	At               ui.Moment
	Outcome          string
}

func viewList(list []backup.Restore, now time.Time) listModel {
	var m listModel
	for _, r := range list {
		what := map[backup.RestoreTarget]string{backup.RestoreNew: "new database", backup.RestoreInPlace: "in place", backup.RestoreBookmark: "Time Travel"}[r.Target]
		if len(r.Tables) > 0 {
			what += ", " + ui.Plural(int64(len(r.Tables)), "table", "tables")
		}
		m.Rows = append(m.Rows, listRow{Href: "/restores/" + r.ID, Name: ui.Name(r.Name), What: what, Mark: mark(r), At: ui.Ago(r.CreatedAt, now), Outcome: ui.Name(r.Outcome)})
	}
	return m
}

func mark(r backup.Restore) ui.Mark {
	switch {
	case r.EndedAt == nil:
		return ui.Mark{State: "running", Icon: "loader", Word: "running"}
	case r.Step == backup.StepDone:
		return ui.Mark{State: "proven", Icon: "circle-check", Word: "restored"}
	}
	return ui.Mark{State: "failed", Icon: "circle-x", Word: "not restored"}
}

// chosen tells whether some tables were chosen.
func (m formModel) chosen() bool {
	for _, t := range m.Tables {
		if t.Chosen {
			return true
		}
	}
	return false
}
