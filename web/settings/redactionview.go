package settings

import (
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shownDatabases bounds the page's list; those with rules come first.
const shownDatabases = 200

// redactions is what the page of all databases shows.
type redactions struct {
	Query string
	Rows  []redactedRow
	More  string
	Some  bool // some database has rules
}

type redactedRow struct {
	Name, Href string
	Rules      []string
	Who        string
}

func redactionsView(all []backup.Database, q string) redactions {
	m := redactions{Query: q}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b backup.Database) int {
		return min(len(b.Redact), 1) - min(len(a.Redact), 1)
	})
	hidden := 0
	for _, db := range sorted {
		m.Some = m.Some || len(db.Redact) > 0
		if !strings.Contains(strings.ToLower(db.Name), strings.ToLower(q)) {
			continue
		}
		if len(m.Rows) == shownDatabases {
			hidden++
			continue
		}
		r := redactedRow{Name: ui.Name(db.Name), Href: redactionPath(db), Who: "the dashboard"}
		for _, rule := range db.Redact {
			r.Rules = append(r.Rules, ui.Name(rule.String()))
		}
		if db.RedactFixed {
			r.Who = "patina.toml"
		}
		m.Rows = append(m.Rows, r)
	}
	if hidden > 0 {
		m.More = ui.Plural(int64(hidden), "more database is", "more databases are") + " not shown: look for it by name."
	}
	return m
}

// redaction is what the page of one database shows.
type redaction struct {
	Name, Href, Action string
	Fixed              bool
	Rules              []string
	Text               string // of the form
	Lines              string // its height
	Notices            []string
	Newest             string // what the newest copy leaves out, in words
	NewestHref         string
	Tables             []string // of the newest copy
}

const shownTables = 60

func redactionView(db backup.Database, newest *backup.Copy) redaction {
	m := redaction{Name: ui.Name(db.Name), Href: "/databases/" + ui.Ref(db.Name, db.ID), Action: redactionPath(db), Fixed: db.RedactFixed}
	for _, r := range db.Redact {
		m.Rules = append(m.Rules, ui.Name(r.String()))
		m.Text += r.Name() + " = " + string(r.Rule) + "\n"
	}
	m.Lines = "6"
	if n := len(m.Rules); n > 5 {
		m.Lines = ui.Count(int64(min(n+2, 20)))
	}
	if newest == nil {
		m.Newest = "There is no copy yet."
		return m
	}
	m.NewestHref, m.Newest = "/backups/"+newest.ID, "nothing is redacted in it."
	if len(newest.Redactions) > 0 {
		m.Newest = "redacted: " + ui.Name(strings.Join(newest.Redactions, ", ")) + "."
	}
	if !backup.SameRedactions(newest.Redactions, backup.RedactionTexts(db.Redact)) {
		m.Newest += " The next one is made under the rules above; those that are stored stay as they are until they expire."
	}
	if newest.Manifest == nil {
		return m
	}
	known := map[string]bool{}
	for _, s := range newest.Manifest.Sections {
		if s.Kind == "schema" {
			continue
		}
		known[backup.Redaction{Table: s.Name}.Key()] = true
		if len(m.Tables) < shownTables {
			m.Tables = append(m.Tables, ui.Name(s.Name))
		}
	}
	for _, r := range db.Redact {
		if !known[backup.Redaction{Table: r.Table}.Key()] {
			m.Notices = append(m.Notices, "The newest copy has no table "+ui.Name(r.Table)+". Where the database has none either, its next backup fails, rather than exporting something under another name.")
		}
	}
	return m
}
