package manual

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/docs"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shown is how many copies a guide lists, and looked how many it looks through
// for one that is proven.
const (
	shown  = 10
	looked = 100
)

// guide is what a restore guide is filled with.
type guide struct {
	Database backup.Database
	Bucket   string
	Base     string // what the address of this server begins with
	Now      time.Time
	Copies   []backup.Copy    // newest first
	Newest   *backup.Copy     // to restore from, with its manifest; nil where there is none
	Newer    *backup.Copy     // one that is not yet proven; nil where there is none
	Advice   advice           // on Time Travel
	Warnings []backup.Finding // what D1 does not take back of it
	Moment   string           // a timestamp for an example
}

// newGuide chooses the copy to restore from and says what is to be known of it.
// full gives a copy with its manifest.
func newGuide(g guide, copies []backup.Copy, full func(id string) (backup.Copy, error)) (guide, error) {
	g.Moment = g.Now.UTC().Add(-time.Hour).Format(time.RFC3339)
	g.Copies = copies[:min(len(copies), shown)]
	if len(copies) == 0 {
		return g, nil
	}
	c, err := full(newest(copies).ID)
	if err != nil {
		return g, err
	}
	g.Newest, g.Advice = &c, advise(g.Database, c, g.Now)
	for i, other := range copies {
		if rank(other) == 1 && rank(c) == 0 && other.TakenAt.After(c.TakenAt) {
			g.Newer = &copies[i]
			break
		}
	}
	if c.Manifest != nil {
		for _, f := range c.Manifest.Findings {
			if !slices.Contains(notD1s, f.Code) {
				g.Warnings = append(g.Warnings, f)
			}
		}
	}
	return g, nil
}

// notD1s are findings that say nothing of what D1 takes back.
var notD1s = []string{"no-bookmark", "key-taken", "rowid-unreachable", "number-before-nul", "redacted", "redaction-copied"}

// newest picks the copy to restore from: the newest proven one, else the newest
// that is not suspect.
func newest(copies []backup.Copy) backup.Copy {
	sorted := slices.Clone(copies)
	slices.SortStableFunc(sorted, func(a, b backup.Copy) int {
		return cmp.Or(rank(a)-rank(b), b.TakenAt.Compare(a.TakenAt))
	})
	return sorted[0]
}

func rank(c backup.Copy) int {
	switch {
	case c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect:
		return 2
	case c.Proof != backup.ProofProven:
		return 1
	}
	return 0
}

// advice says which way is quicker.
type advice struct {
	Text    string
	Reaches bool // Time Travel reaches the moment of the copy
}

// advise weighs Time Travel against the copy.
func advise(d backup.Database, c backup.Copy, now time.Time) advice {
	age := now.Sub(c.TakenAt)
	days := fmt.Sprintf("The newest copy to restore from was taken %s ago.", ui.Span(age))
	switch {
	case d.GoneAt != nil:
		return advice{Text: days + " Time Travel went with the database, so the copy is the way."}
	case c.BookmarkBefore == "":
		return advice{Text: days + " It has no bookmark of Time Travel: go back by a timestamp, or restore the copy."}
	case age < restore.WindowFree:
		return advice{days + " Time Travel still reaches that moment, on every plan, and is quicker: seconds for the whole database, where the copy is loaded row by row.", true}
	case age < restore.WindowPaid:
		return advice{days + " On a paid plan Time Travel still reaches that moment, and is quicker: seconds for the whole database, where the copy is loaded row by row. On the free plan it remembers 7 days: there the copy is the way.", true}
	}
	return advice{Text: days + " Time Travel reaches back 30 days on a paid plan and 7 on the free one: the copy is the way."}
}

// templates are the guides under docs/guide. What comes from outside goes
// through md in prose, code in a line of code, and sh in a command.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"md": escape, "code": code, "sh": sh, "pos": positional, "bytes": ui.Bytes, "count": ui.Count,
	"stamp": func(t time.Time) string { return ui.Stamp(t).Word },
	"mark":  func(c *backup.Copy) string { return ui.CopyMark(*c).Word },
	"ref":   ui.Ref, "identifier": identifier, "json": object, "query": func(s string) string { return url.QueryEscape(ui.Name(s)) },
	"file": fileName, "sqlfile": sqlName, "d1file": d1Name, "tablefile": tableName, "path": downloadPath,
	"redacted": redacted, "tables": tables, "table": largest, "beside": beside,
	"where": where, "fetch": fetch, "archived": archived, "packed": packed, "sqlsum": sqlSum, "unframe": unframe,
}).ParseFS(docs.Guides, "guide/*.md"))

// text fills the restore guide.
func (g guide) text() ([]byte, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, "restore.md", g)
	return append(bytes.TrimRight(gaps.ReplaceAll(b.Bytes(), []byte("\n\n")), "\n"), '\n'), err
}

// gaps are the empty lines that parts leave which say nothing.
var gaps = regexp.MustCompile(`\n{3,}`)

// escape makes text from outside plain text in Markdown.
func escape(s string) string {
	var b strings.Builder
	for _, r := range ui.Name(s) {
		if r < 0x80 && strings.ContainsRune("\\`*_{}[]()<>#+-.!|~&$@^=:\"'", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// code makes text from outside a line of code in Markdown, in a cell of a
// table too.
func code(s string) string {
	s = strings.ReplaceAll(ui.Name(s), "|", "¦")
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.Trim(s, " ") == "" {
		s = " " + s + " "
	}
	return fence + s + fence
}

// sh quotes an argument of a command in a block of code. It is one line, so
// that it cannot end the block.
func sh(s string) string { return ui.Shell(ui.Name(s)) }

// positional quotes an argument that stands at the end of a command and that the
// program could take for an option.
func positional(s string) string {
	if strings.HasPrefix(s, "-") {
		return "-- " + sh(s)
	}
	return sh(s)
}

// identifier quotes a name for SQL.
func identifier(s string) string { return `"` + strings.ReplaceAll(ui.Name(s), `"`, `""`) + `"` }

// redacted names what a copy leaves out, in code; "" for a whole copy.
func redacted(c *backup.Copy) string {
	if c.Manifest == nil {
		return ""
	}
	var out []string
	for _, r := range c.Manifest.Redactions {
		out = append(out, code(r))
	}
	return strings.Join(out, ", ")
}

// tables gives the tables of a copy, largest first, at most thirty.
func tables(c *backup.Copy) []backup.Section {
	if c == nil || c.Manifest == nil {
		return nil
	}
	var out []backup.Section
	for _, s := range c.Manifest.Sections {
		if s.Kind == "table" {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b backup.Section) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), 30)]
}
