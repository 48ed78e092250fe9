package main

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/dustin/go-humanize"

	"github.com/AutumnsGrove/Patina/backup"
)

// defaultFile is read where it exists and no other file is named.
const defaultFile = "patina.toml"

// fileConfig is the shape of patina.toml.
type fileConfig struct {
	Database  []fileDatabase `toml:"database"`
	Discovery struct {
		Include []string `toml:"include"`
		Exclude []string `toml:"exclude"`
	} `toml:"discovery"`
}

type fileDatabase struct {
	Name          string    `toml:"name"`
	ID            string    `toml:"id"`
	Binding       string    `toml:"binding"`
	Description   string    `toml:"description"`
	Priority      string    `toml:"priority"`
	EstimatedSize string    `toml:"estimated_size"`
	Objective     string    `toml:"objective"`
	Redact        *[]string `toml:"redact"` // nil: the dashboard says
}

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// readFile adds what the file says. A key that is not known is a problem, for
// it is a setting that would silently do nothing.
func (c *Config) readFile(name string) {
	required := name != ""
	if !required {
		name = defaultFile
	}
	var f fileConfig
	meta, err := toml.DecodeFile(name, &f)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return
	}
	var syntax toml.ParseError
	switch {
	case errors.As(err, &syntax):
		c.problem("%s, line %d: %s", name, syntax.Position.Line, syntax.Message)
		return
	case err != nil:
		c.problem("%s: %v", name, err)
		return
	}
	for _, key := range meta.Undecoded() {
		c.problem("%s: %s is no setting of Patina", name, key)
	}
	c.Include, c.Exclude = f.Discovery.Include, f.Discovery.Exclude
	for _, glob := range append(append([]string(nil), c.Include...), c.Exclude...) {
		if _, err := path.Match(glob, ""); err != nil {
			c.problem("%s: discovery: %q is no pattern of names", name, glob)
		}
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for i, d := range f.Database {
		db, problems := d.parse()
		for _, p := range problems {
			c.problem("%s: database %d (%s): %s", name, i+1, d.Name, p)
		}
		if d.Name != "" && names[d.Name] || d.ID != "" && ids[d.ID] {
			c.problem("%s: database %d (%s) is named twice", name, i+1, d.Name)
		}
		names[d.Name], ids[d.ID] = true, true
		c.Databases = append(c.Databases, db)
	}
}

func (d fileDatabase) parse() (backup.Database, []string) {
	var problems []string
	db := backup.Database{
		ID: strings.ToLower(d.ID), Name: d.Name, Binding: d.Binding, Description: d.Description,
		Priority: backup.Priority(d.Priority), Origin: backup.FromConfig, Objective: backup.DefaultObjective,
	}
	if d.Name == "" {
		problems = append(problems, "it has no name")
	}
	if db.ID != "" && !uuidText.MatchString(db.ID) {
		problems = append(problems, "its id is no UUID; leave it out to have the database looked up by name")
	}
	if db.Priority == "" {
		db.Priority = backup.Normal
	}
	if !db.Priority.Valid() {
		problems = append(problems, "its priority must be critical, high or normal")
	}
	if d.EstimatedSize != "" {
		n, err := humanize.ParseBytes(d.EstimatedSize)
		if err != nil || n > 1<<40 {
			problems = append(problems, `its estimated_size must read like "212 KB"`)
		}
		db.EstimatedSize = int64(n)
	}
	if d.Objective != "" {
		age, err := time.ParseDuration(d.Objective)
		if err != nil || age <= 0 {
			problems = append(problems, `its objective must read like "26h"`)
		}
		db.Objective = age
	}
	if d.Redact != nil {
		rules, err := backup.ParseRedactions(*d.Redact)
		if err != nil {
			problems = append(problems, "redact: "+err.Error())
		}
		db.Redact, db.RedactFixed = rules, true
	}
	return db, problems
}
