package manual

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/docs"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shown is how many copies a guide lists.
const shown = 10

// guide is what a restore guide is filled with.
type guide struct {
	Database backup.Database
	Bucket   string
	Base     string // what the address of this server begins with
	Now      time.Time
	Copies   []backup.Copy // newest first
	Newest   *backup.Copy  // with its manifest; nil where there is none
}

// newest picks the copy to restore from: the newest that is not suspect,
// proven before stored where both are of one day.
func newest(copies []backup.Copy) backup.Copy {
	sorted := slices.Clone(copies)
	slices.SortStableFunc(sorted, func(a, b backup.Copy) int {
		return cmp.Or(rank(a)-rank(b), b.TakenAt.Compare(a.TakenAt))
	})
	return sorted[0]
}

func rank(c backup.Copy) int {
	if c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect {
		return 1
	}
	return 0
}

// templates are the guides under docs/guide. What comes from outside goes
// through md in prose, code in a line of code, and sh in a command.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"md": escape, "code": code, "sh": sh, "raw": ui.Name, "bytes": ui.Bytes, "count": ui.Count,
	"stamp": func(t time.Time) string { return ui.Stamp(t).Word },
	"file":  fileName, "d1file": func(c backup.Copy) string { return ui.FileName(c.DatabaseName + "-" + c.Date.String() + ".d1.sql") }, "path": downloadPath, "mark": func(c backup.Copy) string { return ui.CopyMark(c).Word },
	"ref": ui.Ref, "tables": tables, "identifier": identifier,
}).ParseFS(docs.Guides, "guide/*.md"))

// text fills the restore guide.
func (g guide) text() ([]byte, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, "restore.md", g)
	return b.Bytes(), err
}

var markdown = goldmark.New(goldmark.WithExtensions(extension.Table))

// render makes HTML of Markdown. Raw HTML in it is left out, and a link that
// would run a script leads nowhere.
func render(text []byte) (string, error) {
	var b bytes.Buffer
	err := markdown.Convert(text, &b)
	return b.String(), err
}

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

// identifier quotes a name for SQL.
func identifier(s string) string { return `"` + strings.ReplaceAll(ui.Name(s), `"`, `""`) + `"` }

func fileName(c backup.Copy) string {
	ext := ".sql"
	if c.Compression == backup.Gzip {
		ext = ".sql.gz"
	}
	return ui.FileName(c.DatabaseName + "-" + c.Date.String() + ext)
}

func downloadPath(c backup.Copy) string {
	return "/download/" + c.Date.String() + "/" + ui.Ref(c.DatabaseName, c.DatabaseID) + "?backup=" + c.ID
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
