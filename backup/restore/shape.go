package restore

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// shape is what a database holds, without its rows: what must go before a copy
// can take its place.
type shape struct {
	tables   []string // ordinary ones, children before their parents
	virtual  []string
	views    []string
	triggers []string
	indexes  []string
	stat1    bool // sqlite_stat1 is there
}

func (s *shape) empty() bool { return len(s.tables)+len(s.virtual)+len(s.views) == 0 }

// names gives every name in use.
func (s *shape) names() []string {
	return slices.Concat(s.tables, s.virtual, s.views, s.triggers, s.indexes)
}

// has tells whether a name is taken, as SQLite compares names.
func (s *shape) has(name string) bool {
	return slices.ContainsFunc(s.names(), func(n string) bool { return source.Fold(n) == source.Fold(name) })
}

// Names come as hex: one that is not valid UTF-8 must survive JSON.
const (
	askShape = `SELECT type, hex(name), coalesce((SELECT l.type FROM pragma_table_list l WHERE l.schema = 'main' AND l.name = s.name), '') FROM sqlite_schema s ORDER BY rowid`
	askKeys  = `SELECT hex(l.name), hex(f."table") FROM pragma_table_list l, pragma_foreign_key_list(l.name) f` +
		` WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE '\_cf\_%' ESCAPE '\'`
)

// readShape reads the schema in one request.
func readShape(ctx context.Context, src backup.Reader) (*shape, error) {
	var l source.Lists
	if _, err := src.Read(ctx, []string{askShape, askKeys}, &l); err != nil {
		return nil, fmt.Errorf("read what the database holds: %w", err)
	}
	s := &shape{}
	for _, r := range l.Rows[0] {
		name, err := hex.DecodeString(r[1])
		if err != nil {
			return nil, backup.Errorf(backup.ErrUnavailable, "the answer about the schema cannot be read")
		}
		s.add(r[0], string(name), r[2])
	}
	parents := map[string][]string{} // child → parents, folded
	for _, r := range l.Rows[1] {
		child, err1 := hex.DecodeString(r[0])
		parent, err2 := hex.DecodeString(r[1])
		if err1 != nil || err2 != nil {
			return nil, backup.Errorf(backup.ErrUnavailable, "the answer about foreign keys cannot be read")
		}
		parents[source.Fold(string(child))] = append(parents[source.Fold(string(child))], source.Fold(string(parent)))
	}
	s.tables = childrenFirst(s.tables, parents)
	return s, nil
}

func (s *shape) add(kind, name, listed string) {
	lower := source.Fold(name)
	switch {
	case strings.HasPrefix(lower, "_cf_"), listed == "shadow":
	case lower == "sqlite_stat1":
		s.stat1 = true
	case strings.HasPrefix(lower, "sqlite_"):
	case kind == "view":
		s.views = append(s.views, name)
	case kind == "trigger":
		s.triggers = append(s.triggers, name)
	case kind == "index":
		s.indexes = append(s.indexes, name)
	case listed == "virtual":
		s.virtual = append(s.virtual, name)
	default:
		s.tables = append(s.tables, name)
	}
}

// childrenFirst sorts tables so that none goes while another references it;
// those of a cycle come last.
func childrenFirst(tables []string, parents map[string][]string) []string {
	left := slices.Clone(tables)
	out := make([]string, 0, len(tables))
	for len(left) > 0 {
		referenced := map[string]bool{}
		for _, t := range left {
			for _, p := range parents[source.Fold(t)] {
				if p != source.Fold(t) {
					referenced[p] = true
				}
			}
		}
		n := len(left)
		left = slices.DeleteFunc(left, func(t string) bool {
			free := !referenced[source.Fold(t)]
			if free {
				out = append(out, t)
			}
			return free
		})
		if len(left) == n {
			return append(out, left...)
		}
	}
	return out
}

// drops gives the statements that empty the database, to be run as one
// transaction: rows of a cycle of foreign keys go before its first table does.
func (s *shape) drops() []string {
	out := []string{"PRAGMA defer_foreign_keys=ON"}
	drop := func(what string, names []string) {
		for _, n := range names {
			out = append(out, "DROP "+what+" IF EXISTS "+dump.QuoteIdent(n))
		}
	}
	drop("TRIGGER", s.triggers)
	drop("VIEW", s.views)
	drop("TABLE", s.virtual)
	for _, t := range s.tables {
		out = append(out, "DELETE FROM "+dump.QuoteIdent(t))
	}
	drop("TABLE", s.tables)
	if s.stat1 {
		out = append(out, "DROP TABLE IF EXISTS sqlite_stat1")
	}
	return out
}
